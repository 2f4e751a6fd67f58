use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// Storage of model versions: exactly one of `s3` and `persistentVolumeClaim`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.s3) != has(self.persistentVolumeClaim)")
    .message("set exactly one of s3 and persistentVolumeClaim"))]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    /// A bucket behind the S3 API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Artifacts>,
    /// A PersistentVolumeClaim in the same namespace, mounted at /artifacts: read-write for training, read-only for
    /// serving. With pods on several nodes its access mode must be ReadWriteMany.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PvcArtifacts>,
}

/// Model versions in a bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct S3Artifacts {
    /// Bucket and prefix, as s3://bucket/prefix. Each version gets a prefix of its own below it:
    /// <namespace>/<name>/<version>.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(rules::S3_URI)
        .message("write s3://bucket or s3://bucket/prefix, the bucket in lower case"))]
    pub uri: String,
    /// URL of the S3 API if it is not AWS, for example http://minio.storage:9000. Pods get it as AWS_ENDPOINT_URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(rules::URL)
        .message("write a URL without a path, for example http://minio.storage:9000"))]
    pub endpoint: Option<String>,
    /// Region of the bucket. Pods get it as AWS_REGION.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. The operator only references it in pods; it has no
    /// permission to read secrets.
    pub credentials_secret: LocalReference,
}

/// Model versions on a volume.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PvcArtifacts {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub claim_name: String,
}

/// An object of the same namespace, by name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub name: String,
}
