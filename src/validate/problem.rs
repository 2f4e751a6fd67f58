//! A validation error with the API server's message.

use std::fmt;

use serde_json::Value;

/// An error for which the API server would reject the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as `spec.serving.port`. Empty when the object cannot be decoded at all.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// Whether CEL rules could fail because of it, so that the API server does not evaluate them.
    blocks_rules: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}", self.message)
        } else {
            write!(f, "{}: {}", self.field, self.message)
        }
    }
}

impl Problem {
    fn new(field: &str, message: String) -> Self {
        Self { field: field.to_owned(), message, blocks_rules: false }
    }

    fn blocking(field: &str, message: String) -> Self {
        Self { blocks_rules: true, ..Self::new(field, message) }
    }

    /// The object cannot be decoded.
    pub(super) fn undecodable(message: String) -> Self {
        Self::new("", message)
    }

    /// The value has the right type, but is invalid.
    pub(super) fn invalid(field: &str, value: &Value, detail: String) -> Self {
        Self::new(field, format!("Invalid value: {}: {detail}", quote(value)))
    }

    /// A rule on an object or list is violated. The message does not contain the value, which could be long.
    pub(super) fn rule(field: &str, detail: &str) -> Self {
        Self::new(field, format!("Invalid value: {detail}"))
    }

    /// The value is of another type; `actual` names it as the API server does.
    pub(super) fn wrong_type(field: &str, expected: &str, actual: &str) -> Self {
        let actual = quote(&actual.into());
        Self::blocking(field, format!("Invalid value: {actual}: {field} in body must be of type {expected}: {actual}"))
    }

    /// The field is missing.
    pub(super) fn required(field: &str) -> Self {
        Self::blocking(field, "Required value".to_owned())
    }

    /// The name is missing. CEL rules are not checked in this case either.
    pub(super) fn name_required(field: &str) -> Self {
        Self::blocking(field, "Required value: name or generateName is required".to_owned())
    }

    /// The string is longer than `maximum`.
    pub(super) fn too_long(field: &str, maximum: i64) -> Self {
        Self::blocking(field, format!("Too long: may not be more than {}", count(maximum, "byte")))
    }

    /// The list or map has more entries than `maximum`.
    pub(super) fn too_many(field: &str, actual: usize, maximum: i64) -> Self {
        Self::blocking(field, format!("Too many: {actual}: must have at most {}", count(maximum, "item")))
    }

    /// The value is not one of `supported`.
    pub(super) fn unsupported(field: &str, value: &Value, supported: &[Value]) -> Self {
        let supported: Vec<String> = supported
            .iter()
            .map(|value| value.as_str().map_or_else(|| quote(&value.to_string().into()), |text| quote(&text.into())))
            .collect();
        let message = format!("Unsupported value: {}: supported values: {}", quote(value), supported.join(", "));
        Self::blocking(field, message)
    }

    /// Another entry has the same key.
    pub(super) fn duplicate(field: &str, key: &Value) -> Self {
        Self::new(field, format!("Duplicate value: {}", quote(key)))
    }

    /// A number does not fit its format. The API server reports it without a field.
    pub(super) fn out_of_range(detail: String) -> Self {
        Self::new("<nil>", format!("Invalid value: \"\": {detail}"))
    }

    /// The message that the API server adds if it did not evaluate the CEL rules because of another problem.
    pub(super) fn rules_unchecked() -> Self {
        let detail = "some validation rules were not checked because the object was invalid; \
                      correct the existing errors to complete validation";
        Self::new("<nil>", format!("Invalid value: null: {detail}"))
    }

    pub(super) fn blocks_rules(&self) -> bool {
        self.blocks_rules
    }
}

fn count(number: i64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// A value as Go prints it in an error: strings with `%q`, all others as JSON.
fn quote(value: &Value) -> String {
    match value {
        Value::String(text) => quote_text(text),
        Value::Number(number) if number.is_f64() => go_float(number.as_f64().unwrap_or_default(), 1e21),
        // Go escapes the characters that could end a script element in HTML.
        value => value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
    }
}

/// A float as Go prints it. Unlike Rust, Go uses an exponent below 0.0001 and from `large` on: 1e21 in JSON, 1e6 in `%v`.
pub(super) fn go_float(float: f64, large: f64) -> String {
    if float == 0.0 || (1e-4..large).contains(&float.abs()) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn quote_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            control if control.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(control))),
            odd if odd.is_control() || (odd.is_whitespace() && odd != ' ') => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(odd)));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_printed_as_go_prints_them() {
        for (value, printed) in [
            (json!("a \"b\"\\\n\u{1}\u{a0}ä"), r#""a \"b\"\\\n\x01\u00a0ä""#),
            (json!(0), "0"),
            (json!(-1.5), "-1.5"),
            (json!(0.0001), "0.0001"),
            (json!(1e300), "1e+300"),
            (json!(-2.5e-7), "-2.5e-07"),
            (json!(true), "true"),
            (json!(null), "null"),
            (json!({ "name": "<a>" }), r#"{"name":"\u003ca\u003e"}"#),
        ] {
            assert_eq!(quote(&value), printed);
        }
    }

    #[test]
    fn a_unit_is_singular_for_one() {
        assert_eq!(Problem::too_long("a", 1).to_string(), "a: Too long: may not be more than 1 byte");
        assert_eq!(Problem::too_many("a", 3, 2).to_string(), "a: Too many: 3: must have at most 2 items");
    }
}
