//! The Service in front of the serving pods.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    child::{self, Child},
    deployment::{COMPONENT, PORT_NAME},
};
use crate::{kinds::Kind, model::Model};

/// Port of the Service.
const PORT: i32 = 80;

pub fn render(model: &Model) -> Child {
    let identity = &model.identity;
    let port = ServicePort {
        name: Some(PORT_NAME.into()),
        port: PORT,
        target_port: Some(IntOrString::String(PORT_NAME.into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        selector: Some(child::traffic_selector(identity)),
        ports: Some(vec![port]),
        ..ServiceSpec::default()
    };
    let metadata = child::meta(identity, identity.base.clone(), COMPONENT);
    Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None })
}
