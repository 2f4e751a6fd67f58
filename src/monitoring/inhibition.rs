//! Which alerts of an object silence which others of it: `silencedBy` of the catalogue as `inhibit_rules` of Alertmanager. They are
//! the same for all objects, so they belong into the configuration of Alertmanager and not to an object.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;

use crate::{
    catalog::{self, Alert, AppliesTo, Severity},
    series::Subject,
};

/// Comment at the beginning.
const HEAD: &str = "\
# Add these to inhibit_rules in the configuration of Alertmanager. They are the same for all RecommenderModels.
";
/// Labels of every alert on an object.
const OBJECT: [&str; 2] = ["namespace", "recommender"];

/// A rule of Alertmanager.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InhibitRule {
    /// What the alert has that silences.
    pub source_matchers: Vec<String>,
    /// What the alerts have that are silenced.
    pub target_matchers: Vec<String>,
    /// Labels that are the same on both.
    pub equal: Vec<&'static str>,
}

/// The rules of all objects: one for each alert that silences others and each kind of what these are about.
pub fn rules() -> Vec<InhibitRule> {
    let catalog = catalog::current();
    let mut targets: BTreeMap<(Vec<String>, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for target in &catalog.alerts {
        for source in target.silenced_by.iter().filter_map(|name| catalog.alert(name)) {
            targets.entry(between(source, target)).or_default().push(&target.name);
        }
    }
    let rules = targets.into_iter().map(|((source_matchers, equal), targets)| InhibitRule {
        source_matchers,
        target_matchers: vec![format!("alertname=~{:?}", targets.join("|"))],
        equal,
    });
    rules.collect()
}

/// The matchers of an alert that silences another one, and the labels that are the same on both.
fn between(source: &Alert, target: &Alert) -> (Vec<String>, Vec<&'static str>) {
    let mut matchers = vec![format!("alertname={:?}", source.name)];
    let mut equal = OBJECT.to_vec();
    // Training has the label of servers and workers, and is another part of the object than these.
    let part = |alert: &Alert| (alert.applies_to.subject(), alert.applies_to == AppliesTo::Training);
    let subject = source.applies_to.subject();
    if part(source) == part(target) {
        equal.push(subject.label());
    } else if subject == Subject::Dependency {
        // One that the recommender can do without explains nothing else.
        matchers.push(severity(Severity::Critical));
    }
    (matchers, equal)
}

fn severity(severity: Severity) -> String {
    format!("severity={:?}", severity.as_str())
}

/// The rules as YAML for Alertmanager.
///
/// # Errors
/// If they cannot be serialized, which does not happen with our types.
pub fn yaml() -> anyhow::Result<String> {
    let rules = BTreeMap::from([("inhibit_rules", rules())]);
    Ok(HEAD.to_owned() + &serde_saphyr::to_string(&rules).context("inhibit_rules")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(source: &str, target: &str) -> InhibitRule {
        let source = format!("alertname={source:?}");
        let has = |rule: &InhibitRule| {
            let targets = rule.target_matchers[0].trim_start_matches("alertname=~").trim_matches('"');
            rule.source_matchers[0] == source && targets.split('|').any(|of| of == target)
        };
        let found: Vec<_> = rules().into_iter().filter(has).collect();
        assert_eq!(found.len(), 1, "{source} {target}");
        found[0].clone()
    }

    #[test]
    fn an_alert_silences_others_of_the_same_workload_or_dependency() {
        for (source, target, label) in [
            ("RecommenderNoHealthyTarget", "RecommenderErrorRatioHigh", "workload"),
            ("RecommenderNoHealthyTarget", "RecommenderScalingHeld", "workload"),
            ("RecommenderDependencyDown", "RecommenderDependencySlow", "dependency"),
            ("RecommenderLagHigh", "RecommenderLagNotCaughtUp", "dependency"),
            ("RecommenderObjectiveBurnFast", "RecommenderObjectiveBurnSlow", "objective"),
        ] {
            let rule = rule(source, target);
            assert_eq!(rule.equal, ["namespace", "recommender", label]);
            assert_eq!(rule.source_matchers.len(), 1);
        }
    }

    #[test]
    fn only_a_dependency_that_is_needed_silences_alerts_on_servers_and_training() {
        for target in ["RecommenderErrorRatioHigh", "RecommenderTrainingFailed"] {
            let rule = rule("RecommenderDependencyDown", target);
            assert_eq!(rule.equal, ["namespace", "recommender"]);
            assert_eq!(rule.source_matchers[1], r#"severity="critical""#);
        }
    }

    #[test]
    fn what_silences_alerts_on_another_part_has_the_severity_that_the_rule_asks_for() {
        let catalog = catalog::current();
        let sources =
            |target: &catalog::Alert| target.silenced_by.iter().filter_map(|name| catalog.alert(name)).collect();
        for target in &catalog.alerts {
            let sources: Vec<&catalog::Alert> = sources(target);
            let never = sources
                .iter()
                .filter(|source| between(source, target).0.len() > 1 && source.severity != Severity::Critical);
            let never: Vec<_> = never.map(|source| &source.name).collect();
            assert!(never.is_empty(), "{} is never silenced by {never:?}", target.name);
        }
    }

    #[test]
    fn every_pair_of_the_catalogue_is_in_one_rule_and_none_silences_itself() {
        let pairs =
            |alert: &catalog::Alert| alert.silenced_by.iter().map(|by| (by.clone(), alert.name.clone())).collect();
        let pairs: Vec<Vec<(String, String)>> = catalog::current().alerts.iter().map(pairs).collect();
        let pairs = pairs.concat();
        assert!(pairs.len() > 20 && pairs.iter().all(|(source, target)| source != target));
        pairs.iter().for_each(|(source, target)| drop(rule(source, target)));
    }
}
