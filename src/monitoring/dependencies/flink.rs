//! Flink's Prometheus reporter; names by the rules of Flink 1.20 and its Kafka connector 3, not tried against a running one.
//!
//! - `pendingRecords` appears with the first record that a source's subtask fetches: one that has had none says nothing, and
//!   has no partition that anything waits in. A job of which no source has had a record has no lag.
//! - Whether a subtask is missing, nobody tells. A TaskManager that had the job within ten minutes and now does not answer
//!   its scrapes makes the lag unknown; one that is gone does not, because Flink restarts the job without it.
//! - NaN makes the lag unknown.
//! - Meters are rates already, over a minute: no `rate()`. Those of the operators that have `pendingRecords` count: sources.
//! - The reporter replaces what is not a letter, a digit, `_` or `:` in labels by `_`: write the job's name as in
//!   `job_name`.

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
