//! CEL expressions of the schema that are long or used more than once.
//!
//! The forms of texts are rules and not patterns, because the message of a pattern is its regular expression. What a
//! rule looks at has to be bounded (`maxLength`, `maxItems`, `maxProperties`), or the API server refuses the CRD for
//! what its rules might cost.

/// A bucket, with a prefix or without.
pub const S3_URI: &str = r#"self.matches("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()-]+)*/?$")"#;
/// A URL without a path.
pub const URL: &str = "self.matches('^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?$')";
/// The name of a Kubernetes object.
pub const OBJECT_NAME: &str = "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')";
/// A key of a Secret or ConfigMap.
pub const DATA_KEY: &str = "self.matches('^[A-Za-z0-9._-]+$')";
/// A text without blanks.
pub const IMAGE: &str = "self.matches('^[!-~]+$')";
/// Cron's five fields; what is in them is checked by the operator.
pub const FIVE_FIELDS: &str = "self.matches('^[!-~]+( [!-~]+){4}$')";
/// What a time zone may look like; whether there is one of this name is checked by the operator.
pub const TIME_ZONE: &str = "self.matches('^[A-Za-z0-9_+/-]+$')";
/// An absolute path.
pub const HTTP_PATH: &str = "self.matches('^/[!-~]*$')";
/// The name of an environment variable.
pub const VARIABLE: &str = "self.matches('^[A-Za-z_][A-Za-z0-9_.-]*$')";
/// Keys of labels.
pub const LABEL_KEYS: &str = "self.all(k, \
    k.matches('^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'))";
/// Values of labels.
pub const LABEL_VALUES: &str = "self.all(k, self[k].matches('^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$'))";
/// Quantities that are not negative.
pub const QUANTITIES: &str = "self.all(k, \
    string(self[k]).matches('^[+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$'))";
/// Resources that a container may ask for.
pub const RESOURCE_NAMES: &str = "self.all(k, \
    k in ['cpu', 'memory', 'ephemeral-storage'] || k.startsWith('hugepages-') || k.contains('/'))";
/// No request above its limit. What is no quantity has a rule of its own.
pub const WITHIN_LIMITS: &str = "!has(self.requests) || !has(self.limits) || \
    self.requests.all(k, !(k in self.limits) || \
    !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || \
    quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)";
/// A short name: a DNS label that starts with a letter.
pub const LABEL_NAME: &str = "self.matches('^[a-z]([a-z0-9-]*[a-z0-9])?$')";
/// Names of labels in Prometheus.
pub const METRIC_LABELS: &str = "self.all(k, k.matches('^[a-zA-Z_][a-zA-Z0-9_]{0,127}$') && k != '__name__')";
/// One kind of dependency, not none and not two.
pub const ONE_DEPENDENCY: &str = "[has(self.kafka), has(self.rabbitmq), has(self.rq), has(self.redisList), \
    has(self.flink), has(self.custom)].filter(set, set).size() == 1";
/// Whoever scales on CPU says what 100 % are: with no signal at all, CPU is the default.
pub const CPU_REQUESTED: &str = "!has(self.autoscaling) || \
    (!has(self.autoscaling.cpu) && (has(self.autoscaling.latency) || has(self.autoscaling.lag))) || \
    (has(self.resources) && has(self.resources.requests) && 'cpu' in self.resources.requests)";
/// The same of a worker.
pub const WORKER_CPU_REQUESTED: &str = "!has(self.autoscaling) || \
    (!has(self.autoscaling.cpu) && has(self.autoscaling.lag)) || \
    (has(self.resources) && has(self.resources.requests) && 'cpu' in self.resources.requests)";
/// Whoever scales on recorded signals has them recorded.
pub const SCALING_MONITORED: &str = "has(self.monitoring) || \
    ((!has(self.serving.autoscaling) || (!has(self.serving.autoscaling.latency) && !has(self.serving.autoscaling.lag))) && \
    (!has(self.workers) || !self.workers.exists(w, has(w.autoscaling) && has(w.autoscaling.lag))))";
/// The dependency that servers scale on.
pub const SERVING_LAG_KNOWN: &str = "!has(self.serving.autoscaling) || !has(self.serving.autoscaling.lag) || \
    (has(self.dependencies) && self.dependencies.exists(d, d.name == self.serving.autoscaling.lag.dependency))";
/// The dependencies that workers scale on.
pub const WORKER_LAG_KNOWN: &str = "!has(self.workers) || \
    self.workers.all(w, !has(w.autoscaling) || !has(w.autoscaling.lag) || \
    (has(self.dependencies) && self.dependencies.exists(d, d.name == w.autoscaling.lag.dependency)))";
