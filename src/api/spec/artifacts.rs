use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::KeyReference;
use crate::api::rules;

/// Storage of model versions: exactly one of the fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new(rules::ONE_STORE)
    .message("set exactly one of s3, gcs, azure and persistentVolumeClaim"))]
#[serde(rename_all = "camelCase")]
pub struct Artifacts {
    /// A bucket behind the S3 API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Artifacts>,
    /// A bucket of Google Cloud Storage. Pods get their rights by the workload identity of their ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::GCS_URI).message("write gs://bucket or gs://bucket/prefix as uri, the bucket in 3 to 222 lower case letters, digits, -, _ and ."))]
    pub gcs: Option<StorageUri>,
    /// A container of Azure Blob Storage. Pods get their rights by the workload identity of their ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(rules::AZURE_URI)
        .message("write abfss://container@account.dfs.core.windows.net/prefix or az://container/prefix as uri, the container in 3 to 63 lower case letters, digits and -, the account in 3 to 24 letters and digits"))]
    pub azure: Option<StorageUri>,
    /// A PersistentVolumeClaim in the same namespace, mounted at /artifacts: read-write for training, read-only for
    /// serving. With pods on several nodes its access mode must be ReadWriteMany.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PvcArtifacts>,
}

/// Model versions in a bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(validation = Rule::new("!self.sessionToken || has(self.credentialsSecret)")
    .message("the session token is a key of the Secret: set credentialsSecret or remove sessionToken"))]
#[serde(rename_all = "camelCase")]
pub struct S3Artifacts {
    /// Bucket and prefix, as s3://bucket/prefix. Each version gets a prefix of its own below it:
    /// <namespace>/<name>/<version>.
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(rules::S3_URI)
        .message("write s3://bucket or s3://bucket/prefix, the bucket in 3 to 63 lower case letters, digits, - and ."))]
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
    /// permission to read secrets. Default: none; pods get their rights by the cloud identity of their ServiceAccount, as with
    /// IRSA or EKS Pod Identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<LocalReference>,
    /// The Secret also has the key AWS_SESSION_TOKEN, because its credentials are temporary.
    #[serde(default)]
    pub session_token: bool,
    /// Certificates of the authorities that have signed the certificate of the endpoint, in PEM, if they are not public. Mounted
    /// in pods, which get the path as AWS_CA_BUNDLE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CaBundle>,
    /// The endpoint has the bucket in the path of its URLs instead of the host name, as most S3 stores other than AWS. Pods get
    /// RECOMMENDER_S3_PATH_STYLE=true; no variable for it is common to the S3 clients.
    #[serde(default)]
    pub path_style: bool,
}

/// Certificates of authorities: a key of a ConfigMap or Secret in the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = Rule::new("has(self.secretKeyRef) != has(self.configMapKeyRef)")
    .message("set exactly one of secretKeyRef and configMapKeyRef"))]
#[serde(rename_all = "camelCase")]
pub struct CaBundle {
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// Model versions in a bucket or container of a cloud.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StorageUri {
    /// Bucket or container, and prefix. Each version gets a prefix of its own below it: <namespace>/<name>/<version>.
    #[schemars(length(min = 1, max = 512))]
    pub uri: String,
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
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::OBJECT_NAME).message(rules::OBJECT_NAME_MESSAGE))]
    pub name: String,
}
