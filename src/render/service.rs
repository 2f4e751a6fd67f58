//! The Service in front of the serving pods.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    child::{self, Child},
    deployment::{COMPONENT, PORT_NAME},
    job,
};
use crate::{
    kinds::Kind,
    model::{Model, names},
};

/// Port of the Service.
const PORT: i32 = 80;

/// The Service that gives the trainers of a distributed run their host names; `None` with one trainer.
pub fn of_trainers(model: &Model) -> Option<Child> {
    let identity = &model.identity;
    let spec = ServiceSpec {
        selector: Some(child::selector(identity, job::COMPONENT)),
        cluster_ip: Some("None".into()),
        // They have to find each other before they are ready.
        publish_not_ready_addresses: Some(true),
        ..ServiceSpec::default()
    };
    let metadata = child::meta(identity, names::trainers(&identity.base), job::COMPONENT);
    job::is_distributed(model).then(|| Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None }))
}

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
