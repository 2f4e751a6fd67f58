//! Properties that hold for any answers of a server and any clocks.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    Quality, Readings, answer,
    failure::Failure,
    fake::{LABELS, NOW, at, matrix},
    readings::{Clock, ReadStats},
};
use crate::{scaling::Signal, series::Series};

/// The readings after an answer, or after a failure.
fn read(readings: &Readings, body: &[u8], ours: f64, server: f64) -> Readings {
    let known = Series::SCALING.map(|series| {
        let before = &readings.series[series.index()];
        match answer::parse(body, 100) {
            Ok(answer) => before.after(series, &answer, Clock { ours, server }, Quality::default(), 100),
            Err(failure) => before.after_failure(failure.reason()),
        }
    });
    readings.next(known.into(), BTreeMap::new(), None, ReadStats::default())
}

fn signal(readings: &Readings, seconds: i64) -> Signal {
    readings.get(Series::Lag, "shop", "packages", "serving", at(seconds))
}

/// Valid and invalid values of samples.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|value| value.to_string()),
        (-10.0..1e6).prop_map(|value: f64| format!("{value:e}")),
        prop::sample::select(vec![
            "NaN", "+Inf", "-Inf", "inf", "-0", "1e300", "-1e-300", "", " 1", "1 ", "1,5", "null"
        ])
        .prop_map(str::to_owned),
        "[-+0-9.eEnNaAiIfFxX]{0,8}",
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_cause_no_panic_and_no_invalid_fresh_value(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        place in any::<prop::sample::Index>(),
    ) {
        let mut body = matrix(&[(LABELS, &format!("[{NOW},\"3\"]"))]).into_bytes();
        let place = place.index(body.len());
        let end = body.len().min(place + bytes.len());
        body.splice(place..end, bytes.iter().copied());
        for body in [&bytes[..], &body] {
            let readings = read(&Readings::none(Quality::default()), body, NOW as f64, NOW as f64);
            if let Signal::Fresh { value, age } = signal(&readings, 0) {
                prop_assert!((0.0..=1e15).contains(&value) && (0.0..=20.0).contains(&age), "{} {}", value, age);
            }
            let _ = answer::error_text(body);
        }
    }

    /// After any sequence of answers and failures, a fresh value is a valid number from the latest successful answer. It was
    /// taken no more than twenty seconds ago on our clock.
    #[test]
    fn only_recently_measured_values_are_fresh(
        answers in prop::collection::vec((value(), prop_oneof![-25_i64..8, -400_i64..60], any::<bool>(), 0_i64..100, -4000_i64..4000), 1..6),
        later in prop_oneof![0_i64..20, 0_i64..400],
    ) {
        let mut readings = Readings::none(Quality::default());
        let (mut ours, mut newest) = (0, None);
        for (value, age, fails, pause, skew) in answers {
            ours += pause;
            let server = ours + skew;
            let body = matrix(&[(LABELS, &format!("[{},{value:?}]", NOW + server + age))]);
            let body = if fails { "" } else { body.as_str() };
            readings = read(&readings, body.as_bytes(), (NOW + ours) as f64, (NOW + server) as f64);
            if !fails {
                newest = Some((value.parse::<f64>(), ours + age.min(0)));
            }
        }
        match (signal(&readings, ours + later), newest) {
            (Signal::Missing(_), _) => {}
            (Signal::Fresh { value, age }, Some((Ok(given), taken))) => {
                prop_assert_eq!(value, given);
                prop_assert!(value >= 0.0 && age <= 20.0 && ours + later - taken <= 20);
            }
            (Signal::Stale { value, .. }, Some((Ok(given), taken))) => {
                prop_assert_eq!(value, given);
                prop_assert!(value >= 0.0 && ours + later - taken <= 300);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    /// Texts of servers are on one line of limited length, so that they cannot fill a status.
    #[test]
    fn failure_messages_are_short(text in ".{0,2000}") {
        for failure in [Failure::Refusal(super::failure::shorten(&text)), Failure::Status { code: 500, text: answer::error_text(text.as_bytes()) }] {
            let sentence = failure.to_string();
            prop_assert!(sentence.chars().count() < 300 && !sentence.contains(char::is_control), "{}", sentence);
        }
    }
}
