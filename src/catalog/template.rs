//! Templates of PromQL: `@name` stands for a term, which is a template itself, or for a value, which is inserted unchanged.

use std::collections::BTreeMap;

/// Values by name, each a complete piece of PromQL: a string literal, a number, `,label="value"`.
pub type Values = Vec<(&'static str, String)>;

/// Why a name that stands for nothing cannot be meant as the modifier of PromQL; `None` if it is none.
pub fn modifier(unknown: &str) -> Option<String> {
    ["", "start", "end"].contains(&unknown).then(|| {
        "the modifier @ of PromQL, which fixes the time, is not possible here, where @name stands for a value: remove it".into()
    })
}

/// Fills in a template. Values are not expanded, so the text of a spec cannot refer to another value.
///
/// A name consists of lower-case letters and `_`. An unknown name is left unchanged, which is invalid PromQL; the loader
/// refuses it, and terms that contain themselves.
pub fn fill(template: &str, terms: &BTreeMap<String, String>, values: &Values) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut pieces = template.split('@');
    filled.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, rest) = piece.split_at(name_length(piece));
        if let Some(term) = terms.get(name) {
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

/// The names in a template.
pub fn names(template: &str) -> impl Iterator<Item = &str> {
    template.split('@').skip(1).map(|piece| &piece[..name_length(piece)])
}

/// A term that contains itself, among those that a term uses.
pub fn cycle<'a>(name: &'a str, term: impl Fn(&str) -> Option<&'a str> + Copy) -> Option<&'a str> {
    fn visit<'a>(name: &'a str, above: &[&'a str], term: impl Fn(&str) -> Option<&'a str> + Copy) -> Option<&'a str> {
        if above.contains(&name) {
            return Some(name);
        }
        let above = [above, &[name]].concat();
        names(term(name)?).find_map(|used| visit(used, &above, term))
    }
    visit(name, &[], term)
}

fn name_length(piece: &str) -> usize {
    piece.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(piece.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_expanded_as_templates_and_values_are_not() {
        let values = vec![("topics", r#""@group""#.to_owned()), ("group", r#""g""#.to_owned())];
        let terms = BTreeMap::from([("end".to_owned(), "end{topic=~@topics}".to_owned())]);
        assert_eq!(fill("@end - c{g=@group}, @other", &terms, &values), r#"end{topic=~"@group"} - c{g="g"}, @other"#);
    }
}
