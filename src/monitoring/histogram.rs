//! The counters of servers as a Prometheus stores them: those of a native histogram are no series of their own.
//!
//! | | classic | native |
//! |---|---|---|
//! | requests/s | `rate(x_count[1m])` | `histogram_count(rate(x[1m]))` |
//! | seconds/s | `rate(x_sum[1m])` | `histogram_sum(rate(x[1m]))` |
//! | requests/s up to T | `rate(x_bucket{le="T"}[1m])` | `histogram_fraction(-Inf, T, rate(x[1m])) * histogram_count(rate(x[1m]))` |
//! | quantile | `histogram_quantile(0.95, sum by (le) (rate(x_bucket[1m])))` | `histogram_quantile(0.95, sum(rate(x[1m])))` |
//!
//! An object with native histograms reads both, so that its rules hold while one form becomes the other:
//!
//! - In the window after the change each form has a part of the samples of the window, so the rates are added. Of a histogram
//!   which did not exist in either form before, the first value counts as well: see [`Source::rate_from_zero`].
//! - A histogram that is stored in both forms at once counts once: as native, or in the form that has all samples of the window.
//! - Quantiles are those of the native form, once it has two samples of any server.

use super::recording::{Source, distinct};
use crate::{
    catalog::{Declared, Selector},
    monitoring::{
        promql::{quote, quote_regex},
        responses::scale,
    },
};

/// The label that keeps the rates of both forms apart until they are added.
const FORM: &str = "histogram";
/// The form of the rates that have it.
const NATIVE: &str = "native";

/// What a counter of a native histogram is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    /// All observations.
    Count,
    /// Their sum.
    Sum,
    /// Those up to a bound, in the unit of the histogram.
    UpTo(f64),
}

impl Part {
    /// Of a native histogram without observations, the share up to a bound is NaN, which `>= 0` drops.
    fn of(self, histogram: &str) -> String {
        match self {
            Self::Count => format!("histogram_count({histogram})"),
            Self::Sum => format!("histogram_sum({histogram})"),
            Self::UpTo(bound) => {
                format!("histogram_fraction(-Inf, {bound}, {histogram}) * histogram_count({histogram}) >= 0")
            }
        }
    }
}

/// A counter of a native histogram.
pub(super) struct Native {
    /// The selector of the histogram.
    histogram: String,
    part: Part,
}

impl Native {
    fn now(&self) -> String {
        self.part.of(&self.histogram)
    }

    fn rate(&self, window: &str) -> String {
        self.part.of(&format!("rate({}[{window}])", self.histogram))
    }
}

/// A counter of the servers, in the forms that it may be stored in.
pub(super) enum Counter {
    /// The selector of a series.
    Classic(String),
    Native(Native),
    Both(Both),
}

impl Counter {
    /// The selectors of its forms, and whether each is that of a native histogram.
    fn selectors(self) -> Vec<(bool, String)> {
        match self {
            Self::Classic(classic) => vec![(false, classic)],
            Self::Native(native) => vec![(true, native.histogram)],
            Self::Both(Both { classic, native }) => vec![(true, native.histogram), (false, classic)],
        }
    }

    /// 0 while a native histogram has a rate, of which a part without requests may have none. `None` if it may not be a native one.
    pub(super) fn zero_of_native(&self, window: &str) -> Option<String> {
        match self {
            Self::Classic(_) => None,
            Self::Native(native) | Self::Both(Both { native, .. }) => {
                Some(format!("0 * count(rate({}[{window}]))", native.histogram))
            }
        }
    }

    /// Its values. Operators around them need parentheses.
    pub(super) fn now(&self) -> String {
        match self {
            Self::Classic(classic) => classic.clone(),
            Self::Native(native) => native.now(),
            Self::Both(both) => format!("({} or{} {})", both.native.now(), both.matching(), both.classic),
        }
    }

    /// Its rates, to be summed up. Operators around them need parentheses.
    pub(super) fn rate(&self, window: &str) -> String {
        match self {
            Self::Classic(classic) => format!("rate({classic}[{window}])"),
            Self::Native(native) => native.rate(window),
            Self::Both(both) => {
                let native = both.unless_classic(&both.native.rate(window), window);
                let classic = both.unless_native(&format!("rate({}[{window}])", both.classic), window);
                format!("label_replace({native}, {}, {}, \"\", \"\") or {classic}", quote(FORM), quote(NATIVE))
            }
        }
    }

    /// Its rates by a name for each form. Of a counter that was created within the window, the whole value was counted within it.
    /// `scrapes`: how often its server was scraped in the window, by instance.
    fn rates_from_zero(&self, name: &str, window: &str, scrapes: &str) -> Vec<(String, String)> {
        let seconds = window.trim_end_matches('s');
        let from_zero = |selector: &str, now: &str, before: &str, rate: &str| {
            let younger = format!("count_over_time({selector}[{window}]) < on (instance) group_left () {scrapes}");
            format!("(({now} unless {before}) and {younger}) / {seconds} or {rate}")
        };
        let before = |selector: &str| format!("{selector} offset {window}");
        let of_classic =
            |classic: &str, existed: &str| from_zero(classic, classic, existed, &format!("rate({classic}[{window}])"));
        let of_native =
            |native: &Native, existed: &str| from_zero(&native.histogram, &native.now(), existed, &native.rate(window));
        match self {
            Self::Classic(classic) => vec![(name.into(), of_classic(classic, &before(classic)))],
            Self::Native(native) => vec![(name.into(), of_native(native, &before(&native.histogram)))],
            Self::Both(both) => {
                let Both { classic, native } = both;
                // It was created only if it had no value in the other form either.
                let existed = format!("({} or {})", before(&native.histogram), before(classic));
                let of_native = both.unless_classic(&of_native(native, &existed), window);
                let of_classic = both.unless_native(&format!("({})", of_classic(classic, &existed)), window);
                vec![(format!("{name} {NATIVE}"), of_native), (name.into(), of_classic)]
            }
        }
    }
}

/// A counter in both forms.
pub(super) struct Both {
    classic: String,
    native: Native,
}

impl Both {
    /// The matching of both forms: only a bucket has a label that its native histogram lacks.
    fn matching(&self) -> &'static str {
        match self.native.part {
            Part::UpTo(_) => " ignoring (le)",
            Part::Count | Part::Sum => "",
        }
    }

    /// What is computed of the native form, without servers of which the classic one has all samples of the window, and it has not.
    fn unless_classic(&self, of_native: &str, window: &str) -> String {
        let Self { classic, native: Native { histogram, .. } } = self;
        let with = self.matching();
        let has_all = |form: &str| format!("({form} and {form} offset {window})");
        format!("({of_native}) unless{with} ({} unless{with} {})", has_all(classic), has_all(histogram))
    }

    /// What is computed of the classic form, without servers of which the native one has all samples of the window, or as many. A failed
    /// scrape or the end of a pod ends both at once: then the native one still has its rate, and is as if it were there.
    fn unless_native(&self, of_classic: &str, window: &str) -> String {
        let Self { classic, native: Native { histogram, .. } } = self;
        let with = self.matching();
        let has_native = format!("({histogram} or rate({histogram}[{window}]) unless{with} {classic})");
        let was_alone = format!("({classic} offset {window} unless{with} {histogram} offset {window})");
        format!("{of_classic} unless{with} ({has_native} unless{with} {was_alone})")
    }
}

impl Source<'_> {
    /// The histogram that a counter is a part of, if it may be a native one, and whether it may be a classic one as well.
    fn native(&self, counter: &str) -> Option<(&Declared, bool)> {
        let (declared, _) = self.profile.histogram(counter)?;
        (declared.native || self.monitored.metrics.reads_native).then_some((declared, !declared.native))
    }

    /// A counter of the servers, its selectors made by `selector`.
    fn forms(&self, of: &Selector, part: Option<Part>, selector: impl Fn(&Selector) -> String) -> Counter {
        let Some((histogram, may_be_classic)) = self.native(&of.name) else {
            return Counter::Classic(selector(of));
        };
        let ends = if of.name.ends_with("_sum") { Part::Sum } else { Part::Count };
        let named = selector(&Selector { name: histogram.name.clone(), matchers: of.matchers.clone() });
        let native = Native { histogram: named, part: part.unwrap_or(ends) };
        match may_be_classic {
            true => Counter::Both(Both { classic: selector(of), native }),
            false => Counter::Native(native),
        }
    }

    /// A counter of the servers without health checks and scrapes, where its labels show them. `matchers`: beside its own.
    pub(super) fn counter(&self, of: &Selector, matchers: &[&str]) -> Counter {
        self.forms(of, None, |of| self.measured(of, matchers))
    }

    /// The values of those counters that may be stored in both forms. `None` without one.
    pub(super) fn in_both_forms(&self, counters: &[Selector]) -> Option<String> {
        let counters = counters.iter().map(|of| self.counter(of, &[]));
        either(counters.filter(|of| matches!(of, Counter::Both(_))).map(|of| of.now()))
    }

    /// What every server exposes from its start, of all servers.
    pub(super) fn presence(&self, window: &str, function: &str) -> String {
        let of = Selector { name: self.profile.presence.clone(), matchers: String::new() };
        let forms = self.forms(&of, None, |of| self.of_servers(&of.name, &[])).selectors();
        let each: Vec<String> =
            forms.into_iter().map(|(_, selector)| format!("{function}({selector}[{window}])")).collect();
        match &each[..] {
            [one] => one.clone(),
            each => format!("({})", each.join(" or ")),
        }
    }

    /// The counters of all requests in the histogram of the servers, and of those up to a bound of its buckets. `None` without a histogram.
    pub(super) fn answered(&self, bucket: f64) -> Option<[Counter; 2]> {
        let durations = self.profile.latency.as_ref()?.durations();
        let bound = quote(&spellings(bucket));
        let fast = durations.counter("_bucket");
        // Only a bucket has the label.
        let le = |of: &Selector| if of.name == fast.name { format!("le=~{bound}") } else { String::new() };
        let of_bound = |of: &Selector| self.measured(of, &[&le(of)]);
        let up_to = self.forms(&fast, Some(Part::UpTo(bucket)), of_bound);
        Some([self.counter(&durations.counter("_count"), &[]), up_to])
    }

    /// A quantile of the durations, of each form: without requests it is NaN, for which `>= 0` is false.
    fn quantiles(&self, quantile: &str, window: &str) -> Vec<(bool, String)> {
        let Some(latency) = &self.profile.latency else { return Vec::new() };
        let scale = scale(latency.per_second);
        let forms = self.counter(&latency.durations().counter("_bucket"), &[]).selectors();
        let of = |(is_native, selector): (bool, String)| {
            let sum = if is_native { "sum" } else { "sum by (le) " };
            let rates = format!("{sum}(rate({selector}[{window}]))");
            (is_native, format!("histogram_quantile({quantile}, {rates}){scale} >= 0"))
        };
        forms.into_iter().map(of).collect()
    }

    /// A quantile of the durations. `None` without a histogram.
    pub(super) fn quantile(&self, quantile: &str, window: &str) -> Option<String> {
        either(self.quantiles(quantile, window).into_iter().map(|(_, expr)| expr))
    }

    /// The upper bound of the last bucket with a request. A request in the last classic bucket with a bound may have taken longer than
    /// that, because those above have no bound; the same is true of a native histogram that was made of a classic one.
    pub(super) fn longest(&self) -> Option<String> {
        let limit = self.profile.latency.as_ref()?.limit_seconds;
        let below = |(is_native, expr): (bool, String)| match is_native {
            true if limit.is_infinite() => expr,
            true => format!("{expr} != {limit}"),
            false => format!("{expr} < {limit}"),
        };
        either(self.quantiles("1", &self.window).into_iter().map(below))
    }

    /// The rate of counters with labels, which exist only after the first event they count. `rate` needs two samples and
    /// does not know that the counter started from zero: a flash crowd would be measured one scrape late, and its first
    /// errors never. A counter was created within the window if it did not exist one window ago and has fewer samples in
    /// the window than its server was scraped. Then its whole value was counted within the window.
    pub(super) fn rate_from_zero(&self, counters: &[Selector], window: &str) -> String {
        let scrapes = format!("max by (instance) ({})", self.presence(window, "count_over_time"));
        let rates = counters.iter().flat_map(|of| self.counter(of, &[]).rates_from_zero(&of.name, window, &scrapes));
        let rates: Vec<(String, String)> = rates.collect();
        match &rates[..] {
            [(_, rate)] => format!("sum({rate})"),
            rates => {
                let named: Vec<_> = rates.iter().map(|(name, rate)| (name.as_str(), rate.clone())).collect();
                format!("sum({})", distinct("counter", &named))
            }
        }
    }
}

/// A regular expression for all that the bound of a bucket is written as, by servers and by Prometheus: `1` or `1.0`, and from a million on
/// also `1e+06` (Go, Python, and Prometheus 3 for all) or `1.0E6` (Java).
fn spellings(bound: f64) -> String {
    let fraction = if bound.fract() == 0.0 { r"(\.0)?" } else { "" };
    let plain = format!("{}{fraction}", quote_regex(&bound.to_string()));
    let scientific = format!("{bound:e}");
    let Some((digits, exponent)) = scientific.split_once('e').filter(|_| bound >= 1e6) else { return plain };
    let decimal = if digits.contains('.') { digits.to_owned() } else { format!("{digits}.0") };
    let others = [format!("{digits}e+{exponent:0>2}"), format!("{decimal}E{exponent}")].map(|of| quote_regex(&of));
    format!("{plain}|{}", others.join("|"))
}

/// The first of several expressions that has a result.
fn either(expressions: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = expressions.collect();
    (!all.is_empty()).then(|| all.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_matched_in_all_that_it_is_written_as() {
        for (bound, written) in [
            (0.25, &["0.25"][..]),
            (1.0, &["1", "1.0"]),
            (250_000.0, &["250000", "250000.0"]),
            (1e6, &["1000000", "1000000.0", "1e+06"]),
            (2.5e6, &["2500000", "2.5e+06"]),
            (1e7, &["10000000", "1e+07", "1.0E7"]),
            (2.5e7, &["2.5E7"]),
        ] {
            let expression = regex::Regex::new(&format!("^(?:{})$", spellings(bound))).expect("valid");
            assert!(written.iter().all(|of| expression.is_match(of)), "{bound}: {expression}");
            assert!(!expression.is_match("2.5e+08") && !expression.is_match("11"), "{expression}");
        }
    }
}
