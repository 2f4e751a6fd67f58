//! What is observed of an object, and the condition that follows: a row for each outcome.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    expected::{ExpectedGroup, Monitor},
    *,
};
use crate::{
    api::{
        RecommenderModel, RecommenderModelStatus,
        conditions::{reasons, types},
        monitoring_coreos::Prometheus,
    },
    kinds::Kind,
    model::Model,
    render::{self, Decided},
    series::Series,
    signals::{Evaluated, Group, Loaded, Pool, Scraped},
    status::ConditionValue,
    validate::{stored, tests::minimal},
};

const HIGHR: &str = "http_request_duration_highr_seconds_count";
const SERVING_POOL: &str = "serviceMonitor/shop/packages/0";

/// An object with a worker that is scraped, and PromQL of its own, so that it has two PrometheusRules.
fn expected(labels: Value) -> Expected {
    changed(labels, |_| {})
}

/// The same after a change of `spec.monitoring`.
fn changed(labels: Value, change: impl FnOnce(&mut Value)) -> Expected {
    let mut object = minimal();
    object["metadata"]["namespace"] = "shop".into();
    object["metadata"]["name"] = "packages".into();
    object["spec"]["monitoring"] = json!({
        "metrics": {"profile": "FastApiInstrumentator"}, "labels": labels,
        "front": {"custom": {"requests": "rate(r_total[1m])"}},
    });
    change(&mut object["spec"]["monitoring"]);
    object["spec"]["workers"] = json!([{"name": "events", "image": "w", "metrics": {"port": 9100}}]);
    let object: RecommenderModel = serde_json::from_value(stored(&object)).expect("a RecommenderModel");
    let model = Model::new(&object, Timestamp::UNIX_EPOCH).expect("valid");
    Expected::new(&model, &render::children(&model, &Decided::default())).expect("monitored")
}

fn ready(workloads: &[&str]) -> BTreeSet<String> {
    workloads.iter().map(ToString::to_string).collect()
}

/// Everything loaded, evaluated five seconds ago, and up.
fn all(expected: &Expected) -> Loaded {
    let group = |of: &ExpectedGroup| Group {
        rules: of.rules.clone(),
        interval_seconds: Some(of.interval_seconds),
        failed: None,
        evaluated: Evaluated::Ago(5.0),
    };
    let groups = expected.rules.iter().flat_map(|rules| &rules.groups);
    let groups = groups.map(|of| (of.name.clone(), vec![group(of)])).collect();
    let names = [Series::Targets.name(), "http_requests_total", HIGHR].map(str::to_owned).into();
    let scraped = Scraped { names, targets: 3, up: 3, recorded: (Some(3), Some(3)) };
    let key = |workload: &str| ("shop".to_owned(), "packages".to_owned(), workload.to_owned());
    let workloads = [(key("serving"), scraped.clone()), (key("events"), scraped)].into();
    Loaded { groups: Ok(groups), workloads, ..Loaded::default() }
}

/// Everything loaded but for a change.
fn but(expected: &Expected, change: impl FnOnce(&mut Loaded)) -> Loaded {
    let mut loaded = all(expected);
    change(&mut loaded);
    loaded
}

fn groups(loaded: &mut Loaded) -> &mut BTreeMap<String, Vec<Group>> {
    loaded.groups.as_mut().expect("listed")
}

fn workload<'a>(loaded: &'a mut Loaded, name: &str) -> &'a mut Scraped {
    loaded.workloads.get_mut(&("shop".into(), "packages".into(), name.into())).expect("there is one")
}

/// A source that has only recorded series, of so many targets.
fn recorded_only(loaded: &mut Loaded, recorded: (Option<u32>, Option<u32>)) {
    loaded.groups = Err("HTTP 404".into());
    loaded.workloads.retain(|(.., workload), _| workload == "serving");
    let names = [Series::Targets.name().to_owned()].into();
    *workload(loaded, "serving") = Scraped { names, recorded, ..Scraped::default() };
}

const MAIN: &str = "recommender/shop/packages";

#[test]
fn children_are_expected_as_they_are_rendered() {
    let expected = expected(json!({"release": "x"}));
    let names: Vec<(&str, Vec<(&str, f64)>)> = expected
        .rules
        .iter()
        .map(|of| (of.name.as_str(), of.groups.iter().map(|of| (of.name.as_str(), of.interval_seconds)).collect()))
        .collect();
    let custom = "recommender/shop/packages/custom";
    let slow = "recommender/shop/packages/slow";
    let own = vec![(MAIN, 60.0), (slow, 120.0)];
    assert_eq!(names, [("packages", own), ("packages-custom.rules", vec![(custom, 5.0)])]);
    let monitors: Vec<_> =
        expected.monitors.iter().map(|of| (of.kind, of.workload.as_str(), of.pool("shop"))).collect();
    assert_eq!(
        monitors,
        [
            (Kind::ServiceMonitor, "serving", SERVING_POOL.to_owned()),
            (Kind::PodMonitor, "events", "podMonitor/shop/packages-worker-events/0".to_owned())
        ]
    );
    assert!(expected.monitors.iter().all(|Monitor { labels, .. }| labels["release"] == "x"));
    assert_eq!(expected.asked().groups, [MAIN, slow, custom]);
    assert_ne!(expected.version, self::expected(json!({})).version);
}

#[test]
fn what_is_well_has_remarks_at_most() {
    let expected = expected(json!({}));
    let no_series = |loaded: &mut Loaded| loaded.workloads.clear();
    let not_listed = |loaded: &mut Loaded| loaded.groups = Err("HTTP 404".into());
    for (workloads, loaded, remark) in [
        (&["serving", "events"][..], all(&expected), None),
        // Before the first version, there is nothing to scrape.
        (&[], but(&expected, no_series), None),
        (
            &["serving"],
            but(&expected, |of| workload(of, "serving").up = 2),
            Some("1 of 3 targets of serving do not answer"),
        ),
        (&["serving"], but(&expected, not_listed), Some("does not list rules: HTTP 404")),
        (&["serving"], but(&expected, |of| groups(of).clear()), Some("another server evaluates them")),
        (
            &["serving"],
            but(&expected, |of| groups(of).values_mut().for_each(|of| of[0].evaluated = Evaluated::Unknown)),
            None,
        ),
        // Only recorded series are sent to the source.
        (
            &["serving", "events"],
            but(&expected, |of| recorded_only(of, (Some(3), Some(2)))),
            Some("1 of 3 targets of serving"),
        ),
        // A second server has earlier rules.
        (
            &["serving"],
            but(&expected, |of| {
                groups(of).values_mut().for_each(|of| of.insert(0, Group { rules: Vec::new(), ..of[0].clone() }))
            }),
            None,
        ),
    ] {
        let remarks = judge(&expected, &ready(workloads), &loaded).expect("well");
        assert_eq!(remarks.is_empty(), remark.is_none(), "{remarks:?}");
        assert!(remark.is_none_or(|remark| remarks.last().is_some_and(|of| of.contains(remark))), "{remarks:?}");
    }
}

/// The Prometheus of kube-prometheus-stack.
fn prometheus() -> Vec<Prometheus> {
    let release = json!({"matchLabels": {"release": "x"}});
    let object = json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
        "metadata": {"name": "k8s", "namespace": "monitoring"},
        "spec": {"ruleSelector": release, "ruleNamespaceSelector": {}, "serviceMonitorSelector": release,
                 "serviceMonitorNamespaceSelector": {}, "podMonitorSelector": {}, "podMonitorNamespaceSelector": {}},
    });
    vec![serde_json::from_value(object).expect("a Prometheus")]
}

#[test]
fn each_problem_has_a_reason_and_a_remedy() {
    let expected = expected(json!({}));
    let unlisted = |of: &mut Loaded| {
        of.groups = Err("HTTP 404".into());
        workload(of, "serving").names.remove(Series::Targets.name());
    };
    let legacy = |of: &mut Loaded| {
        workload(of, "serving").names =
            ["recommender:targets", "http_server_duration_milliseconds_count"].map(str::to_owned).into();
    };
    let native = |of: &mut Loaded| {
        let names = &mut workload(of, "serving").names;
        names.remove(HIGHR);
        names.insert("http_request_duration_highr_seconds".into());
    };
    let unloaded = |of: &mut Loaded| {
        groups(of).clear();
        of.workloads.clear();
    };
    let selected = "not loaded: PrometheusRule packages, PrometheusRule packages-custom.rules, ServiceMonitor packages; Prometheus \
                    monitoring/k8s selects PrometheusRules and ServiceMonitors with release=x: set spec.monitoring.labels.release to \"x\"";
    let pool = |pool: Pool| Details { pools: [(SERVING_POOL.into(), pool)].into(), servers: Vec::new() };
    let none = Details::default;
    let cases: [(Loaded, Details, &str, &str); 16] = [
        (
            but(&expected, |of| recorded_only(of, (Some(0), Some(0)))),
            none(),
            reasons::NOT_SCRAPED,
            "not loaded: ServiceMonitor packages; ",
        ),
        (
            but(&expected, |of| recorded_only(of, (Some(3), Some(0)))),
            none(),
            reasons::TARGETS_DOWN,
            "no target of ServiceMonitor packages answers its scrapes: check",
        ),
        (
            but(&expected, unloaded),
            Details { servers: prometheus(), ..pool(Pool::Absent) },
            reasons::RULES_NOT_LOADED,
            selected,
        ),
        (but(&expected, unloaded), none(), reasons::RULES_NOT_LOADED, "check that a Prometheus selects them"),
        (
            but(&expected, |of| _ = groups(of).remove("recommender/shop/packages/custom")),
            none(),
            reasons::RULES_NOT_LOADED,
            "not loaded: PrometheusRule packages-custom.rules; ",
        ),
        (
            but(&expected, |of| groups(of).get_mut(MAIN).expect("loaded")[0].rules[0].query = Some("up".into())),
            none(),
            reasons::RULES_NOT_LOADED,
            "group recommender/shop/packages is loaded with earlier rules than those of PrometheusRule packages",
        ),
        (
            but(&expected, unlisted),
            none(),
            reasons::RULES_NOT_LOADED,
            "(recommender:targets is missing), and metric source \"default\" does not list rules (HTTP 404)",
        ),
        (
            but(&expected, |of| groups(of).get_mut(MAIN).expect("loaded")[0].failed = Some(("r".into(), "e".into()))),
            none(),
            reasons::RULES_FAILING,
            "rule r of group recommender/shop/packages cannot be evaluated: e",
        ),
        (
            but(&expected, |of| groups(of).get_mut(MAIN).expect("loaded")[0].evaluated = Evaluated::Ago(181.0)),
            none(),
            reasons::RULES_FAILING,
            "was not evaluated for more than 180 s, with an interval of 60 s",
        ),
        (
            but(&expected, |of| groups(of).get_mut(MAIN).expect("loaded")[0].evaluated = Evaluated::Never),
            none(),
            reasons::RULES_FAILING,
            "was not evaluated",
        ),
        (
            but(&expected, |of| workload(of, "serving").targets = 0),
            pool(Pool::Empty),
            reasons::NOT_SCRAPED,
            "ServiceMonitor packages is loaded, but no target is discovered: check that the account of Prometheus may list",
        ),
        (
            but(&expected, |of| workload(of, "serving").targets = 0),
            pool(Pool::Targets(None)),
            reasons::NOT_SCRAPED,
            "ServiceMonitor packages has targets, but metric source \"default\" has no series up of them: check its matchLabels",
        ),
        (
            but(&expected, |of| workload(of, "serving").up = 0),
            pool(Pool::Targets(Some("HTTP status 404 Not Found".into()))),
            reasons::TARGETS_DOWN,
            "no target of ServiceMonitor packages answers its scrapes (HTTP status 404 Not Found): check \
             spec.monitoring.metrics.path",
        ),
        (
            but(&expected, legacy),
            none(),
            reasons::PROFILE_MISMATCH,
            "the servers expose http_server_duration_milliseconds_count, which fits profile OpenTelemetryLegacy better than \
             FastApiInstrumentator: set spec.monitoring.metrics.profile to OpenTelemetryLegacy",
        ),
        (
            but(&expected, native),
            none(),
            reasons::PROFILE_MISMATCH,
            "http_request_duration_highr_seconds is stored as a native histogram, which the rules do not read: set \
             spec.monitoring.metrics.histograms to Native",
        ),
        (
            but(&expected, |of| _ = workload(of, "serving").names.remove(HIGHR)),
            none(),
            reasons::PROFILE_MISMATCH,
            "the servers do not expose http_request_duration_highr_seconds_count, which servers of profile FastApiInstrumentator expose",
        ),
    ];
    for (loaded, details, reason, part) in cases {
        let problems = judge(&expected, &ready(&["serving"]), &loaded).expect_err(part);
        let (found, message) = describe(&expected, &problems, &details);
        assert_eq!(found, reason, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_probe_of_which_nothing_is_recorded_is_reported_with_the_cause() {
    let expected = changed(json!({}), |monitoring| monitoring["probe"] = json!({"prober": "blackbox:9115"}));
    let ready = ready(&["serving"]);
    let recorded = but(&expected, |of| _ = workload(of, "serving").names.insert(Series::ProbeUp.name().into()));
    assert_eq!(judge(&expected, &ready, &recorded), Ok(Vec::new()));
    let loaded = all(&expected);
    assert_eq!(judge(&expected, &BTreeSet::new(), &loaded), Ok(Vec::new()), "no server is ready");
    let problems = judge(&expected, &ready, &loaded).expect_err("nothing is recorded");
    let pool = |pool: Pool| Details { pools: [("probe/shop/packages".into(), pool)].into(), servers: prometheus() };
    for (pool, part) in [
        (
            pool(Pool::Absent),
            "not loaded: Probe packages; Prometheus monitoring/k8s selects Probes by no label, which is none of them: set its \
             spec.probeSelector to {}",
        ),
        (
            pool(Pool::Targets(Some("connection refused".into()))),
            "Probe packages is loaded, and its blackbox exporter reports no probe (connection refused): check \
             spec.monitoring.probe.prober and module",
        ),
    ] {
        let (reason, message) = describe(&expected, &problems, &pool);
        assert!(reason == reasons::NOT_SCRAPED && message.starts_with(part), "{reason}: {message}");
    }
    // Nothing is recorded at all: the rules are the problem.
    let unrecorded = but(&expected, |of| _ = workload(of, "serving").names.remove(Series::Targets.name()));
    assert_eq!(judge(&expected, &ready, &unrecorded), Ok(Vec::new()));
    assert!(
        expected.children().ends_with("PodMonitor packages-worker-events, Probe packages"),
        "{}",
        expected.children()
    );
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
}

/// A new object, or one with this condition since 100 s before.
fn state(before: Option<(&str, &str)>) -> State {
    let mut prior = RecommenderModelStatus::default();
    prior.conditions.extend(before.map(|(status, reason)| {
        let condition = json!({
            "type": types::MONITORING_READY, "status": status, "reason": reason, "message": "m", "lastTransitionTime": at(-100),
        });
        serde_json::from_value(condition).expect("a condition")
    }));
    State::new("uid", expected(json!({})), ready(&["serving"]), &prior, at(0))
}

fn shown(state: &State) -> (&str, &str) {
    let ConditionValue { status, reason, .. } = state.condition();
    (status, reason)
}

const TRUE: (&str, &str) = ("True", reasons::AS_SPECIFIED);
const LOADING: (&str, &str) = ("Unknown", reasons::LOADING);
const FAILED: (&str, &str) = ("Unknown", reasons::SOURCE_FAILED);
const FALSE: (&str, &str) = ("False", reasons::RULES_NOT_LOADED);

/// Records that the rules are not loaded, with this text.
fn problem(state: &mut State, text: &str, now: Timestamp) -> bool {
    state.problem(&[reasons::RULES_NOT_LOADED].into(), (reasons::RULES_NOT_LOADED, text.into()), now)
}

#[test]
fn a_problem_is_reported_once_it_has_lasted_and_ends_at_once() {
    let mut state = state(None);
    assert_eq!(shown(&state), LOADING);
    let expected = "PrometheusRule packages, PrometheusRule packages-custom.rules, ServiceMonitor packages, PodMonitor \
                    packages-worker-events applied at 1970-01-01T00:00:00Z; metric source \"default\" has not loaded all of it yet, \
                    which takes up to 180 s";
    assert_eq!(state.condition().message, expected);
    assert!(!problem(&mut state, "p", at(5)) && !problem(&mut state, "p", at(184)));
    assert_eq!(shown(&state), LOADING);
    assert!(problem(&mut state, "p", at(185)));
    assert_eq!((shown(&state), state.condition().message.as_str()), (FALSE, "p"));
    assert!(problem(&mut state, "port 1 is closed", at(200)));
    assert!(!problem(&mut state, "port 2 is closed", at(210)), "the number changes with each scrape");
    assert!(state.well(&[], at(490)));
    assert_eq!(shown(&state), TRUE);
    assert!(!state.well(&[], at(495)));
}

#[test]
fn what_was_well_stays_so_until_a_problem_has_lasted() {
    let mut state = state(Some(TRUE));
    assert_eq!(shown(&state), TRUE);
    assert!(!problem(&mut state, "p", at(0)) && !problem(&mut state, "p", at(179)));
    assert_eq!(shown(&state), TRUE, "as while one of two Prometheus restarts");
    assert!(state.well(&[], at(179)), "its text is that of this answer");
    assert_eq!(shown(&state), TRUE);
    assert!(!problem(&mut state, "p", at(181)) && problem(&mut state, "p", at(361)));
    assert_eq!(shown(&state), FALSE);
}

#[test]
fn after_a_restart_what_was_reported_counts() {
    let mut false_before = state(Some(FALSE));
    assert_eq!(shown(&false_before), FALSE);
    assert!(false_before.due("uid", at(0)).expect("asked at once").overdue.contains(FALSE.1));
    assert!(!problem(&mut false_before, "m", at(1)), "it is the same");
    assert_eq!(shown(&false_before), FALSE);
    let mut unreachable = state(Some(TRUE));
    assert!(!unreachable.failed("refused", at(119)) && shown(&unreachable) == TRUE, "both restart");
    assert!(unreachable.failed("refused", at(120)));
    let mut loading = state(Some(LOADING));
    problem(&mut loading, "p", at(0));
    assert_eq!(shown(&loading), LOADING);
    let never = state(Some(("False", reasons::API_MISSING)));
    assert_eq!(shown(&never), LOADING, "it is applied now");
}

#[test]
fn another_version_of_the_children_is_loading() {
    let mut state = state(Some(FALSE));
    let expected = || super::tests::expected(json!({"release": "x"}));
    state.update(expected(), ready(&["serving"]), at(10));
    assert_eq!(shown(&state), LOADING);
    assert!(state.due("uid", at(19)).is_none());
    assert!(state.due("uid", at(20)).expect("is due").overdue.is_empty());
    state.update(expected(), ready(&["serving"]), at(15));
    assert!(state.due("uid", at(20)).is_some(), "a reconcile without a change changes nothing");
}

#[test]
fn a_source_that_does_not_answer_is_unknown_and_its_restart_is_not_reported() {
    let mut never = state(None);
    assert!(never.failed("refused", at(0)));
    assert_eq!((shown(&never), never.condition().message.as_str()), (FAILED, "refused"));
    let mut well = state(None);
    well.well(&[], at(0));
    assert!(!well.failed("refused", at(119)) && shown(&well) == TRUE);
    assert!(well.failed("refused", at(120)) && shown(&well) == FAILED);
    assert!(well.well(&[], at(130)) && shown(&well) == TRUE);
}

#[test]
fn a_source_is_asked_rarely_once_all_is_well_and_with_a_back_off_while_it_is_not() {
    let mut state = state(None);
    let next = |state: &State, from: i64| {
        (from..from + 400).find(|second| state.due("uid", at(*second)).is_some()).expect("is due") - from
    };
    let mut pauses = Vec::new();
    let mut now = 0;
    while now < 760 {
        problem(&mut state, "p", at(now));
        pauses.push(next(&state, now));
        now += pauses.last().expect("one");
    }
    assert_eq!(pauses, [[10; 18].as_slice(), &[20, 40, 80, 120, 120, 120, 120]].concat());
    state.well(&[], at(now));
    assert!((225..=300).contains(&next(&state, now)));
    state.update(expected(json!({})), ready(&["serving", "events"]), at(now));
    assert_eq!(next(&state, now), 10, "a workload has its first ready pod");
}

/// Records that rules fail.
fn failing(state: &mut State, now: Timestamp) -> bool {
    state.problem(&[reasons::RULES_FAILING].into(), (reasons::RULES_FAILING, "f".into()), now)
}

#[test]
fn each_reason_is_reported_once_its_own_problem_has_lasted() {
    let mut state = state(None);
    problem(&mut state, "p", at(0));
    assert!(problem(&mut state, "p", at(180)));
    assert_eq!((shown(&state), state.rules_loaded()), (FALSE, Some(false)));
    assert!(failing(&mut state, at(190)));
    assert_eq!((shown(&state), state.rules_loaded()), (LOADING, None), "the other problem has just begun");
    assert!(state.condition().message.contains("being checked"), "{:?}", state.condition());
    assert!(!failing(&mut state, at(369)) && failing(&mut state, at(370)));
    assert_eq!((shown(&state), state.rules_loaded()), (("False", reasons::RULES_FAILING), Some(true)));
}

#[test]
fn a_problem_after_a_failure_of_the_source_is_no_change_of_the_children() {
    let mut state = state(None);
    state.well(&[], at(0));
    assert!(state.failed("refused", at(100_000)));
    assert!(problem(&mut state, "p", at(100_010)));
    let ConditionValue { status, message, .. } = state.condition();
    assert!(*status == "Unknown" && message.contains("being checked") && !message.contains("applied at"), "{message}");
    assert!(problem(&mut state, "p", at(100_190)));
    assert_eq!(shown(&state), FALSE);
}

#[test]
fn another_number_of_targets_is_no_change() {
    let mut state = state(None);
    assert!(state.well(&["2 of 17 targets do not answer".into()], at(0)));
    assert!(!state.well(&["3 of 18 targets do not answer".into()], at(300)));
    assert!(state.well(&[], at(600)));
}

#[test]
fn a_workload_that_gets_ready_during_a_check_is_checked_soon() {
    let mut state = state(None);
    let due = state.due("uid", at(0)).expect("is due");
    state.update(expected(json!({})), ready(&["serving", "events"]), at(1));
    state.well(&[], at(2));
    state.checked(&due, at(2));
    assert!(state.due("uid", at(11)).is_none() && state.due("uid", at(12)).is_some());
}

#[test]
fn the_rules_are_reported_before_what_follows_from_them() {
    let expected = expected(json!({}));
    let loaded = but(&expected, |of| {
        workload(of, "serving").up = 0;
        groups(of).get_mut(MAIN).expect("loaded")[0].evaluated = Evaluated::Never;
        groups(of).values_mut().last().expect("two")[0].rules.clear();
    });
    let problems = judge(&expected, &ready(&["serving"]), &loaded).expect_err("not well");
    let found: Vec<_> = problems.iter().map(Problem::reason).collect();
    assert_eq!(found, [reasons::RULES_NOT_LOADED, reasons::RULES_FAILING, reasons::TARGETS_DOWN]);
    assert_eq!(describe(&expected, &problems, &Details::default()).0, reasons::RULES_NOT_LOADED);
}
