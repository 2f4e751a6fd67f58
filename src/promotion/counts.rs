//! The requests of both tracks between two samples, from the counters of their pods. Pure.

use std::collections::BTreeMap;

use crate::{
    model::canary::{ERRORS, SLOW},
    monitoring::canary::Compared,
    series::Series,
    signals::{Readings, Sampled},
};

use super::judge::{Comparison, Counts};

/// The two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// The version that serves.
    Serving,
    /// The canary.
    Canary,
}

/// The counters of a pod at a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When they were recorded, seconds since 1970 by the server's clock. It identifies the sample.
    pub at: f64,
    /// Requests since the pod started.
    pub requests: f64,
    /// Those that failed.
    pub errors: Option<f64>,
    /// Those that were slow.
    pub slow: Option<f64>,
}

/// The newest sample of each pod. It is not kept over a restart: what was counted between two processes is no evidence.
#[derive(Clone, Debug, Default)]
pub struct Counters(BTreeMap<String, Sample>);

impl Counters {
    /// What was counted on each track since the last sample, by signal, and the time of the newest sample. `pods`: the pods of both
    /// tracks. A pod that is new, or whose counters fell because it was restarted, is counted from its next sample on.
    pub fn increase(
        &mut self,
        pods: &BTreeMap<String, Track>,
        read: impl Fn(&str) -> Option<Sample>,
    ) -> (BTreeMap<String, Comparison>, Option<f64>) {
        self.0.retain(|pod, _| pods.contains_key(pod));
        let mut counted: BTreeMap<String, Comparison> = BTreeMap::new();
        let mut newest = None;
        let (mut has_serving, mut has_canary) = (false, false);
        for (pod, track) in pods {
            let Some(sample) = read(pod) else { continue };
            let Some(before) = self.0.insert(pod.clone(), sample).filter(|before| before.at < sample.at) else {
                continue;
            };
            match track {
                Track::Serving => has_serving = true,
                Track::Canary => has_canary = true,
            }
            newest = newest.into_iter().chain([sample.at]).reduce(f64::max);
            let requests = sample.requests - before.requests;
            for (signal, events) in
                [(ERRORS, since(sample.errors, before.errors)), (SLOW, since(sample.slow, before.slow))]
            {
                let Some(events) = events.filter(|events| *events >= 0.0 && requests >= 0.0) else { continue };
                let comparison = counted.entry(signal.into()).or_default();
                let counts = match track {
                    Track::Serving => &mut comparison.baseline,
                    Track::Canary => &mut comparison.canary,
                };
                *counts = Counts { requests: counts.requests + requests, events: counts.events + events };
            }
        }
        // What is known of one track alone is nothing to compare.
        if !(has_serving && has_canary) {
            counted.clear();
        }
        (counted, newest)
    }
}

fn since(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    Some(now? - before?)
}

/// The newest sample of a pod, if all of its counters were recorded at the same time: they are read one after the other.
pub fn sample(
    readings: &Readings,
    (namespace, name): (&str, &str),
    compared: Compared,
    pod: &str,
    now: jiff::Timestamp,
) -> Option<Sample> {
    let value = |series| {
        let signal = readings.get(series, namespace, name, pod, now);
        let Sampled { at, .. } = readings.sampled(series, namespace, name, pod, now)?;
        Some((at, signal.value()?))
    };
    let (at, requests) = value(Series::PodRequests)?;
    let of = |is_compared: bool, series| match is_compared {
        true => value(series).filter(|(of, _)| *of == at).map(|(_, value)| Some(value)),
        false => Some(None),
    };
    let (errors, slow) = (of(compared.errors, Series::PodErrors)?, of(compared.slow.is_some(), Series::PodSlow)?);
    Some(Sample { at, requests, errors, slow })
}
