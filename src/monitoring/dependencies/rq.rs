//! rq-exporter (mdawar); read off release 3.1.0, and off what it says of RQ 2.12.
//!
//! - `rq_jobs` counts by status. Jobs that run (`started`) wait as much as queued ones: taking their worker away kills them.
//!   Finished and failed ones are kept for a while and then fall: no counters.
//! - A queue is known from its first job on, and then has all statuses. Before that, and where its name is misspelt, it is
//!   missing, whoever listens to it.
//! - Workers count what they did, whatever the queue, and name their queues in one label (`queues="a,b"`). Where a worker
//!   also takes from queues that are not named here, nobody knows how much of ours was worked off.
//! - The counters come and go with the workers. No worker, and an exporter that answers: nothing is worked off.

use super::{Exporter, Parts, Sum, Window, any_name, count, quote, template::Values};
use crate::{api::Rq, monitoring::promql::quote_regex};

pub const EXPORTER: Exporter = Exporter {
    terms: &[
        ("jobs", "rq_jobs{queue=~@queues,status=~\"queued|started\"@labels}"),
        ("succeeded", "rq_workers_success_total{queues=~@only@labels}"),
        ("failed", "rq_workers_failed_total{queues=~@only@labels}"),
        ("done", "sum(max by (name) (rate(@succeeded[@window]) and @succeeded))"),
        ("given_up", "sum(max by (name) (rate(@failed[@window]) and @failed))"),
        ("workers", "count(rq_workers{queues=~@some@labels})"),
        ("mixed", "count(rq_workers{queues=~@some,queues!~@only@labels})"),
    ],
    parts: Parts::Named,
    lag: Sum::Parts("sum by (queue) (max by (queue, status) (@jobs))"),
    consumed: Some(Sum::Total("(@done + @given_up or 0 * count(@jobs) unless @workers) unless @mixed")),
    arrivals: None,
    window: Window::AsItIs,
};

pub fn values(rq: &Rq) -> Values {
    let names: Vec<String> = rq.queues.iter().map(|queue| quote_regex(queue)).collect();
    let one = format!("({})", names.join("|"));
    vec![
        ("queues", any_name(&rq.queues)),
        ("count", count(&rq.queues)),
        ("only", quote(&format!("{one}(,{one})*"))),
        ("some", quote(&format!("(.*,)?{one}(,.*)?"))),
    ]
}
