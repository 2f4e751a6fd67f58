//! The ServiceAccount of the pods. It has no token and no permissions.
//!
//! It has no `imagePullSecrets`: they are in the pods. A pod gets those of its account only when it is created, and other
//! controllers add their own to the list, which server-side apply takes for one value.

use k8s_openapi::api::core::v1::ServiceAccount;

use crate::{
    child::{self, Child},
    kinds::Kind,
    model::Model,
};

pub fn render(model: &Model) -> Child {
    let identity = &model.identity;
    let mut metadata = child::meta(identity, identity.base.clone(), "account");
    let annotations = &model.service_account_annotations;
    metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
    Child::new(
        Kind::ServiceAccount,
        ServiceAccount { metadata, automount_service_account_token: Some(false), ..ServiceAccount::default() },
    )
}
