//! Text for the status: sanitized if it is from outside of the operator (trainers, kubelets, annotations); and numbers in text.

/// Longest message stored in the status, in characters.
pub const MESSAGE_MAX: usize = 512;

/// One line without control characters, truncated to `max` characters.
pub fn one_line(text: &str, max: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() || is_invisible(c) { ' ' } else { c }).collect();
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max) {
        None => line,
        Some(_) => line.chars().take(max - 1).chain(['…']).collect(),
    }
}

/// The first `most` of these, and how many more there are.
pub fn listed(all: impl ExactSizeIterator<Item = String>, most: usize, separator: &str) -> String {
    let more = all.len().saturating_sub(most);
    all.take(most).chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(separator)
}

/// Zero-width characters and characters that change the text direction. They could disguise the text of a status.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The text of a file. The error is the line of the first character that is not in UTF-8, from 1, and what to do.
pub fn utf8(bytes: Vec<u8>) -> Result<String, (u64, &'static str)> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        (line as u64, "a character is not in UTF-8: save the file in that encoding")
    })
}

/// A finite decimal number.
pub fn decimal(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
