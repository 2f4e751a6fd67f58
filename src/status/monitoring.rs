//! The condition on monitoring.

use super::{ConditionValue, Inputs, problems::problem};
use crate::{
    api::conditions::{reasons, types},
    signals::config::DEFAULT,
};

/// MonitoringReady. It changes none of the summaries, because the recommender still serves. The first row that applies counts.
///
/// | case | condition |
/// |---|---|
/// | no spec.monitoring | False, NotRequested |
/// | a child of the monitoring is not as desired | False, the problem's reason |
/// | spec.monitoring.source is none of the operator's metric sources | Unknown, UnknownSource |
/// | it is not set, and the operator has no default source | True, AsSpecified |
/// | the children were changed, and not all is loaded, for less than 3 min | Unknown, Loading |
/// | the metric source does not answer | Unknown, SourceFailed |
/// | a rule is not loaded, or an earlier one | False, RulesNotLoaded |
/// | a rule fails or is late | False, RulesFailing |
/// | a workload with ready pods has no target | False, NotScraped |
/// | none of its targets is up | False, TargetsDown |
/// | the servers have not the series of their profile | False, ProfileMismatch |
/// | none of these | True, AsSpecified |
pub(super) fn monitoring(inputs: &Inputs<'_>) -> ConditionValue {
    let Some(monitoring) = &inputs.model.monitoring else {
        return ConditionValue::no(reasons::NOT_REQUESTED, "spec.monitoring is not set");
    };
    if let Some(problem) = problem(inputs, types::MONITORING_READY) {
        return ConditionValue::no(problem.reason, &problem.message);
    }
    inputs.feedback.cloned().unwrap_or_else(|| match monitoring.source.as_deref() {
        Some(source) => ConditionValue::unknown(
            reasons::UNKNOWN_SOURCE,
            format!(
                "spec.monitoring.source is {source:?}, but the operator has no metric source of that name: add it to metricSources \
                 of its chart, or correct the name"
            ),
        ),
        None => ConditionValue::yes(
            reasons::AS_SPECIFIED,
            format!(
                "ServiceMonitor and PrometheusRule are in place; whether a Prometheus has loaded them is not known, because the \
                 operator has no metric source {DEFAULT:?}"
            ),
        ),
    })
}
