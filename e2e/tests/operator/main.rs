//! The operator as users install it: a container from its Helm chart, on a real cluster, with trainers and servers that
//! behave as each test needs.

mod audit;
mod bed;
mod children;
mod conflicts;
mod crashes;
mod deletion;
mod designs;
mod feedback;
mod gateways;
mod lifecycle;
mod names;
mod pods;
mod promotion;
mod queues;
mod refused;
mod reloads;
mod retraining;
mod routes;
mod s3;
mod scaling;
mod scripts;
mod servers;
mod silence;
mod trainers;
mod workers;

use libtest_mimic::{Arguments, Failed, Trial};

/// Tests that run at the same time. They mostly wait for pods to start and end. More tests would slow each other down
/// on two cores.
const PARALLEL_TESTS: usize = 8;

/// Lists tests by module, in start order: the longest first.
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
    arguments.test_threads.get_or_insert(PARALLEL_TESTS);
    let mut trials = tests! {
        // First: Kueue is compiled on first use.
        queues { kueue_admits_runs_one_after_the_other_and_what_it_evicts_has_not_failed }
        workers {
            a_worker_without_work_scales_to_zero_and_back_up_with_work,
            a_worker_follows_its_lag_and_yields_to_another_autoscaler,
        }
        reloads {
            a_partial_version_takes_over_without_a_restart_and_is_taken_back_so,
            a_server_that_does_not_change_versions_is_restarted_after_the_timeout,
        }
        silence { a_converged_object_causes_no_requests_for_60_seconds }
        feedback { what_prometheus_has_not_loaded_is_reported_with_the_remedy_which_helps }
        scaling {
            the_operator_does_not_own_the_replicas_of_an_autoscaled_deployment,
            switching_to_an_autoscaler_and_back_never_reduces_the_replicas,
        }
        servers {
            an_image_that_cannot_be_pulled_is_reported_and_the_served_version_stays_up,
            a_server_that_never_gets_ready_is_reported_and_the_served_version_stays_up,
        }
    };
    trials.extend(trainers::trials());
    trials.extend(tests! {
        pods {
            each_wrong_setting_of_a_trainers_pod_is_explained_with_the_field_to_change,
            a_secret_for_images_that_does_not_exist_is_named_with_the_failed_pull,
            an_evicted_trainer_has_not_failed_and_is_started_again,
            trainers_of_a_distributed_run_find_each_other_and_number_0_reports,
            children_without_an_owner_are_taken_over_without_a_training,
        }
        s3 { versions_are_stored_in_a_bucket_and_a_missing_or_wrong_secret_is_reported }
        trainers { an_image_that_cannot_be_pulled_is_reported_and_replaced_at_once }
        lifecycle { from_apply_to_serving_each_child_is_written_once }
        retraining {
            a_new_version_is_rolled_out_without_a_failed_request,
            an_invalid_training_request_is_reported_and_starts_nothing,
            partial_runs_follow_a_full_one_by_schedule_and_by_request,
        }
        promotion {
            a_version_that_no_server_can_load_is_taken_back_without_a_failed_request,
            a_worse_version_is_rejected_and_a_rollback_is_not_undone,
        }
        routes {
            weights_follow_the_steps_of_a_canary_and_never_its_missing_pods,
            weights_that_someone_edits_are_restored,
        }
        children {
            a_deleted_child_is_created_again,
            a_deleted_training_job_is_created_again,
            a_manual_edit_of_a_child_is_corrected_and_fields_of_other_managers_stay,
            monitoring_that_is_no_longer_specified_is_removed,
            a_field_that_is_no_longer_specified_is_removed_from_a_child_that_was_created,
        }
        conflicts { objects_of_users_with_names_of_children_are_never_changed }
        refused {
            a_quota_on_jobs_is_reported_and_training_continues_when_it_is_lifted,
            a_quota_on_pods_is_reported_and_training_continues_when_it_is_lifted,
            an_invalid_schedule_stalls_until_it_is_edited,
        }
        names { names_of_any_length_with_dots_and_digits_serve }
        deletion {
            deleting_the_object_removes_everything,
            a_deleted_namespace_terminates_cleanly,
        }
        // Its many rules make prometheus-operator restart Prometheus, which disturbs what is scaled beside it.
        designs { every_example_is_accepted_and_its_rules_are_loaded }
        crashes {
            a_restart_with_converged_objects_only_lists_and_watches,
            an_operator_killed_every_second_trains_each_object_exactly_once,
        }
    });
    // Ignored, because `cargo test --workspace` has no time for it: no other test needs Contour, which takes 134 s of CPU to compile, and
    // Envoy, 25 MB to download; and it sends requests for some minutes.
    trials.extend(
        tests! { gateways { the_requests_through_a_real_gateway_follow_the_steps_of_a_canary_and_none_fails } }
            .into_iter()
            .map(|trial| trial.with_ignored_flag(true)),
    );
    libtest_mimic::run(&arguments, trials).exit();
}

/// Runs a test on its own runtime.
fn finish(test: impl Future<Output = anyhow::Result<()>>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(test).map_err(|error| Failed::from(format!("{error:#}")))
}
