//! Scaling as users experience it: the operator in a real cluster, real load on real programs, and the metrics of a
//! Prometheus. Each test prints a table.

mod bed;
mod crowd;
mod dependencies;
mod kafka;
mod lag;
mod latency;
mod outage;
mod rq;
mod serving;
mod story;
mod turn;
mod watch;

use libtest_mimic::{Arguments, Failed, Trial};

/// Lines of a failed test's report that the summary repeats: the sentence that failed, and its table.
const SUMMARY_LINES: usize = 40;

fn main() {
    let mut arguments = Arguments::from_args();
    // All start at once: `turn::Turn` decides what runs together.
    arguments.test_threads.get_or_insert(6);
    let trials = vec![
        trial("kafka::workers_catch_up_with_a_topic", kafka::workers_catch_up_with_a_topic),
        trial("rq::workers_catch_up_with_a_queue", rq::workers_catch_up_with_a_queue),
        trial(
            "dependencies::a_sick_dependency_is_named_and_alerted_on",
            dependencies::a_sick_dependency_is_named_and_alerted_on,
        ),
        trial(
            "story::a_recommender_is_retrained_all_day_by_an_operator_that_is_killed",
            story::a_recommender_is_retrained_all_day_by_an_operator_that_is_killed,
        ),
        trial("latency::servers_keep_their_latency_under_load", latency::servers_keep_their_latency_under_load),
        // Takes a quarter of an hour, which `cargo test --workspace` does not have. Run it alone on a quiet machine: its limit of
        // a fifth is close, because new replicas take 8 to 10 s to start, and the time until the plain HPA's first order varies
        // between 20 and 46 s.
        trial("crowd::a_crowd_does_not_blind_the_scaler", crowd::a_crowd_does_not_blind_the_scaler)
            .with_ignored_flag(true),
        trial(
            "overload::servers_stay_ready_and_serve_their_capacity",
            crowd::overloaded_servers_stay_ready_and_serve_their_capacity,
        ),
        trial("outage::replicas_hold_while_prometheus_is_down", outage::replicas_hold_while_prometheus_is_down),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test on its own runtime. What it reports when it fails is printed at once, because the tests after it take many minutes,
/// and its first lines again in the summary at the end.
fn trial<F: Future<Output = anyhow::Result<()>>>(
    name: &'static str,
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(test()).map_err(|error| {
            eprintln!("{name} failed: {error:#}");
            let report = format!("{error:#}");
            let first = report.lines().take(SUMMARY_LINES).collect::<Vec<_>>().join("\n");
            Failed::from(format!("{first}\n... all of its report is printed above, where it failed"))
        })
    })
}
