//! Settings that are valid and seldom meant.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Model;
use crate::{api::Dependency, monitoring::dependencies::reports_health};

impl Model {
    /// Each with its field and what to write instead.
    pub fn warnings(&self) -> Vec<String> {
        self.no_eviction().into_iter().chain(self.dependencies()).collect()
    }

    /// Dependencies that nothing is recorded of, or whose `critical` nothing depends on.
    fn dependencies(&self) -> Vec<String> {
        let field = |name: &str, why: &str| format!("spec.dependencies: {name:?}: {why}");
        if self.monitoring.is_none() {
            let unrecorded = "nothing is recorded of it without spec.monitoring: set that, or remove the dependency";
            return self.dependencies.iter().map(|of| field(&of.name, unrecorded)).collect();
        }
        let is_moot = |of: &&Dependency| !of.critical && of.exporter.is_some() && !reports_health(of);
        let moot =
            "critical: it has no effect, because this exporter does not report whether the dependency is up: remove it";
        self.dependencies.iter().filter(is_moot).map(|of| field(&of.name, moot)).collect()
    }

    /// A budget that allows no eviction, with any number of replicas.
    fn no_eviction(&self) -> Option<String> {
        let budget = self.serving.disruption_budget.as_ref().filter(|budget| budget.enabled)?;
        let workload = self.serving_workload();
        let most = workload.scaling.as_ref().map_or(workload.replicas, |scaling| scaling.max);
        let must_stay = budget.min_available.as_ref().map(|pods| of_pods(pods, most));
        let may_go = budget.max_unavailable.as_ref().map(|pods| of_pods(pods, most));
        let evictable = must_stay.map(|least| most - least).or(may_go)?;
        (evictable <= 0).then(|| {
            format!(
                "spec.serving.disruptionBudget: with at most {most} servers none may be evicted, so no node with one can be drained: \
                 write maxUnavailable: 1, or minAvailable below the number of replicas"
            )
        })
    }
}

/// A number of pods, or per cent of `all`, which a PodDisruptionBudget rounds up.
fn of_pods(pods: &IntOrString, all: i32) -> i32 {
    let number = |text: &str| text.parse::<i32>().unwrap_or_default();
    match pods {
        IntOrString::Int(pods) => *pods,
        IntOrString::String(text) => match text.strip_suffix('%') {
            Some(per_cent) => (number(per_cent) * all + 99) / 100,
            None => number(text),
        },
    }
}
