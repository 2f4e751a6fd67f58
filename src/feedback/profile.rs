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
    let of_profiles = profiles::all().map(profiles::of).flat_map(|profile| {
        let histograms = profile.histograms().map(|of| of.name.clone());
        measured(profile).into_iter().chain([profile.presence.clone()]).chain(histograms)
    });
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
    /// A histogram of its profile is stored as a native one, and the rules read classic ones.
    IsNative(&'static str),
    /// A histogram is stored as a classic one, and its profile declares a native one.
    IsClassic(&'static str),
    /// The series is missing that exists as soon as the server runs.
    Missing(&'static str),
}

/// What is wrong with the series that a server exposes. Counters with labels exist only after the first request, so that a profile
/// is another one only if more of its series exist. `reads_native`: whether the rules read native histograms, whatever the profile
/// declares.
pub fn mismatch(profile: &str, reads_native: bool, names: &BTreeSet<String>) -> Option<Mismatch> {
    if profile == CUSTOM {
        return None;
    }
    let found = |of: &str| -> Vec<String> {
        let of = profiles::of(of);
        measured(of).iter().filter_map(|name| stored(of, name, names)).collect()
    };
    let own = found(profile).len();
    // Of several that fit equally well, the first.
    let fits = profiles::all().rev().max_by_key(|of| found(of).len());
    match fits {
        Some(fits) if found(fits).len() > own => Some(Mismatch::Other { found: found(fits), fits }),
        _ => {
            let profile = profiles::of(profile);
            let presence = profile.presence.as_str();
            let is_evidence = own == 0 || !presence.starts_with(PROCESS);
            let is_missing = is_evidence && stored(profile, presence, names).is_none();
            form(profile, reads_native, names).or_else(|| is_missing.then_some(Mismatch::Missing(presence)))
        }
    }
}

/// A histogram that is stored in another form than in that which the rules read.
fn form(profile: &'static Profile, reads_native: bool, names: &BTreeSet<String>) -> Option<Mismatch> {
    profile.histograms().find_map(|of| {
        let name = of.name.as_str();
        let has_native = names.contains(name);
        let has_classic = ["_count", "_sum"].iter().any(|end| names.contains(&format!("{name}{end}")));
        match (has_classic, has_native) {
            (false, true) if !of.native && !reads_native => Some(Mismatch::IsNative(name)),
            (true, false) if of.native => Some(Mismatch::IsClassic(name)),
            _ => None,
        }
    })
}

/// The name that a counter has among these: its own, or that of the native histogram that it is a part of.
fn stored(profile: &Profile, counter: &str, names: &BTreeSet<String>) -> Option<String> {
    let histogram = profile.histogram(counter).map(|(of, _)| of.name.as_str());
    [Some(counter), histogram].into_iter().flatten().find(|name| names.contains(*name)).map(str::to_owned)
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
            assert_eq!(mismatch(profile, false, &names), expected, "{profile:?} and {names:?}");
        }
    }

    #[test]
    fn histograms_in_a_form_that_no_rule_reads_are_found() {
        const PYTHON: &str = "process_cpu_seconds_total";
        const HIGHR: &str = "http_request_duration_highr_seconds";
        const OTEL: &str = "http_server_request_duration_seconds";
        let (requests, classic) = ("http_requests_total", "http_request_duration_highr_seconds_count");
        let is_native = |name| Some(Mismatch::IsNative(name));
        for (profile, names, of_classic, of_native) in [
            ("FastApiInstrumentator", vec![PYTHON, requests, HIGHR], is_native(HIGHR), None),
            ("FastApiInstrumentator", vec![PYTHON, requests, HIGHR, classic], None, None),
            ("FastApiInstrumentator", vec![PYTHON, requests, classic], None, None),
            ("OpenTelemetry", vec![PYTHON, OTEL], is_native(OTEL), None),
            ("OpenTelemetry", vec![PYTHON], None, None),
        ] {
            let names: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
            assert_eq!(mismatch(profile, false, &names), of_classic, "{profile} and {names:?}");
            assert_eq!(mismatch(profile, true, &names), of_native, "{profile} and {names:?}");
        }
        // Those of another profile are recognised in either form.
        let names = [PYTHON, OTEL].map(str::to_owned).into();
        let other = Mismatch::Other { fits: "OpenTelemetry", found: vec![OTEL.into()] };
        assert_eq!(mismatch("StarletteExporter", false, &names), Some(other));
    }

    #[test]
    fn every_profile_fits_what_it_reads() {
        for profile in profiles::all() {
            let of = profiles::of(profile);
            let names = measured(of).into_iter().chain([of.presence.clone()]).collect();
            assert_eq!(mismatch(profile, false, &names), None, "{profile:?}");
            assert!(names.iter().all(|name| probed().contains(name)));
        }
    }
}
