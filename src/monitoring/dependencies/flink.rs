//! Flink's Prometheus reporter; names derived from the rules of Flink 1.20 and its Kafka connector 3, not tested against a
//! running Flink.
//!
//! - `pendingRecords` appears with the first record that a subtask of a source fetches. A subtask without a record has no
//!   series, and no partition with waiting records. If no source of a job has had a record, the lag is absent.
//! - The reporter does not show whether a subtask is missing. A TaskManager that reported the job within ten minutes and does
//!   not answer its scrapes now makes the lag unknown. A TaskManager whose target is gone does not, because Flink restarts
//!   the job without it.
//! - NaN makes the lag unknown.
//! - Meters are already rates over a minute, so no `rate()`. Only operators with `pendingRecords` count: sources.
//! - In labels, the reporter replaces every character that is not a letter, a digit, `_` or `:` by `_`: write the job's name
//!   as in `job_name`.

use super::{Exporter, Parts, Sum, Window};

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("pending", "flink_taskmanager_job_task_operator_pendingRecords{job_name=@job@labels}"),
        ("read", "flink_taskmanager_job_task_operator_numRecordsInPerSecond{job_name=@job@labels}"),
        ("waiting", "clamp_min(max by (operator_id, subtask_index) (@pending), 0)"),
        ("silent", "up{instance!=\"\"} == 0 and on (job, instance) last_over_time(@pending[10m])"),
        ("sources", "@read and on (operator_id, subtask_index, instance) @pending"),
    ],
    parts: Parts::Unknown,
    lag: Sum::Total("sum(@waiting) unless count(@silent)"),
    consumed: Some(Sum::Total("sum(max by (operator_id, subtask_index) (@sources))")),
    arrivals: None,
    window: Window::AsItIs,
};
