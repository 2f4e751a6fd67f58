use proptest::prelude::*;
use serde_json::{Value, json};

use super::at;
use crate::training::report::{Report, ReportError, parse};

/// URI at or below which the artifact has to be.
const PREFIX: &str = "s3://models/shop/packages/full-1";
/// A valid digest.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn valid() -> Value {
    json!({
        "metrics": {"precision_at_10": "0.31"},
        "artifact": {"uri": format!("{PREFIX}/model.npz"), "digest": DIGEST, "bytes": 123},
    })
}

/// The valid report with one field set to something else.
fn with(pointer: &str, value: Value) -> Value {
    let mut report = valid();
    *report.pointer_mut(pointer).expect("a field") = value;
    report
}

fn with_metric(name: &str, value: Value) -> Value {
    with("/metrics", json!({name: value}))
}

/// When the runs of these reports ended.
const ENDED: &str = "2026-11-21T03:30:00Z";

fn parsed(text: Option<&str>, prefix: &str) -> Result<Report, ReportError> {
    parse(text, prefix, at(ENDED))
}

fn read(report: &Value) -> Result<Report, ReportError> {
    parsed(Some(&report.to_string()), PREFIX)
}

/// What is left out of a report that is otherwise used.
fn left_out(report: &Value) -> String {
    let report = read(report).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((report.digest.as_str(), report.bytes), (DIGEST, 123));
    report.ignored().unwrap_or_default()
}

fn error_of(text: &str) -> String {
    parsed(Some(text), PREFIX).expect_err("an error").to_string()
}

fn error(report: &Value) -> String {
    error_of(&report.to_string())
}

#[test]
fn a_complete_report_is_parsed() {
    let mut report = valid();
    report["dataThrough"] = json!("2026-11-21T05:00:00.5+02:00");
    report["somethingNew"] = json!({"is": "ignored"});
    let report = read(&report).expect("a report");
    assert_eq!(report.metrics["precision_at_10"], "0.31");
    assert_eq!(report.uri, format!("{PREFIX}/model.npz"));
    assert_eq!((report.digest.as_str(), report.bytes), (DIGEST, 123));
    assert_eq!(report.data_through, Some(at("2026-11-21T03:00:00Z")), "in whole seconds, as the status keeps them");
}

#[test]
fn data_reach_until_the_end_of_the_run_at_most() {
    let of = |time: &str| {
        let mut report = valid();
        report["dataThrough"] = json!(time);
        (read(&report).expect("a report").data_through, left_out(&report))
    };
    // Of a clock that is a little ahead.
    for time in [ENDED, "2026-11-21T03:30:01Z", "2026-11-21T05:31:00+02:00"] {
        assert_eq!(of(time), (Some(at(ENDED)), String::new()), "{time}");
    }
    let (through, why) = of("2026-11-21T03:31:01Z");
    assert_eq!(through, None, "gates and ages do not count on it");
    assert_eq!(
        why,
        "Left out of its report: dataThrough is \"2026-11-21T03:31:01Z\": it is after the end of the run at 2026-11-21T03:30:00Z: write \
         until when its data reach, with its zone, such as \"2026-11-21T03:00:00Z\", or leave it out."
    );
}

#[test]
fn a_report_without_metrics_and_with_whitespace_around_it_is_parsed() {
    let report = format!("\n  {}\n", with("/metrics", json!({})));
    assert!(parsed(Some(&report), &format!("{PREFIX}/")).expect("a report").metrics.is_empty());
}

#[test]
fn an_empty_termination_message_is_reported_as_a_missing_report() {
    for nothing in [None, Some(""), Some(" \n")] {
        let error = parsed(nothing, PREFIX).expect_err("an error").to_string();
        assert_eq!(
            error,
            "nothing was reported: write the JSON report to /dev/termination-log before the trainer exits"
        );
    }
}

#[test]
fn invalid_json_is_reported_with_its_position() {
    assert_eq!(
        error_of("{\n  \"metrics\": }"),
        r#"the report is not JSON: expected value at line 2, column 14: "{ \"metrics\": }""#
    );
    assert!(error_of("Traceback (most recent call last)").contains("at line 1, column 1: \"Traceback"));
    assert!(error_of(&format!("{}{{}}", valid())).contains("trailing characters"));
    assert!(error_of("[1, 2]").contains("the report is [1,2]: write a JSON object"));
    assert!(error_of("null").contains("write a JSON object"));
}

#[test]
fn a_report_truncated_by_the_kubelet_is_reported_as_truncated() {
    let long = with_metric("precision_at_10", json!("1".repeat(5000))).to_string();
    assert_eq!(
        error_of(&long[..4096]),
        "the report was cut at 4096 bytes by the kubelet: report fewer metrics or shorter values"
    );
    assert!(error_of(&long[..4095]).contains("not JSON: EOF while parsing"), "shorter ones were not cut");
}

#[test]
fn numbers_are_kept_as_decimal_strings() {
    let cases = [
        (json!("0.310"), "0.310"),
        (json!("-12"), "-12"),
        (json!("1e-05"), "0.00001"),
        (json!("+.5"), "0.5"),
        (json!(0.31), "0.31"),
        (json!(1), "1"),
        (json!(-3), "-3"),
        (json!(1e-7), "0.0000001"),
        (json!(u64::MAX), "18446744073709551615"),
    ];
    for (value, expected) in cases {
        let report = read(&with_metric("m", value.clone())).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(report.metrics["m"], expected, "{value}");
    }
}

#[test]
fn metrics_that_are_not_finite_numbers_are_left_out_by_name() {
    for value in [
        json!("NaN"),
        json!("Infinity"),
        json!("-inf"),
        json!("1e999"),
        json!(""),
        json!("0.3.1"),
        json!("1 "),
        json!(null),
        json!(true),
        json!([1]),
    ] {
        let left_out = left_out(&with_metric("recall_at_10", value.clone()));
        assert!(left_out.starts_with("Left out of its report: metrics.recall_at_10 is "), "{left_out}");
        assert!(left_out.ends_with("write a finite decimal number, as in \"0.31\"."), "{left_out}");
    }
    for value in [json!(1e300), json!("1e-300"), json!("0".repeat(33))] {
        assert!(left_out(&with_metric("m", value)).ends_with("round it to at most 32 characters."));
    }
}

#[test]
fn nan_as_python_writes_it_is_refused_by_name() {
    for (value, shown) in [("NaN", "NaN"), ("Infinity", "Infinity"), ("-Infinity", "-Infinity")] {
        let text = valid().to_string().replace("\"0.31\"", value);
        let expected = format!(
            "precision_at_10 is {shown}, which is no JSON and no result: leave the metric out, or let the run fail"
        );
        assert_eq!(error_of(&text), expected);
        assert_eq!(
            error_of(&text.replace("\"precision_at_10\":", "\n \"a\": \"0.1\",\n\"precision_at_10\": ")),
            expected
        );
    }
}

#[test]
fn names_of_metrics_are_bounded_in_form_length_and_number() {
    for name in ["Precision", "précision", "precision@10", "1st", "", "_m", "a-b", &"m".repeat(64)] {
        let report = with("/metrics", json!({name: "1", "recall": "0.5"}));
        assert_eq!(read(&report).expect("a report").metrics, [("recall".into(), "0.5".into())].into(), "{name}");
        assert!(left_out(&report).starts_with("Left out of its report: the name of a metric is "), "{name}");
    }
    assert_eq!(left_out(&with_metric(&"m".repeat(63), json!("1"))), "");
    let many = |count: usize| with("/metrics", (0..count).map(|i| (format!("m{i:02}"), json!("1"))).collect::<Value>());
    assert_eq!(left_out(&many(32)), "");
    let kept = read(&many(40)).expect("a report").metrics;
    assert_eq!((kept.len(), kept.keys().next_back().map(String::as_str)), (32, Some("m31")));
    assert!(left_out(&many(40)).starts_with("Left out of its report: 8 of its metrics, because only 32 are kept"));
    let capitals = with("/metrics", json!({"A": "1", "B": "1", "C": "1", "D": "1"}));
    assert!(left_out(&capitals).ends_with("; 2 more."), "{}", left_out(&capitals));
}

#[test]
fn a_missing_field_is_reported_with_its_path_and_what_to_write() {
    for (parent, name, path) in [
        ("", "artifact", "artifact"),
        ("/artifact", "uri", "artifact.uri"),
        ("/artifact", "digest", "artifact.digest"),
        ("/artifact", "bytes", "artifact.bytes"),
    ] {
        let mut report = valid();
        report.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(name);
        assert!(error(&report).starts_with(&format!("the report has no {path}: write ")), "{}", error(&report));
    }
    assert!(error(&with("/artifact", json!("s3://"))).contains("artifact is \"s3://\": write an object with uri"));
    assert!(left_out(&with("/metrics", json!([]))).contains("metrics is []: write an object"));
}

#[test]
fn an_artifact_elsewhere_is_refused() {
    let outside = [
        "s3://models/shop/packages/full-10/model.npz",
        "s3://models/shop/packages/full-2/model.npz",
        "s3://models/shop/packages/full-1/../full-2/model.npz",
        "s3://models/shop/packages/full-1/./model.npz",
        "s3://models/shop/packages/full-1//model.npz",
        "s3://models/shop/packages/full-1/%2e%2e/model.npz",
        "s3://models/shop/packages/full-1/a b",
        "s3://models/shop/packages/full-1/a?b",
        "s3://models/shop/packages/full-1/a\\..\\b",
        "s3://models/shop/packages/full-1/a\nb",
        "s3://models/shop/packages/full-1model.npz",
        "S3://models/shop/packages/full-1/model.npz",
        " s3://models/shop/packages/full-1/model.npz",
        "file:///etc/passwd",
        "",
    ];
    for uri in outside {
        let error = error(&with("/artifact/uri", json!(uri)));
        assert!(error.starts_with("artifact.uri is "), "{uri}: {error}");
        assert!(
            error.contains("write a URI below s3://models/shop/packages/full-1/ (RECOMMENDER_OUTPUT_URI)"),
            "{error}"
        );
    }
    assert!(
        error(&with("/artifact/uri", json!(format!("{PREFIX}/{}", "a".repeat(1024))))).starts_with("artifact.uri is ")
    );
    for inside in
        [PREFIX.to_owned(), format!("{PREFIX}/"), format!("{PREFIX}/a/b-1.0_x.npz"), format!("{PREFIX}/..a/b..")]
    {
        assert_eq!(read(&with("/artifact/uri", json!(inside))).expect("a report").uri, inside);
    }
}

#[test]
fn digest_and_size_are_refused_and_a_date_is_left_out_unless_well_formed() {
    for digest in [
        json!("0123"),
        json!("md5:00"),
        json!("sha256:"),
        json!(DIGEST[..70]),
        json!(format!("{DIGEST}0")),
        json!(DIGEST.replace('f', "g")),
        json!(7),
    ] {
        assert!(
            error(&with("/artifact/digest", digest))
                .ends_with("write sha256: and the 64 hex digits of the artifact's SHA-256")
        );
    }
    let long = error(&with("/artifact/digest", json!("c".repeat(64))));
    assert!(long.starts_with(&format!("artifact.digest is \"{}…\": write sha256:", "c".repeat(47))), "{long}");
    let upper = read(&with("/artifact/digest", json!(DIGEST.to_uppercase().replace("SHA", "sha")))).expect("a report");
    assert_eq!(upper.digest, DIGEST, "digests are compared in lower case");
    for bytes in [json!(0), json!(-1), json!(1.5), json!("123"), json!(u64::MAX), json!(null)] {
        assert!(error(&with("/artifact/bytes", bytes)).starts_with("artifact.bytes is "));
    }
    let dates = [
        "yesterday",
        "2026-11-21",
        "2026-11-21T03:00:00",
        "2026-13-01T00:00:00Z",
        "-000001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2036-11-21T03:00:00Z",
    ];
    for date in dates {
        let mut report = valid();
        report["dataThrough"] = json!(date);
        assert_eq!(read(&report).expect("a report").data_through, None, "{date}");
        assert!(left_out(&report).starts_with("Left out of its report: dataThrough is "), "{date}");
    }
    let mut report = valid();
    report["dataThrough"] = json!(null);
    assert_eq!(read(&report).expect("a report").data_through, None);
}

proptest! {
    #[test]
    fn errors_stay_short_and_on_one_line_whatever_is_reported(text in "\\PC{0,200}|[\\x00-\\x7f]{0,5000}|\\{\"metrics\": \\{\"\\PC{0,90}\": \"\\PC{0,90}\"\\}\\}") {
        if let Err(error) = parsed(Some(&text), PREFIX) {
            let error = error.to_string();
            prop_assert!(error.chars().count() <= 512, "{}", error);
            prop_assert!(!error.contains(char::is_control), "{:?}", error);
        }
    }
}
