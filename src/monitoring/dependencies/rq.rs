//! rq-exporter (mdawar); names and behaviour as in release 3.1.0 with RQ 2.12.
//!
//! - `rq_jobs` counts by status. Running jobs (`started`) count as waiting, like queued ones: removing their worker kills
//!   them. Finished and failed jobs are kept for a while and then removed, so their numbers are no counters.
//! - A queue exists from its first job on, and then has all statuses. Before that, and if its name is misspelt, it has no
//!   series, even if workers listen to it.
//! - Workers count their jobs over all queues, and list their queues in one label (`queues="a,b"`). If a worker also listens
//!   to queues that are not named here, the consumption is unknown.
//! - The counters exist only as long as their workers. If there is no worker and the exporter answers, the consumption is 0.

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
