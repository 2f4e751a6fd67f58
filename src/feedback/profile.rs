//! Whether servers expose the series of their metric profile, and which one else fits.

use std::collections::BTreeSet;

use crate::{
    catalog::{CUSTOM, Profile},
    monitoring::profiles,
    series::Series,
};

/// First part of the names that client libraries expose of every process: no profile is recognised by them.
const PROCESS: &str = "process_";

/// The series whose existence shows which profile a server has, and whether rules are evaluated.
pub fn probed() -> Vec<String> {
    let of_profiles = profiles::all()
        .map(profiles::of)
        .flat_map(|profile| measured(profile).into_iter().chain([profile.presence.clone()]));
    let names: BTreeSet<String> =
        of_profiles.chain([Series::Targets, Series::ProbeUp].map(|of| of.name().to_owned())).collect();
    names.into_iter().collect()
}

/// What is wrong with the series of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Mismatch {
    /// It has the series of another profile.
    Other {
        /// Those series.
        found: Vec<String>,
        /// That profile.
        fits: &'static str,
    },
    /// The series is missing that exists as soon as the server runs.
    Missing(&'static str),
}

/// What is wrong with the series that a server exposes. Counters with labels exist only after the first request, so that a profile
/// is another one only if more of its series exist.
pub fn mismatch(profile: &str, names: &BTreeSet<String>) -> Option<Mismatch> {
    if profile == CUSTOM {
        return None;
    }
    let found = |of: &str| -> Vec<String> {
        measured(profiles::of(of)).into_iter().filter(|name| names.contains(name)).collect()
    };
    let own = found(profile).len();
    // Of several that fit equally well, the first.
    let fits = profiles::all().rev().max_by_key(|of| found(of).len());
    match fits {
        Some(fits) if found(fits).len() > own => Some(Mismatch::Other { found: found(fits), fits }),
        _ => {
            let presence = profiles::of(profile).presence.as_str();
            let is_evidence = own == 0 || !presence.starts_with(PROCESS);
            (is_evidence && !names.contains(presence)).then_some(Mismatch::Missing(presence))
        }
    }
}

/// The counters that requests and durations are read from.
fn measured(profile: &Profile) -> BTreeSet<String> {
    let latency = profile.latency.iter().map(|latency| format!("{}_count", latency.histogram));
    profile.requests.iter().map(|of| of.name.clone()).chain(latency).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_another_one_only_when_more_of_its_series_exist() {
        const PYTHON: &str = "process_cpu_seconds_total";
        const HIGHR: &str = "http_request_duration_highr_seconds_count";
        const LEGACY: &str = "http_server_duration_milliseconds_count";
        let other = |fits, found: &[&str]| {
            Some(Mismatch::Other { fits, found: found.iter().map(ToString::to_string).collect() })
        };
        let (requests, durations) = ("starlette_requests_total", "starlette_requests_processing_time_seconds_count");
        for (profile, names, expected) in [
            ("FastApiInstrumentator", vec![PYTHON, HIGHR, "http_requests_total"], None),
            ("FastApiInstrumentator", vec![PYTHON, HIGHR], None),
            ("FastApiInstrumentator", vec![PYTHON, LEGACY], other("OpenTelemetryLegacy", &[LEGACY])),
            ("FastApiInstrumentator", vec![PYTHON], Some(Mismatch::Missing(HIGHR))),
            ("FastApiInstrumentator", vec![PYTHON, "http_requests_total"], Some(Mismatch::Missing(HIGHR))),
            ("OpenTelemetry", vec![PYTHON], None),
            ("OpenTelemetry", vec!["http_server_request_duration_seconds_count"], None),
            ("OpenTelemetry", vec![], Some(Mismatch::Missing(PYTHON))),
            ("OpenTelemetry", vec![PYTHON, LEGACY], other("OpenTelemetryLegacy", &[LEGACY])),
            ("StarletteExporter", vec![PYTHON, requests], None),
            (
                "StarletteExporter",
                vec![PYTHON, requests, durations],
                other("StarlettePrometheus", &[durations, requests]),
            ),
            ("Triton", vec!["nv_inference_request_success"], None),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(mismatch(profile, &names), expected, "{profile:?} and {names:?}");
        }
    }

    #[test]
    fn every_profile_fits_what_it_reads() {
        for profile in profiles::all() {
            let of = profiles::of(profile);
            let names = measured(of).into_iter().chain([of.presence.clone()]).collect();
            assert_eq!(mismatch(profile, &names), None, "{profile:?}");
            assert!(names.iter().all(|name| probed().contains(name)));
        }
    }
}
