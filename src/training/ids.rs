//! Names of versions. They depend only on the cause of a run. A run whose Job was created just before a crash therefore
//! gets the same name again, and the API server rejects the second Job.

use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};

use super::Plan;
use crate::api::{TrainingKind, Trigger};

/// The version of a run: the kind and the scheduled time, as in `full-YYYYMMDD-HHMM` (UTC), else the kind with `i` (initial), `r`
/// (request) or `s` (signal) and eight hex digits. At most 21 characters, valid in names and labels.
///
/// `last` is the version of the run of that kind that ended last. It distinguishes two runs with the same cause, such as a request
/// whose value is set again later. Of a run by a trigger it names the trigger and its last run as well.
pub fn version(plan: &Plan, kind: TrainingKind, trigger: Trigger, due: Timestamp, last: Option<&str>) -> String {
    let kind = kind.lower();
    match trigger {
        Trigger::Schedule => format!("{kind}-{}", due.to_zoned(TimeZone::UTC).strftime("%Y%m%d-%H%M")),
        Trigger::Initial => format!("{kind}-i{}", hash(&[&plan.uid, "initial", &plan.template, last.unwrap_or("")])),
        Trigger::Signal => format!("{kind}-s{}", hash(&[&plan.uid, "signal", last.unwrap_or("")])),
        Trigger::Request => {
            let request = plan.request.as_deref().unwrap_or("");
            format!("{kind}-r{}", hash(&[&plan.uid, "request", request, last.unwrap_or("")]))
        }
    }
}

/// A number of seconds from 0 to `most`, always the same for the same object and evenly distributed over objects.
pub fn share_of(most: i64, uid: &str) -> i64 {
    let digest = i64::from_str_radix(&hash(&[uid, "jitter"]), 16).unwrap_or_default();
    digest.rem_euclid(most.max(0) + 1)
}

fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // The length makes "ab", "c" and "a", "bc" hash differently.
        hasher.update(part.len().to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
