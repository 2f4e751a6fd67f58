//! The Deployments of servers: that of the version that serves, and that of a canary.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            ConfigMapVolumeSource, HTTPGetAction, PodTemplateSpec, Probe, TCPSocketAction, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{
    pod::{self, Access, Main, Probes, Spread},
    version_file as file,
};
use crate::{
    api::{
        CANARY_TRACK, ProbeType, RESTARTED_ANNOTATION, RolloutStrategy, SERVERS_ANNOTATION, STABLE_TRACK, Serving,
        VERSION_LABEL, Version,
    },
    child::{self, Child},
    kinds::Kind,
    model::Model,
    names::{self, CANARY_COMPONENT, SERVER_CONTAINER, SERVING_COMPONENT},
    version_file::{self, Artifact, Placement},
};

/// Name of the port of the requests.
pub const PORT_NAME: &str = "http";
/// Name of the port of the metrics, if it is another one.
const METRICS_PORT: &str = "metrics";

/// Name of the port that is scraped.
pub fn scraped_port(serving: &Serving) -> &'static str {
    if serving.metrics_port.is_some() { METRICS_PORT } else { PORT_NAME }
}

/// Most seconds between two startup probes, and until an unanswered one has failed: 2 s. Short, because a new server may be needed
/// at once and should not wait for its probe. Longer time-outs than the period would make the number of attempts last longer than
/// the seconds it stands for.
const STARTUP_PERIOD_SECONDS: i32 = 2;
/// Number of consecutive failures of the readiness probe before a server leaves the Service: a busy server may miss one or
/// two.
const READINESS_FAILURES: i32 = 3;
/// Seconds for scheduling and pulling the image before a rollout counts as stuck, in addition to the server's own start-up.
const ROLLOUT_SLACK_SECONDS: i32 = 300;

/// What differs between the two Deployments of servers.
struct Track<'a> {
    name: String,
    component: &'a str,
    track: &'a str,
    artifact: &'a Artifact,
    /// The ConfigMap of the file that names the version, and when the reload began for which they are restarted.
    file: Option<(&'a str, Option<&'a str>)>,
    /// Number of pods; `None` where an autoscaler writes it.
    replicas: Option<i32>,
}

/// The Deployment of the version that serves. `placement`: of servers that read their version from a file; with the ConfigMap of
/// that.
pub fn render(model: &Model, version: &Version, placement: Option<&Placement>) -> (Option<Child>, Child) {
    let Some(Placement { started, restarted, file: named }) = placement else {
        return (None, deployment(model, &stable(model, &version.into())));
    };
    let hash = servers_template(model, started, restarted.as_deref());
    let name = names::version_file(&model.identity.base, &hash);
    let track = Track { file: Some((&name, restarted.as_deref())), ..stable(model, started) };
    let mut servers = deployment_of(model, &track);
    servers.metadata.annotations.get_or_insert_default().insert(SERVERS_ANNOTATION.into(), hash.clone());
    (Some(file::render(model, &hash, named)), Child::new(Kind::Deployment, servers))
}

/// Hash of the pod template of servers that are started with a version, and read theirs from a file. `restarted`: see
/// [`Placement::restarted`].
pub fn servers_template(model: &Model, started: &Artifact, restarted: Option<&str>) -> String {
    let of_file = Track { file: Some(("", restarted)), ..stable(model, started) };
    names::short_hash(&serde_json::to_vec(&template(model, &of_file)).unwrap_or_default())
}

/// The track of the version that serves.
fn stable<'a>(model: &Model, artifact: &'a Artifact) -> Track<'a> {
    let workload = model.serving_workload();
    Track {
        name: workload.deployment,
        component: SERVING_COMPONENT,
        track: STABLE_TRACK,
        artifact,
        file: None,
        replicas: workload.scaling.is_none().then_some(workload.replicas),
    }
}

/// The Deployment of a canary with so many pods. They get requests like the others: the Service selects them as well, or an HTTPRoute
/// gives them some.
pub fn canary(model: &Model, version: &Version, replicas: i32) -> Child {
    let name = names::canary(&model.identity.base);
    let (artifact, replicas) = (&version.into(), Some(replicas));
    deployment(model, &Track { name, component: CANARY_COMPONENT, track: CANARY_TRACK, artifact, file: None, replicas })
}

fn deployment(model: &Model, track: &Track) -> Child {
    Child::new(Kind::Deployment, deployment_of(model, track))
}

fn deployment_of(model: &Model, track: &Track) -> Deployment {
    let identity = &model.identity;
    let serving = &model.serving;
    let ready = serving.min_ready_seconds.unwrap_or_default();
    let template = template(model, track);
    let spec = DeploymentSpec {
        replicas: track.replicas,
        selector: LabelSelector {
            match_labels: Some(child::on_track(identity, track.component, track.track)),
            ..LabelSelector::default()
        },
        strategy: Some(strategy(serving.strategy.as_ref())),
        min_ready_seconds: serving.min_ready_seconds,
        progress_deadline_seconds: Some(startup_seconds(&template) + ready + ROLLOUT_SLACK_SECONDS),
        revision_history_limit: Some(2),
        template,
        ..DeploymentSpec::default()
    };
    let mut metadata = child::meta(identity, track.name.clone(), track.component);
    pod::describe(&mut metadata, &model.serving.pod);
    Deployment { metadata, spec: Some(spec), status: None }
}

/// Seconds a server may take until its startup probe succeeds.
fn startup_seconds(template: &PodTemplateSpec) -> i32 {
    let probe = template.spec.as_ref().and_then(|pod| pod.containers.first()?.startup_probe.as_ref());
    probe.map_or(0, |probe| {
        let each = probe.period_seconds.max(probe.timeout_seconds).unwrap_or(STARTUP_PERIOD_SECONDS);
        // The first attempt is at the start.
        each * (probe.failure_threshold.unwrap_or(1) - 1) + probe.initial_delay_seconds.unwrap_or(0)
    })
}

/// By default the pods of the previous version are kept until as many of the new version are ready.
fn strategy(desired: Option<&RolloutStrategy>) -> DeploymentStrategy {
    let pods = |pods: &Option<IntOrString>| pods.as_ref().map(pod::number_or_percent);
    let max_surge = desired.and_then(|desired| pods(&desired.max_surge));
    let max_unavailable = desired.and_then(|desired| pods(&desired.max_unavailable));
    DeploymentStrategy {
        type_: Some("RollingUpdate".into()),
        rolling_update: Some(RollingUpdateDeployment {
            max_unavailable: max_unavailable.or(Some(IntOrString::Int(0))),
            max_surge: max_surge.or_else(|| Some(IntOrString::String("25%".into()))),
        }),
    }
}

fn template(model: &Model, track: &Track) -> PodTemplateSpec {
    let identity = &model.identity;
    let mut labels = child::labels(identity, track.component);
    labels.extend(child::on_track(identity, track.component, track.track));
    labels.extend(child::traffic_selector(identity));
    labels.insert(VERSION_LABEL.into(), track.artifact.version.clone());
    let spread = Spread::Replicas(child::traffic_selector(identity));
    let mut template = pod::template(model, &main(model, track), labels, &spread);
    let seconds = drain_seconds(model) + model.serving.termination_grace_seconds;
    template.spec.get_or_insert_default().termination_grace_period_seconds = Some(seconds);
    if let Some((config_map, restarted)) = track.file {
        read_version(&mut template, config_map, restarted);
    }
    template
}

/// Mounts the file that names the version.
fn read_version(template: &mut PodTemplateSpec, config_map: &str, restarted: Option<&str>) {
    let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
    annotations.extend(restarted.map(|since| (RESTARTED_ANNOTATION.to_owned(), since.to_owned())));
    let spec = template.spec.get_or_insert_default();
    let source = ConfigMapVolumeSource { name: config_map.into(), ..ConfigMapVolumeSource::default() };
    let volume = Volume { name: version_file::VOLUME.into(), config_map: Some(source), ..Volume::default() };
    spec.volumes.get_or_insert_default().push(volume);
    // All of them have the variable.
    spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).for_each(|container| {
        container.volume_mounts.get_or_insert_default().push(VolumeMount {
            name: version_file::VOLUME.into(),
            mount_path: version_file::DIRECTORY.into(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    });
}

/// Seconds until a server gets its SIGTERM. What another hook than a pause takes is not known.
fn drain_seconds(model: &Model) -> i64 {
    model.serving.pod.pre_stop.as_ref().and_then(|hook| hook.sleep_seconds).unwrap_or(model.serving.drain_seconds)
}

fn main<'a>(model: &'a Model, track: &Track) -> Main<'a> {
    let serving = &model.serving;
    let Artifact { version, uri, digest } = track.artifact;
    let mut contract = vec![
        ("RECOMMENDER_VERSION", version.clone()),
        ("RECOMMENDER_MODEL_URI", uri.clone()),
        ("RECOMMENDER_MODEL_DIGEST", digest.clone()),
    ];
    let path = || format!("{}/{}", version_file::DIRECTORY, version_file::FILE);
    contract.extend(track.file.map(|_| (version_file::VARIABLE, path())));
    Main {
        name: SERVER_CONTAINER,
        image: &serving.image,
        command: &serving.command,
        args: &serving.args,
        contract,
        env: &serving.env,
        resources: serving.resources.as_ref(),
        ports: std::iter::once((PORT_NAME, serving.port)).chain(further_ports(serving)).collect(),
        access: Access::ReadOnly,
        probes: Probes {
            startup: Some(startup_probe(model)),
            readiness: Some(readiness_probe(model)),
            liveness: Some(liveness_probe()),
        },
        // Kubernetes 1.33 refuses to sleep for 0 seconds where a feature gate is off.
        drain_seconds: (serving.drain_seconds > 0).then_some(serving.drain_seconds),
        pod: &serving.pod,
    }
}

/// Names and numbers of the ports other than that of the requests.
pub fn further_ports(serving: &Serving) -> impl Iterator<Item = (&str, i32)> {
    let metrics = serving.metrics_port.map(|port| (METRICS_PORT, port));
    metrics.into_iter().chain(serving.ports.iter().map(|port| (port.name.as_str(), port.port)))
}

fn answers(model: &Model) -> Option<HTTPGetAction> {
    Some(HTTPGetAction {
        path: Some(model.serving.probes.path.clone()),
        port: IntOrString::String(PORT_NAME.into()),
        ..HTTPGetAction::default()
    })
}

/// A server is restarted at about `startupSeconds` after its start, whether attempts fail at once or by their time-out: the next
/// attempt is a period after the last one, or after its time-out if that is longer.
fn startup_probe(model: &Model) -> Probe {
    let probes = &model.serving.probes;
    let asked = model.serving.pod.probe(ProbeType::Startup);
    let delay = asked.and_then(|of| of.initial_delay_seconds).unwrap_or_default();
    let timeout = asked.and_then(|of| of.timeout_seconds);
    let default = timeout.unwrap_or_else(|| probes.timeout_seconds.min(STARTUP_PERIOD_SECONDS));
    let period = asked.and_then(|of| of.period_seconds).unwrap_or(default);
    let remaining = (probes.startup_seconds - delay).max(1);
    Probe {
        http_get: answers(model),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout.unwrap_or_else(|| probes.timeout_seconds.min(period))),
        // Rounded up, and one more, because the first attempt is at the start: a server gets at least the specified time.
        failure_threshold: Some((remaining + period - 1) / period + 1),
        ..Probe::default()
    }
}

fn readiness_probe(model: &Model) -> Probe {
    let probes = &model.serving.probes;
    Probe {
        http_get: answers(model),
        period_seconds: Some(probes.period_seconds),
        timeout_seconds: Some(probes.timeout_seconds),
        failure_threshold: Some(READINESS_FAILURES),
        ..Probe::default()
    }
}

/// Checks only whether the port is open: a server that answers slowly under load must not be killed for it.
fn liveness_probe() -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::String(PORT_NAME.into()), ..TCPSocketAction::default() }),
        period_seconds: Some(10),
        timeout_seconds: Some(5),
        failure_threshold: Some(6),
        ..Probe::default()
    }
}
