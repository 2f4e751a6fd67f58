//! Templates of PromQL: `@name` stands for a term, which is a template itself, or for a value, which is inserted unchanged.

/// Values by name, each a complete piece of PromQL: a string literal, a number, `,label="value"`.
pub type Values = Vec<(&'static str, String)>;

/// Fills in a template. Values are not expanded, so the text of a spec cannot refer to another value.
///
/// A name consists of lower-case letters and `_`. An unknown name is left unchanged, which is invalid PromQL; a test checks
/// all templates.
pub fn fill(template: &str, terms: &[(&str, &str)], values: &Values) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut pieces = template.split('@');
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        if let Some((_, term)) = terms.iter().find(|(term, _)| *term == name) {
            filled.push_str(&fill(term, terms, values));
        } else if let Some((_, value)) = values.iter().find(|(value, _)| *value == name) {
            filled.push_str(value);
        } else {
            filled.push('@');
            filled.push_str(name);
        }
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_expanded_as_templates_and_values_are_not() {
        let values = vec![("topics", r#""@group""#.to_owned()), ("group", r#""g""#.to_owned())];
        let terms = [("end", "end{topic=~@topics}")];
        assert_eq!(fill("@end - c{g=@group}, @other", &terms, &values), r#"end{topic=~"@group"} - c{g="g"}, @other"#);
    }
}
