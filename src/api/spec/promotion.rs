use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Canary, HotReload, TrainingReadiness};
use crate::api::rules;

/// Which versions may serve.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Automatic: the newest version that passes its gates serves. Manual: it waits until the annotation
    /// recommender.dev/approve contains its id.
    #[serde(default)]
    pub mode: PromotionMode,
    /// What a version has to measure, by the metrics of its trainer's report. All gates have to be passed; a metric that is
    /// not reported fails its gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,
    /// Significance level of the two-sided test of a regression, as in "0.05": one that is above maxRegressionPercent
    /// but within the noise of the test sets passes. It needs samples or standardErrors in the reports of both versions.
    /// Without it, the numbers count as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(rules::LEVEL).message("write a number between 0 and 0.5, for example \"0.05\""))]
    pub significance_level: Option<String>,
    /// Hours that the data of a version may be old when it is promoted, by dataThrough of its report. A version that does not
    /// report it fails this gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8760))]
    pub max_data_age_hours: Option<i32>,
    /// Least size of an artifact in bytes: a smaller one is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    pub min_artifact_bytes: Option<i64>,
    /// Largest size of an artifact in bytes, for example what fits into the memory of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    pub max_artifact_bytes: Option<i64>,
    /// How a version that passes its gates takes over: with a canary, a part of the requests first; without, by a rolling update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What has to be there before a version that passes its gates takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<TrainingReadiness>,
    /// Versions of partial trainings take over without a restart: servers read the version from the file in
    /// RECOMMENDER_VERSION_FILE. The operator needs --hot-reload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_reload: Option<HotReload>,
    /// Seconds for which a new version is watched once it serves: it is taken back if its pods crash or an objective is breached.
    /// 0 turns it off.
    #[serde(default = "default_watch_seconds")]
    #[schemars(range(min = 0, max = 86_400))]
    pub watch_seconds: i32,
    /// Number of versions that are kept in the status, from which one can be pinned or rolled back to. Those in use are kept in
    /// any case.
    #[serde(default = "default_keep_versions")]
    #[schemars(range(min = 2, max = 20))]
    pub keep_versions: i32,
}

impl Default for Promotion {
    fn default() -> Self {
        Self {
            mode: PromotionMode::default(),
            gates: Vec::new(),
            significance_level: None,
            max_data_age_hours: None,
            min_artifact_bytes: None,
            max_artifact_bytes: None,
            canary: None,
            readiness: None,
            hot_reload: None,
            watch_seconds: default_watch_seconds(),
            keep_versions: default_keep_versions(),
        }
    }
}

impl Promotion {
    /// Whether nothing differs from the defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a version that passes its gates waits for an approval.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromotionMode {
    /// It is promoted at once.
    #[default]
    Automatic,
    /// It waits for an approval.
    Manual,
}

/// What a version has to measure. Bounds are decimal numbers in quotes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new(rules::SOME_BOUND)
        .message("set at least one of minimum, maximum, maxRegressionPercent and maxRegressionFromBestPercent")
)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// The metric of the report.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::REPORTED_METRIC)
        .message("write lower case letters, digits and _, with a letter at the beginning, as in the trainer's report"))]
    pub metric: String,
    /// Least value, for example "0.20".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    pub minimum: Option<String>,
    /// Largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24))]
    #[x_kube(validation = Rule::new(rules::DECIMAL).message(rules::DECIMAL_MESSAGE))]
    pub maximum: Option<String>,
    /// Per cent by which it may be worse than the version that serves, for example "2". The first version passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(rules::PER_CENT).message(rules::PER_CENT_MESSAGE))]
    pub max_regression_percent: Option<String>,
    /// The same beside the best version in the status that was not refused, so that small regressions do not add up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = Rule::new(rules::PER_CENT).message(rules::PER_CENT_MESSAGE))]
    pub max_regression_from_best_percent: Option<String>,
    /// Which value is better: Higher, the default, or Lower, as of an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<Better>,
}

/// Which value of a metric is better.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Better {
    /// The higher one.
    #[default]
    Higher,
    /// The lower one.
    Lower,
}

fn default_watch_seconds() -> i32 {
    1800
}

fn default_keep_versions() -> i32 {
    5
}
