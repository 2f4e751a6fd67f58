//! Findings in words.

use super::{Signal, whole};

/// The counts of a signal in words: "errors of the canary: 41 of 3,020 requests (1.4 %), of the serving version 120 of 27,400 (0.44 %)".
pub fn stated(signal: &Signal, counted: &[i64]) -> String {
    let number = |index: usize| whole(counted.get(index).copied().unwrap_or_default());
    let rate = |events: f64, requests: f64| {
        if requests > 0.0 { format!(" ({})", per_cent(events / requests)) } else { String::new() }
    };
    format!(
        "{} of the canary: {} of {} requests{}, of the serving version {} of {}{}",
        signal.name,
        grouped(number(1)),
        grouped(number(0)),
        rate(number(1), number(0)),
        grouped(number(3)),
        grouped(number(2)),
        rate(number(3), number(2)),
    )
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number);
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// A share of requests, with two digits.
pub fn per_cent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if percent > 0.0 { (1.0 - percent.log10().floor()).clamp(0.0, 6.0) } else { 0.0 };
    let scale = 10f64.powf(digits);
    format!("{} %", (percent * scale).round() / scale)
}

/// Seconds in the largest unit of which there are at least two.
pub fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
