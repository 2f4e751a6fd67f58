//! Parses Prometheus' answer to a range query without copying it: 10,000 objects are 2 MB of JSON per series.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{
    failure::{Failure, shorten},
    reason,
};
use crate::scaling::Signal;

/// The usable part of an answer.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The series that have a sample.
    pub series: Vec<Newest<'a>>,
    /// Why the answer is incomplete. None when it is complete.
    pub partial: Option<String>,
}

/// The newest sample of one series.
#[derive(Debug)]
pub(super) struct Newest<'a> {
    /// The object.
    pub labels: Labels<'a>,
    /// When it was taken, seconds since 1970 by the server's clock.
    pub at: f64,
    /// A valid number, or why it is not one.
    pub value: Result<f64, &'static str>,
}

/// The labels that identify an object. A missing label is empty.
#[derive(Debug, Deserialize)]
pub(super) struct Labels<'a> {
    #[serde(borrow, default)]
    pub namespace: Cow<'a, str>,
    #[serde(borrow, default)]
    pub recommender: Cow<'a, str>,
    #[serde(borrow, default)]
    pub workload: Cow<'a, str>,
    #[serde(borrow, default)]
    pub dependency: Cow<'a, str>,
    #[serde(borrow, default)]
    pub objective: Cow<'a, str>,
    #[serde(borrow, default)]
    pub pod: Cow<'a, str>,
    /// Only of the series `ALERTS`.
    #[serde(borrow, default)]
    pub alertstate: Cow<'a, str>,
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
}

/// The newest samples of an answer with code 200.
pub(super) fn parse(body: &[u8], max_series: usize) -> Result<Answer<'_>, Failure> {
    let (result, partial) = matrix::<Last>(body, max_series)?;
    Ok(Answer { series: result.into_iter().filter_map(newest).collect(), partial })
}

/// All valid samples of the one series of an answer with code 200: time and value. Empty when there is no series. Several
/// series are an error, because it is not clear which one is meant. A partial answer is an error, because the newest samples
/// may be missing.
pub(super) fn samples(body: &[u8]) -> Result<Vec<(f64, f64)>, Failure> {
    let (result, partial) = matrix::<Vec<Sample>>(body, 1)?;
    if let Some(why) = partial {
        return Err(Failure::Partial(why));
    }
    let samples = result.into_iter().flat_map(|element| element.values);
    Ok(samples.filter_map(|Sample(at, text)| Some((at, number(&text).ok()?))).collect())
}

/// The series of an answer, and why it is incomplete, if it is.
type Matrix<'a, V> = (Vec<Element<'a, V>>, Option<String>);

fn matrix<'a, V: Deserialize<'a> + Default>(body: &'a [u8], max_series: usize) -> Result<Matrix<'a, V>, Failure> {
    result(body, "matrix", max_series)
}

/// The elements of the result of a query, and why it is incomplete, if it is.
pub(super) fn result<'a, E: Deserialize<'a>>(
    body: &'a [u8],
    result_type: &str,
    max_series: usize,
) -> Result<(Vec<E>, Option<String>), Failure> {
    let (data, partial) = data::<Data<E>>(body)?;
    if data.result_type != result_type {
        return Err(Failure::NotPrometheus(shorten(&format!("a {}, not a {result_type}", data.result_type))));
    }
    if data.result.len() > max_series {
        return Err(Failure::TooMany { found: data.result.len(), most: max_series });
    }
    Ok((data.result, partial))
}

/// The data of an answer with code 200, and why it is incomplete, if it is.
pub(super) fn data<'a, D: Deserialize<'a>>(body: &'a [u8]) -> Result<(D, Option<String>), Failure> {
    let wire: Wire<D> = serde_json::from_slice(body).map_err(|error| not_prometheus(body, &error))?;
    if wire.status != "success" {
        return Err(Failure::Refusal(shorten(&wire.error)));
    }
    let data = wire.data.ok_or_else(|| Failure::NotPrometheus("no data in it".into()))?;
    let warning = wire.warnings.unwrap_or_default().into_iter().next();
    Ok((data, warning.map(|warning| shorten(&warning)).or_else(|| wire.is_partial.then(String::new))))
}

/// The error text of an answer with any other code. Empty when there is none that a user can read.
pub(super) fn error_text(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Wire<IgnoredAny>>(body) {
        Ok(wire) => wire.error.into_owned(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    // HTML and JSON are not shown in a status.
    if text.trim_start().starts_with(['<', '{']) { String::new() } else { shorten(&text) }
}

fn not_prometheus(body: &[u8], error: &serde_json::Error) -> Failure {
    if body.trim_ascii_start().starts_with(b"<") {
        return Failure::NotPrometheus("a page of HTML".into());
    }
    Failure::NotPrometheus(match error.classify() {
        serde_json::error::Category::Data => shorten(&error.to_string()),
        _ => "no JSON".into(),
    })
}

fn newest<'a>(element: Element<'a, Last<'a>>) -> Option<Newest<'a>> {
    let Sample(at, text) = element.values.0?;
    Some(Newest { labels: element.metric, at, value: number(&text) })
}

/// Parses a value as Prometheus writes it: `"0.25"`, `"NaN"` or `"+Inf"`. The error is why it cannot have been measured.
fn number(text: &str) -> Result<f64, &'static str> {
    let value: f64 = text.parse().map_err(|_| reason::NO_NUMBER)?;
    match value {
        value if Signal::fresh(value).value().is_some() => Ok(value),
        value if value.is_nan() => Err(reason::NAN),
        value if value < 0.0 => Err(reason::NEGATIVE),
        _ => Err(reason::ABSURD),
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "D: Deserialize<'de>"))]
struct Wire<'a, D> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Cow<'a, str>,
    data: Option<D>,
    /// Set by Thanos when a store did not answer, and by Prometheus when a remote one did not.
    warnings: Option<Vec<String>>,
    /// Set by VictoriaMetrics when a storage node did not answer.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
struct Data<'a, E> {
    #[serde(borrow, rename = "resultType")]
    result_type: Cow<'a, str>,
    result: Vec<E>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "V: Deserialize<'de> + Default"))]
struct Element<'a, V> {
    #[serde(borrow)]
    metric: Labels<'a>,
    #[serde(default)]
    values: V,
}

/// The time in seconds since 1970, and the value as text.
#[derive(Deserialize)]
struct Sample<'a>(f64, #[serde(borrow)] Cow<'a, str>);

/// The newest sample of a list.
#[derive(Default)]
struct Last<'a>(Option<Sample<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Last<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Samples;
        impl<'de> Visitor<'de> for Samples {
            type Value = Last<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of [time, value]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut samples: A) -> Result<Self::Value, A::Error> {
                let mut newest: Option<Sample> = None;
                while let Some(sample) = samples.next_element::<Sample>()? {
                    if newest.as_ref().is_none_or(|newest| newest.0 <= sample.0) {
                        newest = Some(sample);
                    }
                }
                Ok(Last(newest))
            }
        }
        deserializer.deserialize_seq(Samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sample_counts_at_any_position() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"namespace":"shop","recommender":"a\u0062","other":"x"},"values":[[30.5,"3"],[10,"1"],[20,"2"]]},
            {"metric":{"namespace":"shop","recommender":"empty"},"values":[]},
            {"metric":{"namespace":"shop","recommender":"native"},"histograms":[[1,{"count":"1"}]]}]}}"#;
        let answer = parse(body, 10).expect("valid");
        assert!(answer.partial.is_none());
        let [newest] = &answer.series[..] else { panic!("{:?}", answer.series) };
        assert_eq!((newest.at, newest.value, &*newest.labels.recommender), (30.5, Ok(3.0), "ab"));
        assert!(matches!(newest.labels.namespace, Cow::Borrowed("shop")));
        assert_eq!(newest.labels.workload, "");
    }

    #[test]
    fn only_values_that_can_have_been_measured_are_valid() {
        for (text, value) in [("0", 0.0), ("1e3", 1000.0), ("0.250", 0.25), ("-0", 0.0)] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        for (text, why) in [
            ("NaN", reason::NAN),
            ("+Inf", reason::ABSURD),
            ("-Inf", reason::NEGATIVE),
            ("1e300", reason::ABSURD),
            ("1e999", reason::ABSURD),
            ("-1", reason::NEGATIVE),
            ("", reason::NO_NUMBER),
            ("12 apples", reason::NO_NUMBER),
            ("0x10", reason::NO_NUMBER),
        ] {
            assert_eq!(number(text), Err(why), "{text}");
        }
    }

    #[test]
    fn the_error_for_an_invalid_answer_describes_it() {
        let message = |body: &str| parse(body.as_bytes(), 10).expect_err(body).to_string();
        for (body, part) in [
            ("<!DOCTYPE html><p>Sign in", "(a page of HTML)"),
            ("", "(no JSON)"),
            ("{\"status\":\"succ", "(no JSON)"),
            ("[1]", "invalid type"),
            (r#"{"status":"success"}"#, "(no data in it)"),
            (
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}"#,
                "a vector",
            ),
            (
                r#"{"status":"error","errorType":"execution","error":"query timed out"}"#,
                "refused the query: query timed out",
            ),
        ] {
            assert!(message(body).contains(part), "{body}: {}", message(body));
        }
    }

    #[test]
    fn html_and_json_are_not_repeated_in_messages() {
        assert_eq!(error_text(br#"{"status":"error","error":"bad \"query\""}"#), r#"bad "query""#);
        assert_eq!(
            error_text(b"Client sent an HTTP request to an HTTPS server.\n"),
            "Client sent an HTTP request to an HTTPS server."
        );
        assert_eq!(error_text(b" <html>"), "");
        assert_eq!(error_text(br#"{"message": "no tenant"}"#), "");
        assert_eq!(error_text(b"\xff\x00"), "\u{fffd}");
    }
}
