//! Scaling as users have it: the operator in a real cluster, real load on real programs, and the numbers that a Prometheus
//! saw. Each test prints what happened as a table.

mod bed;
mod crowd;
mod kafka;
mod lag;
mod latency;
mod outage;
mod rq;
mod serving;
mod watch;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // They mostly wait: for windows of minutes to pass. What must not be shared is said by `bed::Turn`: the first two go
    // together, each of the others alone.
    arguments.test_threads.get_or_insert(2);
    let trials = vec![
        Trial::test("kafka::workers_catch_up_with_a_topic", || finish(kafka::workers_catch_up_with_a_topic())),
        Trial::test("rq::workers_catch_up_with_a_queue", || finish(rq::workers_catch_up_with_a_queue())),
        Trial::test("latency::servers_keep_their_latency_under_load", || {
            finish(latency::servers_keep_their_latency_under_load())
        }),
        // Its limits are those that were set for it, and have not been seen to hold on a quiet machine yet; a quarter of an hour.
        Trial::test("crowd::a_crowd_does_not_blind_the_scaler", || finish(crowd::a_crowd_does_not_blind_the_scaler()))
            .with_ignored_flag(true),
        Trial::test("overload::servers_stay_ready_and_do_what_they_can", || {
            finish(crowd::servers_asked_for_twice_what_all_carry_stay_ready_and_do_what_they_can())
        }),
        Trial::test("outage::replicas_hold_while_prometheus_is_down", || {
            finish(outage::replicas_hold_while_prometheus_is_down())
        }),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs a test on a runtime of its own.
fn finish(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test).map_err(|error| Failed::from(format!("{error:#}")))
}
