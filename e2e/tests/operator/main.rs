//! The operator as users have it: a container from its Helm chart, on a real cluster, with trainers and servers that do
//! what each test wants.

mod audit;
mod bed;
mod children;
mod conflicts;
mod crashes;
mod deletion;
mod lifecycle;
mod names;
mod refused;
mod retraining;
mod s3;
mod scaling;
mod scripts;
mod servers;
mod silence;
mod trainers;
mod workers;

use libtest_mimic::{Arguments, Failed, Trial};

/// Tests at a time. They mostly wait for pods to start and end; more than this only make each other slow on two cores.
const AT_A_TIME: usize = 8;

/// Lists tests by module, in the order in which they start: those that take longest first.
macro_rules! tests {
    ($($module:ident { $($name:ident),+ $(,)? })+) => {
        vec![$($(Trial::test(
            concat!(stringify!($module), "::", stringify!($name)),
            || finish($module::$name()),
        )),+),+]
    };
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let mut trials = tests! {
        workers {
            a_worker_without_work_goes_and_comes_back_with_it,
            a_worker_follows_its_lag_and_steps_aside_for_others,
        }
        silence { a_converged_object_costs_no_request_for_60_seconds }
        scaling {
            replicas_belong_to_the_autoscaler_alone,
            going_to_an_autoscaler_and_back_makes_no_dip,
        }
        servers {
            an_image_that_cannot_be_pulled_is_told_and_never_takes_down_what_serves,
            a_server_that_never_gets_ready_is_told_and_never_takes_down_what_serves,
        }
    };
    trials.extend(trainers::trials());
    trials.extend(tests! {
        s3 { versions_live_in_a_bucket_and_a_secret_that_is_missing_or_wrong_is_told }
        trainers { an_image_that_cannot_be_pulled_is_told_and_replaced_at_once }
        lifecycle { from_apply_to_serving_each_child_is_written_once }
        retraining {
            a_new_version_is_rolled_out_without_a_failed_request,
            a_request_that_is_not_understood_is_told_and_starts_nothing,
        }
        children {
            a_child_that_is_deleted_comes_back,
            a_training_job_that_is_deleted_is_started_again,
            a_child_edited_by_hand_is_put_right_and_what_others_added_stays,
            monitoring_that_is_no_longer_wanted_is_removed,
        }
        conflicts { children_of_the_user_with_our_names_are_never_touched }
        refused {
            a_quota_on_jobs_is_told_and_training_goes_on_when_it_is_lifted,
            a_quota_on_pods_is_told_and_training_goes_on_when_it_is_lifted,
            a_schedule_that_cannot_be_read_stalls_until_it_is_edited,
        }
        names { names_of_any_length_with_dots_and_digits_serve }
        deletion {
            deleting_the_object_removes_everything,
            a_namespace_that_is_deleted_ends_cleanly,
        }
        crashes {
            a_restart_with_converged_objects_only_lists_and_watches,
            an_operator_killed_every_second_trains_each_object_exactly_once,
        }
    });
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs a test on a runtime of its own.
fn finish(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test).map_err(|error| Failed::from(format!("{error:#}")))
}
