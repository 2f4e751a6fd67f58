//! Probes, and what is called before a container is stopped.

use k8s_openapi::{
    api::core::v1::{
        ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{non_empty, same, same_list};
use crate::api::{self, PreStop, ProbeType};

/// A probe as asked for, with what is not set as in `ours`. `port`: that of the container. None if there is neither.
pub fn probe(asked: Option<&api::Probe>, ours: Option<Probe>, port: Option<i32>) -> Option<Probe> {
    let Some(asked) = asked else { return ours };
    let ours = ours.unwrap_or_default();
    let action = if asked.has_action() { action(asked, port.unwrap_or_default()) } else { ours.clone() };
    Some(Probe {
        initial_delay_seconds: asked.initial_delay_seconds.or(ours.initial_delay_seconds),
        period_seconds: asked.period_seconds.or(ours.period_seconds),
        timeout_seconds: asked.timeout_seconds.or(ours.timeout_seconds),
        success_threshold: asked.success_threshold.or(ours.success_threshold),
        failure_threshold: asked.failure_threshold.or(ours.failure_threshold),
        ..action
    })
}

/// The start-up probe. A server that reports by another action that it is ready reports by the same that it has started, unless
/// a start-up probe is asked for that has its own.
pub fn startup(pod: &api::Pod, ours: Option<Probe>, port: Option<i32>) -> Option<Probe> {
    let readiness = pod.probe(ProbeType::Readiness).filter(|asked| asked.has_action());
    let ours = match (ours, readiness) {
        (Some(ours), Some(asked)) => {
            let Probe { initial_delay_seconds, period_seconds, timeout_seconds, failure_threshold, .. } = ours;
            let action = action(asked, port.unwrap_or_default());
            Some(Probe { initial_delay_seconds, period_seconds, timeout_seconds, failure_threshold, ..action })
        }
        (ours, _) => ours,
    };
    probe(pod.probe(ProbeType::Startup), ours, port)
}

/// What a probe does. `default`: the port of the container.
fn action(asked: &api::Probe, default: i32) -> Probe {
    let port = asked.port.unwrap_or(default);
    let mut probe = Probe::default();
    if let Some(path) = &asked.path {
        probe.http_get = Some(HTTPGetAction {
            path: Some(path.clone()),
            port: IntOrString::Int(port),
            scheme: asked.scheme.as_ref().map(same),
            http_headers: same_list(&asked.http_headers),
            host: None,
        });
    } else if let Some(service) = &asked.grpc_service {
        let service = Some(service.clone()).filter(|service| !service.is_empty());
        probe.grpc = Some(GRPCAction { port, service });
    } else if let Some(command) = non_empty(&asked.exec) {
        probe.exec = Some(ExecAction { command: Some(command) });
    } else {
        probe.tcp_socket = Some(TCPSocketAction { port: IntOrString::Int(port), host: None });
    }
    probe
}

/// What is done before a container gets SIGTERM. `sleep`: the seconds of the default, if there is one.
pub fn lifecycle(asked: Option<&PreStop>, sleep: Option<i64>, default: Option<i32>) -> Option<Lifecycle> {
    let seconds = asked.map_or(sleep, |asked| asked.sleep_seconds);
    let handler = LifecycleHandler {
        sleep: seconds.map(|seconds| SleepAction { seconds }),
        exec: asked.and_then(|asked| non_empty(&asked.exec)).map(|command| ExecAction { command: Some(command) }),
        http_get: asked.and_then(|asked| Some((asked.path.as_ref()?, asked.port))).map(|(path, port)| HTTPGetAction {
            path: Some(path.clone()),
            port: IntOrString::Int(port.or(default).unwrap_or_default()),
            ..HTTPGetAction::default()
        }),
        tcp_socket: None,
    };
    (asked.is_some() || sleep.is_some()).then(|| Lifecycle { pre_stop: Some(handler), ..Lifecycle::default() })
}
