//! The Service in front of the serving pods.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    child::{self, Child},
    deployment::{self, COMPONENT, PORT_NAME},
    job,
};
use crate::{
    api::ServiceType,
    kinds::Kind,
    model::{Model, names},
};

/// Port of the Service: that of HTTP, which URLs leave out.
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
    model.training.trainers().map(|_| Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None }))
}

pub fn render(model: &Model) -> Child {
    let identity = &model.identity;
    let settings = model.serving.service.clone().unwrap_or_default();
    let further = deployment::further_ports(&model.serving);
    let ports = std::iter::once((PORT_NAME, PORT)).chain(further).map(|(name, port)| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    });
    let spec = ServiceSpec {
        selector: Some(child::traffic_selector(identity)),
        ports: Some(ports.collect()),
        cluster_ip: settings.headless.then(|| "None".into()),
        // ClusterIP is the default.
        type_: (settings.type_ != ServiceType::ClusterIP).then(|| settings.type_.as_str().into()),
        ..ServiceSpec::default()
    };
    let mut metadata = child::meta(identity, identity.base.clone(), COMPONENT);
    child::add(&mut metadata.labels, &settings.labels);
    child::add(&mut metadata.annotations, &settings.annotations);
    Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None })
}
