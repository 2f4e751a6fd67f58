//! Properties that hold for any sequence of signals, pods and restarts.

use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{plan::ScalingPlan, pods::Pods, tick::Tick, workload::Scaled},
    at, model, serving,
};
use crate::{
    series::{Series, Subject},
    signals::fake::readings,
};

/// Fewest replicas.
const MIN: i32 = 2;
/// Most replicas.
const MAX: i32 = 20;
/// Seconds that the request rate and the lag have to be fresh before replicas are lowered.
const WINDOWS: [(Series, i64); 2] = [(Series::RequestRate, 20), (Series::Lag, 120)];

/// The newest sample of one series.
#[derive(Clone, Debug)]
enum Sample {
    None,
    /// A number, and its age in seconds.
    Number(f64, i64),
    Garbage(&'static str),
}

impl Sample {
    fn is_fresh(&self) -> bool {
        matches!(self, Self::Number(_, age) if *age <= 20)
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    let number = prop_oneof![4 => Just(0.0), 4 => 0.0..1000.0, 1 => 0.0..1e12];
    let age = prop_oneof![6 => Just(0_i64), 1 => 0_i64..400];
    prop_oneof![
        8 => (number, age).prop_map(|(value, age)| Sample::Number(value, age)),
        1 => Just(Sample::None),
        1 => prop::sample::select(vec!["NaN", "+Inf", "-Inf", "-1", "1e300", "", "many"]).prop_map(Sample::Garbage),
    ]
}

/// The conditions of some consecutive ticks.
#[derive(Clone, Debug)]
struct Phase {
    ticks: i64,
    samples: Vec<Sample>,
    desired: u32,
    ready: u32,
    rolling_out: bool,
    /// Whether the Deployment is in the cache.
    known: bool,
    /// Whether the pods follow the reported replicas, instead of `desired` and `ready`.
    follows: bool,
    /// Whether the operator restarts at the begin of the phase.
    restarts: bool,
}

fn phase() -> impl Strategy<Value = Phase> {
    let samples = prop::collection::vec(sample(), Series::SCALING.len());
    let flags =
        (prop::bool::weighted(0.1), prop::bool::weighted(0.9), prop::bool::weighted(0.8), prop::bool::weighted(0.1));
    (1_i64..60, samples, 0_u32..30, 0_u32..30, flags).prop_map(
        |(ticks, samples, desired, ready, (rolling_out, known, follows, restarts))| Phase {
            ticks,
            samples,
            desired,
            ready,
            rolling_out,
            known,
            follows,
            restarts,
        },
    )
}

/// The samples of a tick, in the form that a source returns.
fn given(phase: &Phase) -> Vec<(&'static str, &'static str, Series, &'static str, String, i64)> {
    let of_series = Series::SCALING.into_iter().zip(&phase.samples);
    of_series
        .filter_map(|(series, sample)| {
            let about = if series.subject() == Subject::Workload { "serving" } else { "events" };
            let (value, age) = match sample {
                Sample::None => return None,
                Sample::Number(value, age) => (value.to_string(), *age),
                Sample::Garbage(text) => ((*text).to_owned(), 0),
            };
            Some(("shop", "packages", series, about, value, age))
        })
        .collect()
}

fn pods(phase: &Phase, reported: Option<i32>) -> Option<Pods> {
    let follows = reported.filter(|_| phase.follows).map(|reported| reported as u32);
    let (desired, ready) = follows.map_or((phase.desired, phase.ready), |reported| (reported, reported));
    let ready_since = vec![at(-3600); ready as usize];
    let pods =
        Pods { desired, ready, ready_since, startup: Some(20.0), rolling_out: phase.rolling_out, ..Pods::default() };
    phase.known.then_some(pods)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn replicas_stay_within_bounds_and_only_fresh_data_lower_them(phases in prop::collection::vec(phase(), 1..12)) {
        let latency = json!({"quantile": "P95", "targetMilliseconds": 75});
        let lag = json!({"dependency": "events", "catchUpSeconds": 60, "maxLagMessages": 100_000});
        let both = json!({"minReplicas": MIN, "maxReplicas": MAX, "latency": latency, "lag": lag});
        let model = model("packages", json!({"serving": serving(both)}));
        let plan = ScalingPlan::new(&model, &model.serving_workload()).expect("decided");
        let mut scaled = Scaled::new(plan.clone(), None, None, at(0));
        let mut now = 0;
        // Since when each series has been continuously fresh for this process.
        let mut fresh_since = [None; WINDOWS.len()];
        for phase in &phases {
            if phase.restarts {
                scaled = Scaled::new(plan.clone(), None, scaled.reported().cloned(), at(now));
                fresh_since = [None; WINDOWS.len()];
            }
            for _ in 0..phase.ticks {
                now += 5;
                let before = scaled.reported().map(|reported| reported.replicas);
                scaled.update(plan.clone(), pods(phase, before));
                let readings = readings(&given(phase), now);
                let (object, readings) = (("shop", "packages"), Some(&readings));
                let (now_, clock) = (at(now), now as f64);
                scaled.tick(&Tick { object, workload: "serving", source: "default", readings, now: now_, clock });
                for (since, (series, _)) in fresh_since.iter_mut().zip(WINDOWS) {
                    let fresh = phase.known && phase.samples[Series::SCALING.iter().position(|of| *of == series).expect("one")].is_fresh();
                    *since = if fresh { since.or(Some(now)) } else { *since };
                    if phase.known && !fresh {
                        *since = None;
                    }
                }
                let Some(reported) = scaled.reported() else { continue };
                prop_assert!((MIN..=MAX).contains(&reported.replicas), "{reported:?}");
                prop_assert!(reported.decisions.len() <= 10);
                if before.is_some_and(|before| reported.replicas < before) {
                    for (since, (series, window)) in fresh_since.iter().zip(WINDOWS) {
                        let lasted = since.map(|since| now - since);
                        prop_assert!(lasted.is_some_and(|lasted| lasted >= window), "{series:?} {lasted:?} {before:?} {reported:?}");
                    }
                }
            }
        }
    }
}
