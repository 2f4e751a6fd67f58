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
