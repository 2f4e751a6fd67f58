//! The settings of servers without their version: what tells whether a rollout changes anything else.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};

use crate::{
    api::{RESTARTED_ANNOTATION, VERSION_LABEL},
    child, version_file,
};

/// The variables of a server that differ with its version.
const OF_VERSION: [&str; 3] = ["RECOMMENDER_VERSION", "RECOMMENDER_MODEL_URI", "RECOMMENDER_MODEL_DIGEST"];

/// Hash of a pod template without its version: of what the API server has stored, so that what others change counts as well.
pub fn settings(template: &PodTemplateSpec) -> String {
    let mut template = template.clone();
    let mut meta = template.metadata.as_mut();
    if let Some(labels) = meta.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(VERSION_LABEL);
    }
    if let Some(annotations) = meta.and_then(|meta| meta.annotations.as_mut()) {
        annotations.remove(RESTARTED_ANNOTATION);
    }
    if let Some(spec) = &mut template.spec {
        let files = spec.volumes.iter_mut().flatten().filter(|volume| volume.name == version_file::VOLUME);
        files.for_each(|volume| volume.config_map = None);
        spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(strip);
    }
    child::hash(&template)
}

fn strip(container: &mut Container) {
    let variables = container.env.iter_mut();
    variables.for_each(|of| of.retain(|variable| !OF_VERSION.contains(&variable.name.as_str())));
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use k8s_openapi::api::apps::v1::Deployment;
    use serde_json::json;

    use super::*;
    use crate::{
        api::{RecommenderModel, Version},
        model::Model,
        render::{self, Decided},
        validate::tests::minimal,
        version_file::Placement,
    };

    /// The settings of the Deployment that serves a version with this image.
    fn of(id: &str, image: &str) -> String {
        placed(id, image, None)
    }

    /// The same of servers that read the version from a file, and were restarted for it at this time.
    fn placed(id: &str, image: &str, restarted: Option<&str>) -> String {
        let mut object = minimal();
        (object["metadata"]["uid"], object["spec"]["serving"]["image"]) = ("uid".into(), image.into());
        let object: RecommenderModel = serde_json::from_value(object).expect("an object");
        let version: Version = serde_json::from_value(json!({
            "id": id, "kind": "Full", "job": "", "uri": format!("file:///artifacts/{id}"), "digest": format!("sha256:{id}"), "bytes": 1,
            "dueAt": "1970-01-01T00:00:00Z", "trainedAt": "1970-01-01T00:00:00Z",
        }))
        .expect("a version");
        let model = Model::new(&object, Timestamp::UNIX_EPOCH).expect("valid");
        let model = match restarted {
            Some(_) => Model { hot_reload: serde_json::from_value(json!({})).ok(), ..model },
            None => model,
        };
        let placement = Placement { restarted: restarted.map(Into::into), ..Placement::started(&version) };
        let decided = Decided { serve: Some(&version), placement: Some(&placement), ..Decided::default() };
        let children = render::children(&model, &decided);
        let serving = children.into_iter().find(|child| child.name == "packages-serving").expect("a Deployment");
        let deployment: Deployment = serde_json::from_value(serving.object).expect("a Deployment");
        settings(&deployment.spec.expect("a spec").template)
    }

    #[test]
    fn only_what_differs_beside_the_version_changes_them() {
        let one = of("full-1", "example.org/server:1");
        assert_eq!(of("full-2", "example.org/server:1"), one);
        assert_ne!(of("full-1", "example.org/server:2"), one);
        let with_file = placed("full-1", "example.org/server:1", Some("1970-01-01T00:00:00Z"));
        assert_eq!(placed("partial-2", "example.org/server:1", Some("1970-01-01T00:05:00Z")), with_file);
        assert_ne!(with_file, one);
    }
}
