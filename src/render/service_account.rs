//! The ServiceAccount of the pods. It has no token and no permissions.

use k8s_openapi::api::core::v1::{LocalObjectReference, ServiceAccount};

use super::child::{self, Child};
use crate::{kinds::Kind, model::Model};

pub fn render(model: &Model) -> Child {
    let identity = &model.identity;
    let secrets: Vec<_> =
        model.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    let account = ServiceAccount {
        metadata: child::meta(identity, identity.base.clone(), "account"),
        automount_service_account_token: Some(false),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        ..ServiceAccount::default()
    };
    Child::new(Kind::ServiceAccount, account)
}
