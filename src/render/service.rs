//! The Services in front of the serving pods.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::deployment::{self, PORT_NAME};
use crate::{
    api::{CANARY_TRACK, STABLE_TRACK, ServiceType},
    child::{self, Child},
    kinds::Kind,
    model::Model,
    names::{self, SERVING_COMPONENT, TRAINING_COMPONENT},
};

/// Port of the Service: that of HTTP, which URLs leave out.
pub const PORT: i32 = 80;

/// The Service of a canary that gets its requests by an HTTPRoute; `None` without one. It has the labels of the servers' Service, so that
/// the same ServiceMonitor selects it, and it exists without a canary as well, so that the HTTPRoute always has both.
pub fn of_canary(model: &Model) -> Option<Child> {
    model.http_route()?;
    let identity = &model.identity;
    let spec = ServiceSpec {
        selector: Some(child::traffic_of(identity, CANARY_TRACK)),
        ports: Some(ports(model)),
        ..ServiceSpec::default()
    };
    let metadata = child::meta(identity, names::canary(&identity.base), SERVING_COMPONENT);
    Some(Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None }))
}

fn ports(model: &Model) -> Vec<ServicePort> {
    let further = deployment::further_ports(&model.serving);
    let ports = std::iter::once((PORT_NAME, PORT)).chain(further).map(|(name, port)| ServicePort {
        name: Some(name.into()),
        port,
        target_port: Some(IntOrString::String(name.into())),
        protocol: Some("TCP".into()),
        ..ServicePort::default()
    });
    ports.collect()
}

/// The Service that gives the trainers of a distributed run their host names; `None` with one trainer.
pub fn of_trainers(model: &Model) -> Option<Child> {
    let identity = &model.identity;
    let spec = ServiceSpec {
        selector: Some(child::selector(identity, TRAINING_COMPONENT)),
        cluster_ip: Some("None".into()),
        // They have to find each other before they are ready.
        publish_not_ready_addresses: Some(true),
        ..ServiceSpec::default()
    };
    let metadata = child::meta(identity, names::trainers(&identity.base), TRAINING_COMPONENT);
    model.training.trainers().map(|_| Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None }))
}

/// The Service of the servers. Where an HTTPRoute divides the requests, a canary gets none of this Service's: they would be in addition
/// to its weight. `is_canary_held`: neither does one that has ended, and only still has pods because an HTTPRoute has given it requests.
pub fn render(model: &Model, is_canary_held: bool) -> Child {
    let identity = &model.identity;
    let settings = model.serving.service.clone().unwrap_or_default();
    let selector = if model.http_route().is_some() || is_canary_held {
        child::traffic_of(identity, STABLE_TRACK)
    } else {
        child::traffic_selector(identity)
    };
    let spec = ServiceSpec {
        selector: Some(selector),
        ports: Some(ports(model)),
        cluster_ip: settings.headless.then(|| "None".into()),
        // ClusterIP is the default.
        type_: (settings.type_ != ServiceType::ClusterIP).then(|| settings.type_.as_str().into()),
        ..ServiceSpec::default()
    };
    let mut metadata = child::meta(identity, identity.base.clone(), SERVING_COMPONENT);
    child::add(&mut metadata.labels, &settings.labels);
    child::add(&mut metadata.annotations, &settings.annotations);
    Child::new(Kind::Service, Service { metadata, spec: Some(spec), status: None })
}
