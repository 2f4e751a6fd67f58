//! CEL expressions of the schema that are long or used more than once.
//!
//! The form of strings is validated by rules instead of patterns, because the error message of a pattern is its regular
//! expression. The input of a rule has to be bounded (`maxLength`, `maxItems`, `maxProperties`), or the API server rejects
//! the CRD because of the estimated cost of its rules. Quantities have a pattern: they may be numbers or texts, and Kubernetes
//! 1.33 ignores the bound of these.

/// An S3 bucket with an optional prefix.
pub const S3_URI: &str = r#"self.matches("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?$")"#;
/// Exactly one kind of storage.
pub const ONE_STORE: &str =
    "[has(self.s3), has(self.gcs), has(self.azure), has(self.persistentVolumeClaim)].exists_one(x, x)";
/// A bucket of Google Cloud Storage with an optional prefix.
pub const GCS_URI: &str = r"self.uri.matches('^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[A-Za-z0-9!_.*()-]+)*/?$')";
/// A container of Azure Blob Storage with an optional prefix.
pub const AZURE_URI: &str = r"self.uri.matches('^(abfss?://[a-z0-9-]{3,63}@[a-z0-9]{3,24}[.][a-z0-9.-]+|az://[a-z0-9-]{3,63})(/[A-Za-z0-9!_.*()-]+)*/?$')";
/// A URL without a path.
pub const URL: &str = "self.matches('^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$')";
/// A URL without a user and a password, which would end in clear text in labels of series.
pub const ANY_URL: &str = "self.matches('^https?://[^@/?# ]+([/?#][!-~]*)?$')";
/// A host and a port.
pub const ADDRESS: &str = "self.matches('^[A-Za-z0-9.-]+:[1-9][0-9]{0,4}$')";
/// The name of a module of a blackbox exporter.
pub const MODULE: &str = "self.matches('^[A-Za-z0-9_.-]+$')";
/// The name of a Kubernetes object.
pub const OBJECT_NAME: &str = "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')";
/// What to write instead of a name that violates [`OBJECT_NAME`].
pub const OBJECT_NAME_MESSAGE: &str = "write lower case letters, digits, - and .";
/// The name of a profile or an exporter of the catalogue. Which there are is known to the operator alone.
pub const CATALOG_NAME: &str = "self.matches('^[A-Za-z][A-Za-z0-9]*$')";
/// What to write instead of a name that violates [`CATALOG_NAME`].
pub const CATALOG_NAME_MESSAGE: &str = "write letters and digits, with a letter at the beginning";
/// A key of a Secret or ConfigMap.
pub const DATA_KEY: &str = "self.matches('^[A-Za-z0-9._-]+$')";
/// A container image: any text without blanks.
pub const IMAGE: &str = "self.matches('^[!-~]+$')";
/// The five fields of cron. Their contents are validated by the operator.
pub const FIVE_FIELDS: &str = "self.matches('^[!-~]+( [!-~]+){4}$')";
/// The form of a time zone. Whether it exists is validated by the operator.
pub const TIME_ZONE: &str = "self.matches('^[A-Za-z0-9_+/-]+$')";
/// An absolute path.
pub const HTTP_PATH: &str = "self.matches('^/[!-~]*$')";
/// The name of an environment variable.
pub const VARIABLE: &str = "self.matches('^[A-Za-z_][A-Za-z0-9_.-]*$')";
/// Keys of labels and annotations of pods that neither the operator nor a controller of Kubernetes sets.
pub const FREE_KEYS: &str = "self.all(k, !k.matches('recommender[.]dev/|^(batch|deployment)[.]kubernetes[.]io/|\
    ^app[.]kubernetes[.]io/(name|instance|component|managed-by)$|^(pod-template-hash|job-name|controller-uid)$'))";
/// What to write instead of a key that violates [`FREE_KEYS`].
pub const FREE_KEYS_MESSAGE: &str = "the operator or Kubernetes sets this key: choose another";
/// A number of pods, or per cent of them.
pub const NUMBER_OR_PERCENT: &str = "string(self).matches('^(0|[1-9][0-9]{0,3}|([0-9]|[1-9][0-9]|100)%)$')";
/// What to write instead.
pub const NUMBER_OR_PERCENT_MESSAGE: &str = "write a number of pods such as 1, or per cent such as 25%";
/// A rollout may add a pod or remove one.
pub const SOME_PODS_MOVE: &str = "!has(self.maxSurge) || !(string(self.maxSurge) in ['0', '0%']) || \
    (has(self.maxUnavailable) && !(string(self.maxUnavailable) in ['0', '0%']))";
/// At most one value of a disruption budget, and none of one that does not exist.
pub const ONE_BUDGET: &str =
    "[has(self.minAvailable), has(self.maxUnavailable), !self.enabled].filter(x, x).size() <= 1";
/// Different numbers of the ports of a server, and of those of its Service, which exposes `port` as 80.
pub const PORTS_APART: &str = "(!has(self.metricsPort) || !(self.metricsPort in [80, self.port])) && \
    (!has(self.ports) || self.ports.all(p, !(p.port in [80, self.port]) && \
    (!has(self.metricsPort) || p.port != self.metricsPort) && self.ports.exists_one(q, q.port == p.port)))";
/// No more trainers at the same time than there are.
pub const PARALLELISM: &str = "!has(self.parallelism) || (has(self.completions) && self.parallelism <= self.completions) || self.parallelism == 1";
/// What to write instead of an invalid key.
pub const LABEL_KEYS_MESSAGE: &str = "write keys like team or example.org/team";
/// What to write instead of an invalid value of a label.
pub const LABEL_VALUES_MESSAGE: &str =
    "write values of letters, digits, -, _ and . that begin and end with a letter or digit";
/// Keys of labels.
pub const LABEL_KEYS: &str = "self.all(k, \
    k.matches('^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))";
/// Values of labels.
pub const LABEL_VALUES: &str = "self.all(k, self[k].matches('^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$'))";
/// The pattern of a quantity that is not negative. It applies to texts only.
pub const QUANTITY: &str = "^[+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$";
/// Names of resources of a container.
pub const RESOURCE_NAMES: &str = "self.all(k, k.matches('^(cpu|memory|ephemeral-storage)$|^hugepages-|/'))";
/// A short name: a DNS label that starts with a letter.
pub const LABEL_NAME: &str = "self.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')";
/// Names of labels in Prometheus, except `__name__`.
pub const METRIC_LABELS: &str = "self.all(k, k.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,127}$') && k != '__name__')";
/// A size.
pub const SIZE: &str = "self.matches('^[0-9]+([.][0-9]+)?([KMGTPE]i|[kMGTPE])?$')";
/// What to write instead of a size that violates [`SIZE`].
pub const SIZE_MESSAGE: &str = "write a size such as 512Mi or 1.5Gi";
/// Exactly one source of a volume.
pub const ONE_VOLUME: &str = "[has(self.configMap), has(self.secret), has(self.projected), has(self.emptyDir), \
    has(self.persistentVolumeClaim), has(self.ephemeral), has(self.csi)].exists_one(x, x)";
/// The path of a field of a pod. The API server knows which ones a variable can have, and a condition reports its refusal.
pub const POD_FIELD: &str = "self.matches('^(metadata|spec|status)[.][!-~]+$')";
/// Exactly one kind of dependency.
pub const ONE_DEPENDENCY: &str = "[has(self.kafka), has(self.rabbitmq), has(self.rq), has(self.redisList), \
    has(self.flink), has(self.custom), has(self.exporter)].exists_one(x, x)";
/// Exactly one condition of a trigger of a training.
pub const ONE_TRIGGER: &str =
    "[has(self.signal), has(self.newEvents), has(self.recoveredAfterSeconds)].exists_one(x, x)";
/// Exactly one kind of objective.
pub const ONE_INDICATOR: &str = "[has(self.availability), has(self.latency), has(self.modelAge), has(self.dataAge), \
    has(self.lag)].exists_one(x, x)";
/// The form of a goal in per cent: below 100. Whether alerts on it can fire is validated by the operator.
pub const GOAL: &str = "self.matches('^[0-9]{1,2}([.][0-9]{1,4})?$')";
/// A decimal number.
pub const DECIMAL: &str = "self.matches('^-?[0-9]+([.][0-9]+)?$')";
/// What to write instead of a number that violates [`DECIMAL`].
pub const DECIMAL_MESSAGE: &str = "write a decimal number, for example \"0.20\"";
/// Per cent, from 0 on.
pub const PER_CENT: &str = "self.matches('^[0-9]{1,3}([.][0-9]{1,4})?$')";
/// What to write instead.
pub const PER_CENT_MESSAGE: &str = "write per cent, for example \"2\"";
/// A step of a canary gives it requests or copies of them.
pub const ONE_SHARE: &str = "has(self.weightPercent) != has(self.mirrorPercent)";
/// Copies of requests need a Gateway.
pub const MIRROR_ROUTED: &str = "has(self.httpRoute) || self.steps.all(s, !has(s.mirrorPercent))";
/// Host names, the first label of which may be a wildcard.
pub const HOSTNAMES: &str =
    "self.all(h, h.matches('^([*][.])?[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$'))";
/// A significance level: above 0 and below 0.5.
pub const LEVEL: &str = "self.matches('^0[.][0-4][0-9]*$') && self.matches('[1-9]')";
/// The name of a metric in a trainer's report.
pub const REPORTED_METRIC: &str = "self.matches('^[a-z][a-z0-9_]*$')";
/// A gate has a bound.
pub const SOME_BOUND: &str = "has(self.minimum) || has(self.maximum) || has(self.maxRegressionPercent) || \
    has(self.maxRegressionFromBestPercent)";
/// Scaling on CPU requires a CPU request, because the target is relative to it. Without any signal, CPU is the default.
pub const CPU_REQUESTED: &str = "!has(self.autoscaling) || \
    (!has(self.autoscaling.cpu) && \
    (has(self.autoscaling.latency) || has(self.autoscaling.lag) || has(self.autoscaling.memory))) || \
    (has(self.resources) && has(self.resources.requests) && 'cpu' in self.resources.requests)";
/// The same for a worker.
pub const WORKER_CPU_REQUESTED: &str = "!has(self.autoscaling) || \
    (!has(self.autoscaling.cpu) && (has(self.autoscaling.lag) || has(self.autoscaling.memory))) || \
    (has(self.resources) && has(self.resources.requests) && 'cpu' in self.resources.requests)";
/// Scaling on memory requires a memory request.
pub const MEMORY_REQUESTED: &str = "!has(self.autoscaling) || !has(self.autoscaling.memory) || \
    (has(self.resources) && has(self.resources.requests) && 'memory' in self.resources.requests)";
/// What to write instead.
pub const MEMORY_REQUESTED_MESSAGE: &str =
    "autoscaling on memory is relative to the request: set resources.requests.memory";
/// Scaling on latency or lag requires monitoring, which records these signals.
pub const SCALING_MONITORED: &str = "has(self.monitoring) || \
    ((!has(self.serving.autoscaling) || (!has(self.serving.autoscaling.latency) && !has(self.serving.autoscaling.lag))) && \
    (!has(self.workers) || !self.workers.exists(w, has(w.autoscaling) && has(w.autoscaling.lag))))";
/// The dependency that servers scale on exists.
pub const SERVING_LAG_KNOWN: &str = "!has(self.serving.autoscaling) || !has(self.serving.autoscaling.lag) || \
    (has(self.dependencies) && self.dependencies.exists(d, d.name == self.serving.autoscaling.lag.dependency))";
/// The dependencies that workers scale on exist.
pub const WORKER_LAG_KNOWN: &str = "!has(self.workers) || \
    self.workers.all(w, !has(w.autoscaling) || !has(w.autoscaling.lag) || \
    (has(self.dependencies) && self.dependencies.exists(d, d.name == w.autoscaling.lag.dependency)))";
