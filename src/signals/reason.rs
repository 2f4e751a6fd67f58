//! Why there is no signal, as text to follow "because". Each one hints at the cause.

pub(super) const NOT_READ: &str = "the metric source has not been read yet";
pub(super) const NO_SERIES: &str = "the metric source has this series for none of the objects: no recording rule of ours is loaded, \
                                    or no Prometheus selects our PrometheusRules";
pub(super) const NO_OBJECT: &str =
    "the metric source has no such series of this object: its recording rules are not loaded, or nothing is scraped";
pub(super) const OLD: &str = "the newest sample is minutes old: nothing is scraped or recorded any more";
pub(super) const NAN: &str = "the newest sample is not a number: nothing was counted in its window";
pub(super) const NO_NUMBER: &str = "the newest sample cannot be read as a number";
pub(super) const NEGATIVE: &str = "the newest sample is negative: its exporter does not know";
pub(super) const ABSURD: &str = "the newest sample is larger than anything that can be measured";
pub(super) const FUTURE: &str = "the newest sample is from the future: clocks are wrong";
pub(super) const AMBIGUOUS: &str =
    "the metric source has several such series of this object: narrow them with matchLabels";

/// Whether nothing is recorded, in contrast to a value that says nothing.
pub fn is_not_recorded(reason: &str) -> bool {
    [NO_SERIES, NO_OBJECT, OLD].contains(&reason)
}
