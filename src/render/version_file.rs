//! The ConfigMap with the version file of the servers of a pod template.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::{
    api::VERSION_FILE_ANNOTATION,
    child::{self, Child},
    kinds::Kind,
    model::Model,
    names::{self, SERVING_COMPONENT},
    version_file::{Artifact, FILE},
};

/// That of the pods of a template, by its hash.
pub fn render(model: &Model, template: &str, named: &Artifact) -> Child {
    let identity = &model.identity;
    let mut metadata = child::meta(identity, names::version_file(&identity.base, template), SERVING_COMPONENT);
    // Only the metadata of ConfigMaps is watched.
    metadata.annotations = Some(BTreeMap::from([(VERSION_FILE_ANNOTATION.into(), named.content())]));
    let data = Some(BTreeMap::from([(FILE.to_owned(), named.content())]));
    Child::new(Kind::ConfigMap, ConfigMap { metadata, data, ..ConfigMap::default() })
}
