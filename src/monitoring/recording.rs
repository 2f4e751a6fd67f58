//! The canonical series: the same names for every metric profile. Alerts, dashboards and the scaler use only these.
//!
//! Each has the labels `namespace`, `recommender` and `workload`. A series is absent if its value is unknown; it is zero only
//! if zero was measured.

use super::{
    Monitored, Workload, profiles,
    promql::{equals, none_of, quote, quote_regex, series},
};
use crate::{
    api::{Quantile, monitoring_coreos::Rule},
    catalog::{Profile, Selector},
    cores,
    series::Series,
};

/// Gauge of the operator: 1 while an object's last training run has failed, 0 otherwise.
pub const OPERATOR_TRAINING_FAILED: &str = "recommender_operator_training_failed";
/// Gauge of the operator: 1 once an object has a version to serve, 0 before. Silences the alert on missing servers during
/// the first training.
pub const OPERATOR_SERVING_EXPECTED: &str = "recommender_operator_serving_expected";

/// Gauge of the operator: servers of an object that are ready.
pub const OPERATOR_SERVING_READY: &str = "recommender_operator_serving_ready";
/// Gauge of the operator: when the newest version of an object was trained, in seconds since 1970. Absent without a version.
pub const OPERATOR_TRAINED: &str = "recommender_operator_trained_timestamp_seconds";

/// Gauge of the operator: 1 while replicas are held because signals are missing or old.
pub const OPERATOR_SCALING_HELD: &str = "recommender_operator_scaling_held";
/// Gauge of the operator: 1 while more replicas are needed than the maximum.
pub const OPERATOR_SCALING_AT_MAXIMUM: &str = "recommender_operator_scaling_at_maximum";
/// Gauge of the operator: 1 while more replicas do not help.
pub const OPERATOR_SCALING_INEFFECTIVE: &str = "recommender_operator_scaling_ineffective";

/// How long the last sample of a gauge counts as its value, as a PromQL duration: a scrape every minute may fail once, so that an
/// alert neither ends nor starts again.
pub(super) const LAST: &str = "2m";
/// Seconds within which a target is observed to find out whether several processes answer its scrapes.
const PROCESSES_SECONDS: i64 = 600;
/// The same in scrapes, for targets that are scraped rarely: among so many, two of the same process in a row are likely, but not
/// twenty.
const PROCESSES_SCRAPES: i64 = 20;
/// Seconds that a process may be older than that window before it counts as not restarted in it: clocks differ.
const CLOCKS_SECONDS: i64 = 30;
/// Restarts in that window that a container may have: the kubelet waits up to five minutes between them, which allows about seven.
const MOST_RESTARTS: i64 = 10;

/// The recording rules of what changes within minutes. A rule comes after the rules whose series it reads.
pub fn rules(monitored: &Monitored) -> Vec<Rule> {
    let source = Source::new(monitored);
    let mut rules = vec![source.rule(Series::SeveralProcesses.name(), source.several_processes())];
    if monitored.servers.latency_target.is_none() {
        rules.extend(source.in_flight_rule());
    }
    let window = &source.window;
    let of_requests = [
        (Series::LatencyP50, source.latency(Quantile::P50, window)),
        (Series::LatencyP95, source.latency(Quantile::P95, window)),
        (Series::LatencyP99, source.latency(Quantile::P99, window)),
        (Series::Requests, Some(source.requests(window))),
    ];
    let of_requests = of_requests.into_iter().filter_map(|(series, expr)| Some((series, expr?)));
    rules.extend(of_requests.map(|(series, expr)| source.rule(series.name(), source.trusted(&expr))));
    let errors = source.errors(window, Series::Requests.name(), &|expr| source.trusted(&expr));
    rules.extend(errors.map(|expr| source.rule(Series::RequestErrors.name(), expr)));
    rules.extend([
        source.rule(Series::Targets.name(), format!("count({}) or vector(0)", source.of_servers("up", &[]))),
        source.rule(Series::TargetsUp.name(), format!("sum({}) or vector(0)", source.of_servers("up", &[]))),
        source.rule(Series::ServingExpected.name(), source.serving_expected()),
        source.rule(Series::ServingReady.name(), source.serving_ready()),
    ]);
    if monitored.servers.is_probed {
        rules.push(source.rule(Series::ProbeUp.name(), source.probe_up()));
    }
    if monitored.is_decided() {
        rules.extend(
            [
                (Series::ScalingHeld, OPERATOR_SCALING_HELD),
                (Series::ScalingAtMaximum, OPERATOR_SCALING_AT_MAXIMUM),
                (Series::ScalingIneffective, OPERATOR_SCALING_INEFFECTIVE),
            ]
            .map(|(series, gauge)| source.of_workloads(series.name(), gauge)),
        );
    }
    rules
}

/// The recording rules of what changes within hours, or with the spec.
pub fn slow(monitored: &Monitored) -> Vec<Rule> {
    let source = Source::new(monitored);
    let of_training = |series: Series, expr: String| rule_of(monitored, Workload::Training, series.name(), expr);
    let mut rules = vec![
        source.rule(Series::Restarts.name(), source.restarts()),
        of_training(Series::TrainingFailed, source.training_failed()),
        of_training(Series::TrainingAge, source.training_age()),
        of_training(Series::TrainingPeriod, format!("vector({})", monitored.training.period_seconds.unwrap_or(0))),
    ];
    if let Some(target) = monitored
        .servers
        .latency_target
        .filter(|_| source.profile.latency.is_some() || monitored.metrics.signals.is_some())
    {
        let seconds = f64::from(target.target_milliseconds) / 1000.0;
        rules.push(source.rule(Series::LatencyTarget.name(), format!("vector({seconds})")));
    }
    rules.extend(source.memory_use().map(|expr| source.rule(Series::MemoryUse.name(), expr)));
    rules
}

/// A recording rule with the labels of the object and of one of its workloads.
pub(super) fn rule_of(monitored: &Monitored, workload: Workload, name: &str, expr: String) -> Rule {
    record(monitored, name, &[("workload", workload.label())], expr)
}

/// A recording rule with the labels of the object and `own` ones.
pub(super) fn record(monitored: &Monitored, name: &str, own: &[(&str, &str)], expr: String) -> Rule {
    let own = own.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
    let labels = monitored.object.labels().into_iter().chain(own).collect();
    Rule { record: Some(name.into()), expr, labels, ..Rule::default() }
}

/// The expressions for one object. Each returns at most one element, without labels; the rule adds the labels.
pub(super) struct Source<'a> {
    pub(super) monitored: &'a Monitored<'a>,
    pub(super) profile: &'static Profile,
    /// The matchers that select the object's servers, by the labels their ServiceMonitor adds.
    servers: String,
    /// The matcher that excludes health checks and scrapes, of series that have the label of routes.
    measured: String,
    /// The window of rates: four scrape intervals, at least 60 s. A rate needs two samples, so one or two scrapes may fail.
    pub(super) window: String,
}

impl<'a> Source<'a> {
    pub(super) fn new(monitored: &'a Monitored<'a>) -> Self {
        let profile = profiles::of(monitored.metrics.profile);
        Self {
            monitored,
            profile,
            servers: monitored.object.matchers_of(Workload::Serving),
            measured: profile
                .route
                .as_ref()
                .map_or_else(String::new, |of| none_of(of, &monitored.metrics.unmeasured_routes())),
            window: format!("{}s", (4 * i64::from(monitored.metrics.interval_seconds)).max(60)),
        }
    }

    pub(super) fn rule(&self, name: &str, expr: String) -> Rule {
        rule_of(self.monitored, Workload::Serving, name, expr)
    }

    /// What the scaler and people read: where servers scale on latency, [`scaling`](super::scaling) records it more often.
    pub(super) fn in_flight_rule(&self) -> Option<Rule> {
        self.in_flight().map(|expr| self.rule(Series::InFlight.name(), self.trusted(&expr)))
    }

    pub(super) fn of_servers(&self, name: &str, matchers: &[&str]) -> String {
        series(name, &[&[self.servers.as_str()], matchers].concat())
    }

    /// Targets behind which several processes answer in turn, as with several workers of uvicorn or gunicorn: a rate takes each
    /// change of the process for a restart whose requests were all counted just now. Three signs:
    ///
    /// - A process that answers now and did not before, although it is older than the window: it was not started in it.
    /// - A start time that went back, twice: that of a restarted process is later than before. Once may be a clock that was set.
    /// - More resets than restarts explain, of servers that do not expose their start time and have a counter from their start.
    ///
    /// With a client library that computes the start time anew for each scrape, a clock that is set is the first sign too.
    fn several_processes(&self) -> String {
        let seconds = (PROCESSES_SCRAPES * i64::from(self.monitored.metrics.interval_seconds)).max(PROCESSES_SECONDS);
        let started = self.of_servers("process_start_time_seconds", &[]);
        let up = self.of_servers("up", &[]);
        let older = seconds + CLOCKS_SECONDS;
        // A gauge falls without a restart, and `up` with every failed scrape.
        let resets = match self.profile.counts_from_start() {
            false => String::new(),
            true => format!(" or {} > {MOST_RESTARTS}", self.presence(&format!("{seconds}s"), "resets")),
        };
        format!(
            "count((changes({started}[{seconds}s]) > 0 and time() - {started} > {older} or resets({started}[{seconds}s]) > 1{resets}) \
             and on (pod) {up}) or 0 * count({up})"
        )
    }

    /// The expression without the times in which counters are those of one process and then of another.
    pub(super) fn trusted(&self, expr: &str) -> String {
        format!("({expr}) unless sum({}) > 0", self.of_servers(Series::SeveralProcesses.name(), &[]))
    }

    /// The same for an expression with several elements, each with labels.
    pub(super) fn trusted_each(&self, expr: &str) -> String {
        format!("({expr}) unless on () sum({}) > 0", self.of_servers(Series::SeveralProcesses.name(), &[]))
    }

    /// A series of the servers without health checks and scrapes, where its labels show them. `matchers`: beside its own.
    pub(super) fn measured(&self, of: &Selector, matchers: &[&str]) -> String {
        let measured = if self.profile.has_route(&of.name) { self.measured.as_str() } else { "" };
        self.of_servers(&of.name, &[&[measured, of.matchers.as_str()], matchers].concat())
    }

    /// The quantile of no requests is NaN, for which every comparison is false. `>= 0` drops it, so that the series is
    /// absent.
    pub(super) fn latency(&self, quantile: Quantile, window: &str) -> Option<String> {
        if let Some(signals) = self.monitored.metrics.signals {
            return signals.latency(quantile).map(|expr| format!("max({expr}) >= 0"));
        }
        self.quantile(in_promql(quantile), window)
    }

    /// A quantile of the buckets of the last window: 0 and 1 are bounds of their buckets.
    pub(super) fn bucket(&self, quantile: &str) -> Option<String> {
        self.quantile(quantile, &self.window)
    }

    /// The counter exists only after the first request. Before, the rate is 0 for servers that were scraped at least twice
    /// in the window, because a rate needs two samples. Right after an outage of Prometheus there is only one, and the rate
    /// is unknown.
    pub(super) fn requests(&self, window: &str) -> String {
        if let Some(signals) = self.monitored.metrics.signals {
            return format!("sum({})", signals.requests);
        }
        let all = self.rate_from_zero(&self.profile.requests, window);
        let none = format!("0 * count({} > 1)", self.presence(window, "count_over_time"));
        // In a window of two scrapes, one sample of each form has no rate, which is not that there are no requests.
        match self.in_both_forms(&self.profile.requests) {
            Some(counters) => format!("{all} or {none} unless count({counters})"),
            None => format!("{all} or {none}"),
        }
    }

    /// The counter of errors exists only after the first error. Before, the rate is 0. It is absent where the series `recorded` of
    /// requests is. `limited`: adds this condition to PromQL of the spec, which has no such sum. `None` if the servers do not count errors.
    pub(super) fn errors(&self, window: &str, recorded: &str, limited: &dyn Fn(String) -> String) -> Option<String> {
        let requests = self.of_servers(recorded, &[]);
        if let Some(signals) = self.monitored.metrics.signals {
            let errors = signals.errors.as_ref();
            return errors.map(|expr| limited(format!("sum({expr}) or 0 * sum({requests})")));
        }
        let errors = Some(&self.profile.errors).filter(|counters| !counters.is_empty())?;
        Some(format!("({} or vector(0)) + 0 * sum({requests})", self.rate_from_zero(errors, window)))
    }

    fn in_flight(&self) -> Option<String> {
        if let Some(signals) = self.monitored.metrics.signals {
            return signals.in_flight.as_ref().map(|expr| format!("sum({expr})"));
        }
        self.profile.in_flight.as_ref().map(|gauge| format!("sum({})", self.measured(gauge, &[])))
    }

    /// Restarts of pods that still exist, so that a rollout that fixes the cause also resolves the alert. The larger of two
    /// sources. The start time exposed by Prometheus' client libraries misses servers that die before they are scraped.
    /// kube-state-metrics counts these, but is not installed in every cluster.
    fn restarts(&self) -> String {
        let started = self.of_servers("process_start_time_seconds", &[]);
        let up = self.of_servers("up", &[]);
        let restarted = series(
            "kube_pod_container_status_restarts_total",
            &[
                &equals("namespace", self.monitored.object.namespace),
                &format!("pod=~{}", self.monitored.object.serving_pods()),
            ],
        );
        largest(&[
            ("process", self.trusted(&format!("sum(changes({started}[1h]) and on (pod) {up})"))),
            ("kube-state-metrics", format!("sum(round(increase({restarted}[1h])) and on (pod) {restarted})")),
        ])
    }

    /// Of the server that uses most; the kubelet's measure counts what cannot be given back. `None` without a limit.
    fn memory_use(&self) -> Option<String> {
        let limit = cores::memory_limit(self.monitored.servers.resources)?;
        let used = self.monitored.object.server_containers("container_memory_working_set_bytes");
        Some(format!("max(last_over_time({used}[{LAST}])) / {limit}"))
    }

    /// A gauge of the operator for each workload of this object.
    fn of_workloads(&self, name: &str, gauge: &str) -> Rule {
        record(self.monitored, name, &[], self.of_operator_by("workload", gauge, ""))
    }

    /// A gauge of the operator for this object by some of its labels. `matchers`: of its series, beside those of the object.
    pub(super) fn of_operator_by(&self, labels: &str, gauge: &str, matchers: &str) -> String {
        let [honoured, exported] = self.of_operator(gauge, &[matchers]);
        format!("max by ({labels}) (last_over_time({honoured}[{LAST}]) or last_over_time({exported}[{LAST}]))")
    }

    /// Without the operator's gauge, servers are expected.
    fn serving_expected(&self) -> String {
        format!("{} or vector(1)", self.operator_gauge(OPERATOR_SERVING_EXPECTED))
    }

    /// By the labels of our Probe, whose base name is that of the Service.
    fn probe_up(&self) -> String {
        let job = equals("job", &probe_job(self.monitored.object.namespace, self.monitored.object.base));
        format!("min(last_over_time({}[{LAST}]))", series("probe_success", &[&self.monitored.object.matchers(), &job]))
    }

    /// The operator's gauge, else what kube-state-metrics reports of the Deployment. Absent where neither is scraped.
    fn serving_ready(&self) -> String {
        let namespace = equals("namespace", self.monitored.object.namespace);
        let deployment = equals("deployment", &self.monitored.object.serving_deployment());
        let ready = series("kube_deployment_status_replicas_ready", &[&namespace, &deployment]);
        format!("{} or max({ready})", self.operator_gauge(OPERATOR_SERVING_READY))
    }

    /// The operator's gauge. If the operator is down or not scraped, the Jobs as reported by kube-state-metrics: the last
    /// run failed if the newest failed Job started after the newest complete one.
    fn training_failed(&self) -> String {
        format!(
            "{} or {} > bool ({} or vector(0))",
            self.operator_gauge(OPERATOR_TRAINING_FAILED),
            self.newest_job("kube_job_status_start_time", "kube_job_failed"),
            self.newest_job("kube_job_status_start_time", "kube_job_complete"),
        )
    }

    /// By the operator's gauge, else by the Jobs as reported by kube-state-metrics.
    fn training_age(&self) -> String {
        let completed = self.newest_job("kube_job_status_completion_time", "kube_job_complete");
        format!("time() - ({} or {completed})", self.operator_gauge(OPERATOR_TRAINED))
    }

    /// The latest `time` among the object's Jobs with an outcome, as reported by kube-state-metrics.
    fn newest_job(&self, time: &str, outcome: &str) -> String {
        let namespace = equals("namespace", self.monitored.object.namespace);
        let owner = equals("owner_name", self.monitored.object.name);
        let owned = series("kube_job_owner", &[&namespace, r#"owner_kind="RecommenderModel""#, &owner]);
        // A training is named after the object, like the Service, and its kind; a Job that deletes artifacts is no training. The join
        // remains: another object's name may begin so, too.
        let job =
            format!("job_name=~{}", quote(&format!("{}-(full|partial)-.+", quote_regex(self.monitored.object.base))));
        let time = series(time, &[&namespace, &job]);
        let outcome = series(outcome, &[&namespace, &job, r#"condition="true""#]);
        format!("max({time} and on (job_name) {outcome} == 1 and on (job_name) {owned})")
    }

    /// A gauge of the operator for this object.
    pub(super) fn operator_gauge(&self, name: &str) -> String {
        format!("max({})", self.of_operator(name, &[]).join(" or "))
    }

    /// The selectors of a gauge of the operator for this object. Scraped without `honorLabels`, its label `namespace` is the
    /// namespace of the operator, and the object's namespace is in `exported_namespace`.
    pub(super) fn of_operator(&self, name: &str, matchers: &[&str]) -> [String; 2] {
        let object = equals("recommender", self.monitored.object.name);
        let namespace = equals("namespace", self.monitored.object.namespace);
        let exported = equals("exported_namespace", self.monitored.object.namespace);
        let honoured = [namespace.as_str(), r#"exported_namespace="""#, &object];
        [&honoured[..], &[&exported, &object]].map(|of| series(name, &[of, matchers].concat()))
    }
}

/// The label `job` of the series of a Probe, which is that of no Service: it has a slash.
pub fn probe_job(namespace: &str, base: &str) -> String {
    format!("{namespace}/{base}-probe")
}

fn in_promql(quantile: Quantile) -> &'static str {
    match quantile {
        Quantile::P50 => "0.5",
        Quantile::P95 => "0.95",
        Quantile::P99 => "0.99",
    }
}

/// The largest of several values, any of which may be absent.
pub(super) fn largest(sources: &[(&str, String)]) -> String {
    format!("max({})", distinct("source", sources))
}

/// All elements of several expressions. A label makes them distinct: `or` would keep only the first of those that are alike.
pub(super) fn distinct(label: &str, expressions: &[(&str, String)]) -> String {
    let labelled = expressions
        .iter()
        .map(|(name, expr)| format!("label_replace({expr}, {}, {}, \"\", \"\")", quote(label), quote(name)));
    labelled.collect::<Vec<_>>().join(" or ")
}
