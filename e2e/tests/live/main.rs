//! Scaling as users experience it: the operator in a real cluster, real load on real programs, and the metrics of a
//! Prometheus. Each test prints a table.

mod bed;
mod crowd;
mod kafka;
mod lag;
mod latency;
mod outage;
mod rq;
mod serving;
mod turn;
mod watch;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // All start at once: `turn::Turn` decides what runs together.
    arguments.test_threads.get_or_insert(6);
    let trials = vec![
        Trial::test("kafka::workers_catch_up_with_a_topic", || finish(kafka::workers_catch_up_with_a_topic())),
        Trial::test("rq::workers_catch_up_with_a_queue", || finish(rq::workers_catch_up_with_a_queue())),
        Trial::test("latency::servers_keep_their_latency_under_load", || {
            finish(latency::servers_keep_their_latency_under_load())
        }),
        // Takes a quarter of an hour, which `cargo test --workspace` does not have. Run it alone on a quiet machine: its limit of
        // a fifth is close, because new replicas take 8 to 10 s to start, and the time until the plain HPA's first order varies
        // between 20 and 46 s.
        Trial::test("crowd::a_crowd_does_not_blind_the_scaler", || finish(crowd::a_crowd_does_not_blind_the_scaler()))
            .with_ignored_flag(true),
        Trial::test("overload::servers_stay_ready_and_serve_their_capacity", || {
            finish(crowd::overloaded_servers_stay_ready_and_serve_their_capacity())
        }),
        Trial::test("outage::replicas_hold_while_prometheus_is_down", || {
            finish(outage::replicas_hold_while_prometheus_is_down())
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs a test on its own runtime.
fn finish(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test).map_err(|error| Failed::from(format!("{error:#}")))
}
