//! Servers that change versions without a restart: whether it can be known that they have.

use super::{FieldPath, InvalidField, Model};
use crate::api::RecommenderModelSpec;

/// Least time for a reload that is not warned of: 120 s. The kubelet takes up to 90 s to update the file, a scrape 15 s, and a rule 10 s.
const LEAST_SECONDS: i32 = 120;
/// Metric profiles of proxies, and of servers with a fixed set of metrics or with a prefix of their own: nothing that is scraped exposes
/// `recommender_model_info`.
const UNREPORTED: [&str; 9] =
    ["Envoy", "Istio", "KServe", "MlServer", "RayServe", "SeldonCore", "TensorFlowServing", "TorchServe", "Triton"];

/// What is missing in a spec that asks for it.
pub(super) fn problems(spec: &RecommenderModelSpec) -> Vec<InvalidField> {
    if spec.promotion.hot_reload.is_none() {
        return Vec::new();
    }
    let path = FieldPath::spec().field("promotion.hotReload");
    let unmeasured = spec.monitoring.is_none().then_some(
        "servers report by recommender_model_info which version they answer with: set spec.monitoring, or remove it",
    );
    let unused = spec.training.partial.is_none().then_some(
        "only versions of partial trainings take over without a restart: set spec.training.partial, or remove it",
    );
    unmeasured.into_iter().chain(unused).map(|why| path.problem(why)).collect()
}

impl Model {
    /// The model as an operator carries it out that may write ConfigMaps, or may not: then its versions are rolled out.
    pub fn with_hot_reload(mut self, is_allowed: bool) -> Self {
        self.is_reload_refused = self.hot_reload.is_some() && !is_allowed;
        self.hot_reload = self.hot_reload.filter(|_| is_allowed);
        self
    }

    /// Settings with which reloads end in restarts.
    pub(super) fn futile_reload(&self) -> Vec<InvalidField> {
        let Some((reload, monitoring)) = self.hot_reload.as_ref().zip(self.monitoring.as_ref()) else {
            return Vec::new();
        };
        let path = FieldPath::spec().field("promotion.hotReload");
        let seconds = reload.timeout_seconds;
        let short = (seconds < LEAST_SECONDS).then(|| {
            path.field("timeoutSeconds").problem(format!(
                "the kubelet takes up to 90 s until a server can read the version, and its report half a minute, so that after {seconds} s \
                 servers are restarted that would have changed: write {LEAST_SECONDS} or more"
            ))
        });
        let profile = &monitoring.metrics.profile;
        let unreported = UNREPORTED.contains(&profile.as_str()).then(|| {
            path.problem(format!(
                "the metrics of the profile {profile} are not those of a server that exposes recommender_model_info, so that each reload \
                 ends in restarts: write the profile of a server that does in spec.monitoring.metrics.profile, or remove this"
            ))
        });
        short.into_iter().chain(unreported).collect()
    }

    /// A hot reload that the operator cannot carry out.
    pub(super) fn refused_reload(&self) -> Option<InvalidField> {
        self.is_reload_refused.then(|| {
            FieldPath::spec().field("promotion.hotReload").problem(
                "the operator may not write ConfigMaps, so versions are rolled out by restarts: set hotReload.enabled in the values of its \
                 chart, or remove this",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::{api::conditions::types, monitoring::profiles, validate::tests::minimal};

    #[test]
    fn a_hot_reload_that_would_end_in_restarts_is_warned_of_with_what_to_write() {
        let warnings = |seconds: i32, profile: &str, is_allowed: bool| -> Vec<String> {
            let mut object = minimal();
            object["spec"]["promotion"] = json!({"hotReload": {"timeoutSeconds": seconds}});
            object["spec"]["training"]["partial"] = json!({});
            object["spec"]["monitoring"] = json!({"metrics": {"profile": profile}});
            let object = serde_json::from_value(object).expect("an object");
            let model = Model::new(&object, Timestamp::UNIX_EPOCH).expect("valid").with_hot_reload(is_allowed);
            let of = model.warnings().into_iter().filter(|of| of.condition == types::PROMOTION_READY);
            of.map(|warning| warning.problem.to_string()).collect()
        };
        assert_eq!(warnings(120, "FastApiInstrumentator", true), [""; 0]);
        let short = warnings(119, "FastApiInstrumentator", true);
        assert!(
            short[0].starts_with("spec.promotion.hotReload.timeoutSeconds: ")
                && short[0].ends_with("write 120 or more"),
            "{short:?}"
        );
        let proxy = warnings(300, "Istio", true);
        assert!(proxy[0].contains("the profile Istio") && proxy.len() == 1, "{proxy:?}");
        assert_eq!(warnings(10, "Istio", false).len(), 1, "it is not carried out");
        assert!(UNREPORTED.into_iter().all(|name| profiles::find(name).is_some()));
    }

    #[test]
    fn a_hot_reload_that_is_not_measured_or_never_happens_is_refused_with_what_to_write_instead() {
        let problems = |fields: serde_json::Value| {
            let mut object = minimal();
            object["spec"]["promotion"] = json!({"hotReload": {}});
            object["spec"].as_object_mut().expect("a spec").extend(fields.as_object().expect("fields").clone());
            let object = serde_json::from_value(object).expect("an object");
            Model::new(&object, Timestamp::UNIX_EPOCH)
                .map_or_else(|of| of.iter().map(ToString::to_string).collect(), |_| Vec::new())
        };
        let monitoring = json!({"metrics": {"profile": "FastApiInstrumentator"}});
        let training = json!({"image": "t", "full": {}, "partial": {}});
        let whole = problems(json!({"monitoring": monitoring, "training": training}));
        assert_eq!(whole, [""; 0]);
        let unmeasured = problems(json!({"training": training}));
        assert!(
            unmeasured[0].ends_with("set spec.monitoring, or remove it") && unmeasured.len() == 1,
            "{unmeasured:?}"
        );
        let unused = problems(json!({"monitoring": monitoring}));
        assert!(unused[0].ends_with("set spec.training.partial, or remove it") && unused.len() == 1, "{unused:?}");
    }
}
