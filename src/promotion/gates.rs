//! The verdicts on a version: whether it passes the gates of the spec ([`Policy`]) before it serves. They fail closed: what is missing or no
//! number does not pass.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    api::{Verdict, Version, VersionState},
    model::promotion::{Bounds, Policy},
    text::decimal,
    training::reported_end,
};

/// With which versions one is compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Baselines<'a> {
    /// The version that serves.
    pub serving: Option<&'a Version>,
    /// Those of which the best counts.
    pub earlier: &'a [&'a Version],
}

/// Per cent by which a regression may exceed its bound, because decimal numbers are not exact: 10⁻⁹.
const ROUNDING: f64 = 1e-9;
/// Names of the gates that are not metrics.
const BASE: &str = "base";
/// See [`BASE`].
const ARTIFACT_BYTES: &str = "artifactBytes";
/// See [`BASE`].
const DATA_THROUGH: &str = "dataThrough";

impl Policy {
    /// When the data of a version become too old for it to be promoted.
    pub fn too_old_at(&self, version: &Version) -> Option<Timestamp> {
        reported_end(version)?.checked_add(self.max_data_age?).ok()
    }

    /// The verdict of each gate on a version.
    pub fn judge(&self, version: &Version, baselines: Baselines<'_>, now: Timestamp) -> Vec<Verdict> {
        let metrics = self.bounds.iter().map(|bounds| self.metric(bounds, version, baselines));
        metrics.chain(self.size(version)).chain(self.data(version, now)).collect()
    }

    fn metric(&self, bounds: &Bounds, version: &Version, baselines: Baselines<'_>) -> Verdict {
        let verdict = |passed, message| Verdict { gate: bounds.metric.clone(), passed, message };
        let Some((text, value)) = reported(version, &bounds.metric) else {
            return verdict(false, format!("{} was not reported, or is no number", bounds.metric));
        };
        let best = best(baselines.earlier, bounds);
        let [of_serving, of_best] = bounds.regressions;
        let checks: Vec<(bool, String)> = [
            bounds.minimum.map(|least| match value < least {
                true => (false, format!("is below the minimum {least}")),
                false => (true, format!("is at least {least}")),
            }),
            bounds.maximum.map(|most| match value > most {
                true => (false, format!("is above the maximum {most}")),
                false => (true, format!("is at most {most}")),
            }),
            of_serving.and_then(|most| Some(self.regression(bounds, version, baselines.serving?, most))),
            of_best.and_then(|most| Some(self.regression(bounds, version, best?, most))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let passed = checks.iter().all(|(passed, _)| *passed);
        // Of a failed gate only what failed.
        let stated: Vec<String> = checks.into_iter().filter(|of| of.0 == passed).map(|(_, text)| text).collect();
        let stated = if stated.is_empty() { "has nothing to be compared with".into() } else { stated.join(", ") };
        verdict(passed, format!("{} {text} {stated}", bounds.metric))
    }

    /// Whether the metric of a version is at most `most` per cent worse than that of another.
    fn regression(&self, bounds: &Bounds, version: &Version, other: &Version, most: f64) -> (bool, String) {
        let (Some((_, value)), Some((before, old))) =
            (reported(version, &bounds.metric), reported(other, &bounds.metric))
        else {
            return (true, format!("cannot be compared with {}, which did not report it", other.id));
        };
        let worse = worse_percent(value, old, bounds.is_lower_better);
        if worse <= 0.0 {
            return (true, format!("is not worse than {before} of {}", other.id));
        }
        let compared = format!("is {} worse than {before} of {}", per_cent(worse), other.id);
        if worse <= most + ROUNDING {
            return (true, format!("{compared}, within {most} %"));
        }
        let noise = difference(&bounds.metric, version, other);
        match (noise, self.level) {
            (Some(p), Some(level)) if p > level => {
                (true, format!("{compared}, which is within the noise of the test sets (p = {p:.2}, level {level})"))
            }
            (Some(p), _) => (false, format!("{compared}, more than {most} % (p = {})", p_value(p))),
            (None, Some(_)) => (
                false,
                format!(
                    "{compared}, more than {most} %, and without samples or standardErrors in both reports the noise is unknown"
                ),
            ),
            (None, None) => (false, format!("{compared}, more than {most} %")),
        }
    }

    fn size(&self, version: &Version) -> Option<Verdict> {
        let verdict = |passed, text: String| {
            Some(Verdict {
                gate: ARTIFACT_BYTES.into(),
                passed,
                message: format!("the artifact has {} bytes, {text}", version.bytes),
            })
        };
        match self.bytes {
            (None, None) => None,
            (Some(least), _) if version.bytes < least => verdict(false, format!("fewer than minArtifactBytes {least}")),
            (_, Some(most)) if version.bytes > most => verdict(false, format!("more than maxArtifactBytes {most}")),
            _ => verdict(true, "within its bounds".into()),
        }
    }

    /// The time of the data does not depend on the current one as long as the verdict is the same.
    fn data(&self, version: &Version, now: Timestamp) -> Option<Verdict> {
        let most = self.max_data_age?;
        let hours = most.as_hours();
        let verdict = |passed, message| Some(Verdict { gate: DATA_THROUGH.into(), passed, message });
        match (reported_end(version), &version.data_through) {
            (None, None) => verdict(
                false,
                "dataThrough was not reported, or was left out of the report, so the age of the data is unknown".into(),
            ),
            (None, Some(Time(reported))) => {
                let end = version.trained_at.0;
                verdict(
                    false,
                    format!(
                        "dataThrough {reported} is after the end of the run at {end} and does not count, so the age of the data is unknown"
                    ),
                )
            }
            (Some(end), _) if now.duration_since(end) > most => {
                verdict(false, format!("the data reach until {end}, more than {hours} h ago"))
            }
            (Some(end), _) => verdict(true, format!("the data reach until {end}, within {hours} h")),
        }
    }
}

/// A metric of a version, as reported and as a number.
fn reported<'a>(version: &'a Version, metric: &str) -> Option<(&'a str, f64)> {
    let text = version.metrics.get(metric)?;
    Some((text, decimal(text)?))
}

/// The verdict on a version by its base: what is in one that was refused is in it as well. None if the base was not refused.
pub fn of_base(base: &Version) -> Option<Verdict> {
    let why = match base.state {
        VersionState::RolledBack => "was rolled back",
        VersionState::Failed => "failed its rollout",
        VersionState::Rejected => "did not pass its gates",
        _ => return None,
    };
    Some(Verdict { gate: BASE.into(), passed: false, message: format!("its base {} {why}", base.id) })
}

/// The version with the best value of a metric.
fn best<'a>(versions: &[&'a Version], bounds: &Bounds) -> Option<&'a Version> {
    let valued = versions.iter().filter_map(|version| Some((reported(version, &bounds.metric)?.1, *version)));
    let sign = if bounds.is_lower_better { -1.0 } else { 1.0 };
    valued.max_by(|(a, _), (b, _)| (sign * a).total_cmp(&(sign * b))).map(|(_, version)| version)
}

/// Per cent by which `new` is worse than `old`; negative when it is better, infinite when `old` is 0.
fn worse_percent(new: f64, old: f64, is_lower_better: bool) -> f64 {
    let worse = if is_lower_better { new - old } else { old - new };
    if worse <= 0.0 && old == 0.0 { 0.0 } else { worse / old.abs() * 100.0 }
}

/// The p-value of the two-sided z test of equal metrics of two versions; none when a standard error is unknown.
fn difference(metric: &str, version: &Version, other: &Version) -> Option<f64> {
    let [a, b] = [version, other].map(|of| Some((reported(of, metric)?.1, standard_error(of, metric)?)));
    let ((a, of_a), (b, of_b)) = (a?, b?);
    let error = of_a.hypot(of_b);
    if error == 0.0 {
        return Some(if a == b { 1.0 } else { 0.0 });
    }
    Some(libm::erfc((a - b).abs() / error / std::f64::consts::SQRT_2))
}

/// The standard error of a metric: as reported, else the largest one that the mean m of n values between 0 and 1 can have,
/// √(m (1 − m) / n) (Bhatia and Davis, A Better Bound on the Variance, 2000).
fn standard_error(version: &Version, metric: &str) -> Option<f64> {
    if let Some(text) = version.standard_errors.get(metric) {
        return decimal(text).filter(|error| *error >= 0.0);
    }
    let mean = reported(version, metric)?.1;
    let samples = version.samples.filter(|samples| *samples > 0 && (0.0..=1.0).contains(&mean))?;
    #[expect(clippy::cast_precision_loss, reason = "a test set has fewer than 2^52 samples")]
    Some((mean * (1.0 - mean) / samples as f64).sqrt())
}

fn per_cent(value: f64) -> String {
    if value.is_finite() { format!("{} %", (value * 100.0).round() / 100.0) } else { "infinitely".into() }
}

fn p_value(p: f64) -> String {
    if p < 0.005 { "below 0.01".into() } else { format!("{p:.2}") }
}
