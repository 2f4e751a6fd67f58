//! Servers that change versions without a restart: whether it can be known that they have.

use super::{FieldPath, InvalidField, Model};
use crate::api::RecommenderModelSpec;

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
    use crate::validate::tests::minimal;

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
