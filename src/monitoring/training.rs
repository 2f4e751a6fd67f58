//! Canonical series of trainings and versions, from the operator's own metrics.

use super::{
    Monitored, Workload,
    promql::series,
    recording::{Source, distinct, rule_of},
};
use crate::{api::monitoring_coreos::Rule, series::Series};

/// Names of reported metrics that count what a model knows, after the name of a part of the model and an underscore, as in
/// `als_nonzeros`, or alone.
const ENTITIES: &str = "(?:(.+)_)?(users|items|nonzeros|cells)";
/// Names of reported metrics with the size of an artifact, such as `als_bytes`.
const SIZES: &str = "(.+)_bytes";
/// What the whole artifact of a version is called among [`SIZES`].
const WHOLE: &str = "version";

/// The recording rules of the progress of trainings, by the version of the run: of several trainers of a run that of the slowest.
pub fn progress(monitored: &Monitored) -> Vec<Rule> {
    let of = |function: &str, name: &str| {
        format!("{function} by (version) ({})", series(name, &[&monitored.object.matchers_of(Workload::Training)]))
    };
    let all = [
        (Series::TrainingProgress, of("min", "recommender_training_progress_ratio")),
        (Series::TrainingStep, of("min", "recommender_training_step")),
        (Series::TrainingLoss, of("max", "recommender_training_loss")),
        (Series::TrainingRemaining, of("max", "recommender_training_remaining_seconds")),
    ];
    let all = all.into_iter().filter(|_| monitored.training.reports_progress);
    all.map(|(series, expr)| rule_of(monitored, Workload::Training, series.name(), expr)).collect()
}

/// The recording rules, with the labels of the training, and those of the rollout with the labels of the servers.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let source = Source::new(monitored);
    let age = |gauge| format!("time() - {}", source.operator_gauge(gauge));
    let reported =
        |labels: &str, of: &str| source.of_operator_by(labels, "recommender_operator_serving_version_metric", of);
    let increase = |labels: &str, counter: &str, window: &str| {
        let [honoured, exported] = source.of_operator(counter, &[]).map(|of| format!("increase({of}[{window}])"));
        format!("sum by ({labels}) ({honoured} or {exported})")
    };
    let entities = format!(
        r#"max by (entity, model) (label_replace(label_replace({}, "model", "$1", "metric", "{ENTITIES}"), "entity", "$2", "metric", "{ENTITIES}"))"#,
        reported("metric", &format!(r#"metric=~"{ENTITIES}""#))
    );
    let sizes = format!(
        r#"max by (artifact) (label_replace({}, "artifact", "$1", "metric", "{SIZES}")) or {}"#,
        reported("metric", &format!(r#"metric=~"{SIZES}""#)),
        distinct("artifact", &[(WHOLE, source.operator_gauge("recommender_operator_serving_version_bytes"))]),
    );
    let gates = monitored.versions.gates.map(|minimums| {
        let refused = source.operator_gauge("recommender_operator_versions_refused_in_a_row");
        let minimums: Vec<_> = minimums.iter().map(|(metric, least)| (*metric, format!("vector({least})"))).collect();
        let minimum = (!minimums.is_empty()).then(|| (Series::QualityMinimum, distinct("metric", &minimums)));
        [Some((Series::VersionsRefused, refused)), minimum].into_iter().flatten()
    });
    // A counter does not show what ended while no operator ran: it begins with that run. The time of the last failure does.
    let counted = increase("stage", "recommender_operator_training_failures_total", "1h");
    let last = source.of_operator_by("stage", "recommender_operator_training_failed_timestamp_seconds", "");
    let failures = format!("{counted} > 0 or time() - {last} < bool 3600 or {counted}");
    let waiting = age("recommender_operator_training_waiting_timestamp_seconds");
    let waiting = monitored.training.waits_for_inputs.then_some((Series::TrainingWaiting, waiting));
    let promotion = age("recommender_operator_promotion_waiting_timestamp_seconds");
    let promotion = monitored.versions.wait_for_inputs.then_some((Series::PromotionWaiting, promotion));
    let pruning = source.operator_gauge("recommender_operator_prune_failures_in_a_row");
    let pruning = monitored.versions.prunes.then_some((Series::PruneFailuresInARow, pruning));
    let of_training = [
        (Series::ModelAge, age("recommender_operator_serving_trained_timestamp_seconds")),
        (Series::DataAge, age("recommender_operator_serving_data_through_timestamp_seconds")),
        (Series::NotRefreshable, age("recommender_operator_not_refreshable_timestamp_seconds")),
        (Series::TrainingRuns, increase("kind, result", "recommender_operator_training_runs_total", "1d")),
        (Series::TrainingFailures, failures),
        (Series::TrainingFailuresInARow, source.operator_gauge("recommender_operator_training_failures_in_a_row")),
        (Series::TrainingDuration, source.of_operator_by("kind", "recommender_operator_training_duration_seconds", "")),
        (
            Series::TrainingRunning,
            format!(
                "time() - {}",
                source.of_operator_by("kind", "recommender_operator_training_started_timestamp_seconds", "")
            ),
        ),
        (Series::ModelQuality, reported("metric", &format!(r#"metric!~"{ENTITIES}|{SIZES}""#))),
        (Series::VersionsRolledBack, source.operator_gauge("recommender_operator_versions_rolled_back")),
        (Series::ModelEntities, entities),
        (Series::ArtifactBytes, sizes),
        (Series::VersionInfo, source.of_operator_by("version, kind, state", "recommender_operator_version_info", "")),
    ];
    // A canary has another version for as long as it is judged.
    let canary = monitored.canary.map(|_| format!("pod!~{}", monitored.object.canary_pods()));
    let servers: Vec<String> = [monitored.object.matchers_of(Workload::Serving)].into_iter().chain(canary).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    let of_servers = [
        (Series::Rollout, age("recommender_operator_rollout_started_timestamp_seconds")),
        (Series::ServingVersion, format!("count by (version) ({})", series("recommender_model_info", &servers))),
    ];
    let of = |workload: Workload, rules: Vec<(Series, String)>| {
        rules.into_iter().map(move |(series, expr)| rule_of(monitored, workload, series.name(), expr))
    };
    let of_training = of_training
        .into_iter()
        .chain(waiting)
        .chain(promotion)
        .chain(pruning)
        .chain(gates.into_iter().flatten())
        .collect();
    of(Workload::Training, of_training).chain(of(Workload::Serving, of_servers.into())).collect()
}
