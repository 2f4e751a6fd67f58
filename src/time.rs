//! Times as they are recorded in the status.

use jiff::Timestamp;

/// Truncates to whole seconds, the precision of timestamps in the API. With fractions, the status would differ from
/// what is read back.
pub fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}
