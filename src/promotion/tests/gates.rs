//! Gates: what passes, and the verdicts.

use super::*;
use crate::api::{Better, Verdict};

fn judge(promotion: &Promotion, new: &Version, old: Option<&Version>) -> Verdict {
    let policy = Policy::new(promotion).expect("a valid policy");
    let earlier: Vec<&Version> = old.into_iter().collect();
    let baselines = super::super::gates::Baselines { serving: old, earlier: &earlier };
    policy.judge(new, baselines, Timestamp::UNIX_EPOCH + SignedDuration::from_hours(50)).remove(0)
}

fn measured(id: &str, value: &str, samples: Option<i64>) -> Version {
    let version = version(id);
    Version { metrics: [("precision".to_owned(), value.to_owned())].into(), samples, ..version }
}

fn of(gate: Gate) -> Promotion {
    Promotion { gates: vec![Gate { metric: "precision".into(), ..gate }], ..Promotion::default() }
}

#[test]
fn what_is_missing_or_no_number_never_passes() {
    let minimum = of(Gate { minimum: some("-1000"), ..Gate::default() });
    for value in ["NaN", "inf", "-inf", "", "1e999", "0x1"] {
        let verdict = judge(&minimum, &measured("b", value, None), None);
        assert!(!verdict.passed, "{value}");
        assert_eq!(verdict.message, "precision was not reported, or is no number");
    }
    assert!(!judge(&minimum, &version("b"), None).passed);
    assert!(judge(&minimum, &measured("b", "1e300", None), None).passed);
}

#[test]
fn bounds_include_their_values() {
    let both = of(Gate { minimum: some("0.2"), maximum: some("0.9"), ..Gate::default() });
    let passed = |value| judge(&both, &measured("b", value, None), None).passed;
    assert_eq!(["0.19999", "0.2", "0.9", "0.90001"].map(passed), [false, true, true, false]);
}

#[test]
fn a_regression_is_relative_to_the_version_that_serves_in_the_direction_that_is_worse() {
    let regression = |better| of(Gate { max_regression_percent: some("10"), better, ..Gate::default() });
    let judged =
        |better, new, old| judge(&regression(better), &measured("b", new, None), Some(&measured("a", old, None)));
    for (better, new, old, passed) in [
        (None, "0.27", "0.30", true),
        (None, "0.26", "0.30", false),
        (None, "0.40", "0.30", true),
        (Some(Better::Lower), "0.33", "0.30", true),
        (Some(Better::Lower), "0.34", "0.30", false),
        (Some(Better::Lower), "0.1", "0.30", true),
        (None, "0", "0", true),
        (None, "-1", "0", false),
        (None, "-0.35", "-0.30", false),
        (None, "0.30", "0.30", true),
    ] {
        let verdict = judged(better, new, old);
        assert_eq!(verdict.passed, passed, "{new} after {old}: {}", verdict.message);
    }
    assert_eq!(judged(None, "-1", "0").message, "precision -1 is infinitely worse than 0 of a, more than 10 %");
    let unmeasured = judge(&regression(None), &measured("b", "0.1", None), Some(&version("a")));
    let message = "precision 0.1 cannot be compared with a, which did not report it";
    assert_eq!((unmeasured.passed, unmeasured.message.as_str()), (true, message));
    let first = judge(&regression(None), &measured("b", "0.1", None), None);
    assert_eq!((first.passed, first.message.as_str()), (true, "precision 0.1 has nothing to be compared with"));
}

#[test]
fn small_regressions_do_not_add_up_beside_the_best_version() {
    let mut story = Story::new(&of(Gate {
        max_regression_percent: some("2"),
        max_regression_from_best_percent: some("5"),
        ..Gate::default()
    }));
    for (id, value, serves) in
        [("a", "1.00", "a"), ("b", "0.985", "b"), ("c", "0.97", "c"), ("d", "0.955", "d"), ("e", "0.94", "d")]
    {
        story.trained(id, value).completes();
        assert_eq!(story.serve(), Some(serves), "{}", story.condition().1);
    }
    let message =
        "version e does not pass its gates: precision 0.94 is 6 % worse than 1.00 of a, more than 5 %; d serves";
    assert_eq!(story.condition().1, message);
}

/// 0.30 and 0.29 of 1,000 samples each: z = 0.49, p = 0.62. Of 100,000 samples: z = 4.9.
#[test]
fn a_regression_within_the_noise_passes_if_a_level_is_set() {
    let gate = of(Gate { max_regression_percent: some("2"), ..Gate::default() });
    let with_level = Promotion { significance_level: some("0.05"), ..gate.clone() };
    let judged = |promotion: &Promotion, samples| {
        let verdict = judge(promotion, &measured("b", "0.29", samples), Some(&measured("a", "0.30", samples)));
        (verdict.passed, verdict.message)
    };
    let message = |end: &str| format!("precision 0.29 is 3.33 % worse than 0.30 of a, {end}");
    let noise = message("which is within the noise of the test sets (p = 0.62, level 0.05)");
    assert_eq!(judged(&with_level, Some(1000)), (true, noise));
    assert_eq!(judged(&with_level, Some(100_000)), (false, message("more than 2 % (p = below 0.01)")));
    assert_eq!(judged(&gate, Some(1000)), (false, message("more than 2 % (p = 0.62)")));
    let unknown = "more than 2 %, and without samples or standardErrors in both reports the noise is unknown";
    assert_eq!(judged(&with_level, None), (false, message(unknown)));
    let with_error = |id, value| Version {
        standard_errors: [("precision".to_owned(), "0.001".to_owned())].into(),
        ..measured(id, value, Some(10))
    };
    let verdict = judge(&with_level, &with_error("b", "0.29"), Some(&with_error("a", "0.30")));
    assert!(!verdict.passed, "a reported standard error takes precedence: {}", verdict.message);
}

#[test]
fn sizes_and_the_age_of_the_data_are_gates_as_well() {
    let sizes = Promotion { min_artifact_bytes: Some(101), max_artifact_bytes: Some(200), ..Promotion::default() };
    assert_eq!(
        judge(&sizes, &version("b"), None).message,
        "the artifact has 100 bytes, fewer than minArtifactBytes 101"
    );
    let small = Promotion { max_artifact_bytes: Some(99), ..Promotion::default() };
    assert_eq!(judge(&small, &version("b"), None).message, "the artifact has 100 bytes, more than maxArtifactBytes 99");
    let age = Promotion { max_data_age_hours: Some(48), ..Promotion::default() };
    let at = |hours| Version {
        data_through: Some(Time(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours))),
        trained_at: Time(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(2)),
        ..version("b")
    };
    assert!(judge(&age, &at(2), None).passed);
    let stale = judge(&age, &at(1), None);
    assert_eq!(
        (stale.passed, stale.message.as_str()),
        (false, "the data reach until 1970-01-01T01:00:00Z, more than 48 h ago")
    );
    assert!(!judge(&age, &version("b"), None).passed);
}

#[test]
fn data_of_the_future_that_an_earlier_status_has_are_of_unknown_age() {
    let age = Promotion { max_data_age_hours: Some(48), ..Promotion::default() };
    let trained_at = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(50);
    let through = |seconds| Version {
        data_through: Some(Time(trained_at + SignedDuration::from_secs(seconds))),
        trained_at: Time(trained_at),
        ..version("b")
    };
    let verdict = judge(&age, &through(9 * 3600), None);
    let message = "dataThrough 1970-01-03T11:00:00Z is after the end of the run at 1970-01-03T02:00:00Z and does not count, so the \
                   age of the data is unknown";
    assert_eq!((verdict.passed, verdict.message.as_str()), (false, message));
    let policy = Policy::new(&age).expect("valid");
    assert_eq!(policy.too_old_at(&through(9 * 3600)), None);
    // As in a report, a clock may be a little ahead.
    let ahead = judge(&age, &through(60), None);
    assert_eq!(
        (ahead.passed, ahead.message.as_str()),
        (true, "the data reach until 1970-01-03T02:00:00Z, within 48 h")
    );
    assert_eq!(policy.too_old_at(&through(60)), Some(trained_at + SignedDuration::from_hours(48)));
}
