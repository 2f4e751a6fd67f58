//! The canary of the spec: its steps, how it is judged, and whether it can be.

use super::{FieldPath, InvalidField};
use crate::{
    api::{self, CanaryStep, CanaryVersions, HttpRoute, ParentRef, RecommenderModelSpec},
    monitoring::{canary::Compared, profiles},
    text::decimal,
};

/// How a new version is tried before it is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// Its steps, and how it is judged.
    pub plan: Plan,
    /// Which versions are.
    pub versions: CanaryVersions,
    /// What is compared.
    pub compared: Compared,
    /// The HTTPRoute that divides the requests; none if the Service does.
    pub http_route: Option<HttpRoute>,
}

/// How a canary is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The steps, at least one; the weights rise. A step of 100 % and those after it are the promotion: nothing would be left to
    /// compare with.
    pub steps: Vec<Step>,
    /// Seconds after a weight has moved in which counts are no evidence, because caches are cold.
    pub warm_up_seconds: i64,
    /// Seconds after which a step that is not decided goes back: of waiting for replicas, and again of being judged.
    pub max_seconds: i64,
    /// What is judged, and how strictly.
    pub judge: Settings,
}

/// A step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The share of the requests that the canary gets, 1 to 99; 0 in a step with copies.
    pub weight_percent: i32,
    /// The share of the requests that it gets copies of, 1 to 100; 0 in the other steps, which come after those with copies.
    pub mirror_percent: i32,
    /// Seconds that it has to be judged at least.
    pub minimum_seconds: i64,
    /// Requests of the canary that have to be judged at least.
    pub minimum_requests: i64,
}

/// What is judged, and how strictly.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// α: the probability with which a canary without any difference is called worse, and one that is worse by the margin no worse.
    pub level: f64,
    /// How many times as often events may come in the canary without being a reason to keep the version from serving; at least 1.
    pub margin: f64,
    /// What is counted.
    pub signals: Vec<Signal>,
}

/// What is counted as an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The events in words, as "errors" or "requests slower than 100 ms"; of a signal that is named otherwise, there is no evidence.
    pub name: String,
    /// The share of the requests below which the canary's events are no reason to keep the version from serving, whatever the ratio.
    pub floor: Option<f64>,
    /// The share of the requests above which they are, also if it is the same in the serving version.
    pub maximum: Option<f64>,
}

/// Name of the signal of failed requests in verdicts.
pub const ERRORS: &str = "errors";
/// Name of the signal of slow requests in verdicts.
pub const SLOW: &str = "slow requests";

/// The canary of a spec.
///
/// # Errors
/// What cannot be measured, steps that give back what they gained, and what the Gateway API would refuse.
pub(super) fn canary(spec: &RecommenderModelSpec) -> Result<Option<Canary>, Vec<InvalidField>> {
    let Some(desired) = &spec.promotion.canary else { return Ok(None) };
    let path = FieldPath::spec().field("promotion").field("canary");
    let compared = compared(spec, desired, &path);
    let mut problems: Vec<InvalidField> = compared.as_ref().err().cloned().into_iter().collect();
    let pairs = desired.steps.windows(2).enumerate();
    problems.extend(pairs.filter_map(|(index, pair)| out_of_order(&path, index + 1, &pair[0], &pair[1])));
    problems.extend(desired.http_route.iter().flat_map(|route| unroutable(&path.field("httpRoute"), route)));
    let Ok(compared) = compared else { return Err(problems) };
    let plan = plan(desired, &compared, &mut problems, &path);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Some(Canary { plan, versions: desired.versions, compared, http_route: desired.http_route.clone() }))
}

/// What is wrong with the order of two steps, the second of which has this number.
fn out_of_order(path: &FieldPath, number: usize, before: &CanaryStep, step: &CanaryStep) -> Option<InvalidField> {
    let field = |name: &str| path.field(&format!("steps[{number}].{name}"));
    let rises = |name: &str, before: i32, percent: i32| {
        let why = || format!("must be above that of the step before it: write more than {before}");
        (percent <= before).then(|| field(name).problem(why()))
    };
    match (before.weight_percent, step.weight_percent, before.mirror_percent, step.mirror_percent) {
        (Some(before), Some(percent), ..) => rises("weightPercent", before, percent),
        (.., Some(before), Some(percent)) => rises("mirrorPercent", before, percent),
        (Some(_), _, _, Some(_)) => Some(field("mirrorPercent").problem(
            "a step with copies comes before those in which the canary answers requests: move it to the beginning",
        )),
        _ => None,
    }
}

/// What the Gateway API would refuse of an HTTPRoute.
fn unroutable(path: &FieldPath, route: &HttpRoute) -> Vec<InvalidField> {
    let is_address = |host: &String| host.parse::<std::net::IpAddr>().is_ok();
    let addresses = route.hostnames.iter().enumerate().filter(|(_, host)| is_address(host)).map(|(index, host)| {
        let why = format!("{host} is an IP address: write a host name, or remove it for all host names of the Gateway");
        path.field(&format!("hostnames[{index}]")).problem(why)
    });
    let dotted = route.parent_refs.iter().enumerate().filter_map(|(index, parent)| {
        let namespace = parent.namespace.as_ref().filter(|namespace| namespace.contains('.'))?;
        let why = format!("no namespace has the name {namespace}: write lower case letters, digits and -");
        Some(path.field(&format!("parentRefs[{index}].namespace")).problem(why))
    });
    let twice = route.parent_refs.iter().enumerate().filter_map(|(index, parent)| {
        let before = route.parent_refs.iter().take(index).enumerate();
        let why = before.into_iter().find_map(|(of, before)| ambiguous(parent, before, of))?;
        Some(path.field(&format!("parentRefs[{index}]")).problem(why))
    });
    addresses.chain(dotted).chain(twice).collect()
}

/// Why a Gateway may not be named in this way as well as by an earlier reference, the one with this number.
fn ambiguous(parent: &ParentRef, before: &ParentRef, number: usize) -> Option<String> {
    if (&parent.name, &parent.namespace) != (&before.name, &before.namespace) {
        return None;
    }
    let listener = |of: &ParentRef| (of.section_name.clone(), of.port);
    if listener(parent) == listener(before) {
        return Some(format!(
            "it is the same as parentRefs[{number}]: remove it, or set sectionName to another listener"
        ));
    }
    let lacks = |has: fn(&ParentRef) -> bool, field: &str| {
        let why = || format!("parentRefs[{number}] names the same Gateway: set {field} in both of them or in none");
        (has(parent) != has(before)).then(why)
    };
    lacks(|of| of.section_name.is_some(), "sectionName").or_else(|| lacks(|of| of.port.is_some(), "port"))
}

/// What the profile lets a canary be compared by.
fn compared(spec: &RecommenderModelSpec, desired: &api::Canary, path: &FieldPath) -> Result<Compared, InvalidField> {
    let Some(monitoring) = &spec.monitoring else {
        return Err(path.problem("it is compared by what is measured: set spec.monitoring, or remove it"));
    };
    // An unknown profile is refused by itself.
    let Some(profile) = profiles::find(&monitoring.metrics.profile) else {
        return Ok(Compared { errors: true, slow: None });
    };
    if profile.requests.is_empty() {
        return Err(path.problem(format!(
            "the profile {} counts no requests of each pod, which it is compared by: use a profile of the servers' library, or \
             remove it",
            monitoring.metrics.profile
        )));
    }
    let target = spec.serving.autoscaling.as_ref().and_then(|of| Some(of.latency.as_ref()?.target_milliseconds));
    let slow = match (desired.slow_milliseconds.or(target), &profile.latency) {
        (Some(milliseconds), Some(latency)) => {
            Some(super::objectives::bound(milliseconds, profile, latency).map_err(|why| {
                let default =
                    if desired.slow_milliseconds.is_none() { "the latency target, which is its default, " } else { "" };
                path.field("slowMilliseconds").problem(format!("{default}{why}"))
            })?)
        }
        (Some(_), None) if desired.slow_milliseconds.is_some() => {
            return Err(path.field("slowMilliseconds").problem(format!(
                "servers of the profile {} have no histogram of the latency: remove it",
                monitoring.metrics.profile
            )));
        }
        _ => None,
    };
    let errors = !profile.errors.is_empty();
    if !errors && slow.is_none() {
        return Err(path.problem(format!(
            "servers of the profile {} count no errors: set slowMilliseconds, by which it is compared",
            monitoring.metrics.profile
        )));
    }
    Ok(Compared { errors, slow })
}

/// Requests that fail, as a share of all, below which they are no reason to keep a version from serving whatever the other one has: 1 %.
const ERROR_FLOOR: f64 = 0.01;
/// How many times as often requests may fail or be slow in a version that is taken for no worse: 1.5. A lower margin needs several times
/// the requests for a verdict (`cargo simulate-canary`).
const MARGIN: f64 = 1.5;

fn plan(desired: &api::Canary, compared: &Compared, problems: &mut Vec<InvalidField>, path: &FieldPath) -> Plan {
    let mut number = |field: &str, text: &str| {
        let number = decimal(text);
        if number.is_none() {
            problems
                .push(path.field(field).problem(format!("{text:?} is no decimal number: write for example \"0.05\"")));
        }
        number.unwrap_or_default()
    };
    let level = number("significanceLevel", &desired.significance_level);
    let maximum = desired.max_error_percent.as_ref().map(|text| number("maxErrorPercent", text) / 100.0);
    if maximum.is_some_and(|share| share <= 0.0 || share >= 1.0) {
        let why = "must be above 0 and below 100: for hardly any errors write \"0.01\"";
        problems.push(path.field("maxErrorPercent").problem(why));
    }
    let errors = compared.errors.then(|| Signal { name: ERRORS.into(), floor: Some(ERROR_FLOOR), maximum });
    let slow = compared.slow.is_some().then(|| Signal { name: SLOW.into(), floor: None, maximum: None });
    let step = |step: &CanaryStep| Step {
        weight_percent: step.weight_percent.unwrap_or_default(),
        mirror_percent: step.mirror_percent.unwrap_or_default(),
        minimum_seconds: step.seconds.into(),
        minimum_requests: step.requests.into(),
    };
    Plan {
        steps: desired.steps.iter().map(step).collect(),
        warm_up_seconds: desired.warm_up_seconds.into(),
        max_seconds: desired.max_step_seconds.into(),
        judge: Settings { level, margin: MARGIN, signals: errors.into_iter().chain(slow).collect() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::tests::{model, problems};

    fn spec(canary: Value, profile: &str) -> Value {
        json!({"promotion": {"canary": canary}, "monitoring": {"metrics": {"profile": profile}}})
    }

    fn steps(weights: &[i32]) -> Value {
        weights.iter().map(|weight| json!({"weightPercent": weight})).collect()
    }

    #[test]
    fn a_canary_is_compared_by_errors_and_by_requests_that_are_slower_than_the_target() {
        let canary = model(spec(json!({"steps": steps(&[10, 50])}), "FastApiInstrumentator")).canary.expect("one");
        assert_eq!(canary.compared, Compared { errors: true, slow: None });
        assert_eq!((canary.plan.judge.level, canary.plan.warm_up_seconds), (0.05, 30));
        let step =
            |weight_percent| Step { weight_percent, mirror_percent: 0, minimum_seconds: 300, minimum_requests: 100 };
        assert_eq!(canary.plan.steps, [step(10), step(50)]);
        let mut scaled = spec(json!({"steps": steps(&[10]), "maxErrorPercent": "2.5"}), "FastApiInstrumentator");
        scaled["serving"] =
            json!({"image": "s", "autoscaling": {"maxReplicas": 2, "latency": {"targetMilliseconds": 500}}});
        let canary = model(scaled).canary.expect("one");
        assert_eq!(canary.compared, Compared { errors: true, slow: Some(0.5) });
        let names: Vec<_> = canary.plan.judge.signals.iter().map(|of| (of.name.as_str(), of.maximum)).collect();
        assert_eq!(names, [(ERRORS, Some(0.025)), (SLOW, None)]);
    }

    #[test]
    fn a_canary_that_cannot_be_judged_is_refused_with_what_to_write_instead() {
        let one = steps(&[10]);
        let unmonitored = problems(json!({"promotion": {"canary": {"steps": one}}}));
        assert_eq!(
            unmonitored,
            ["spec.promotion.canary: it is compared by what is measured: set spec.monitoring, or remove it"]
        );
        for (canary, profile, expected) in [
            (
                json!({"steps": steps(&[20, 20])}),
                "FastApiInstrumentator",
                "spec.promotion.canary.steps[1].weightPercent: must be above that of the step before it: write more than 20",
            ),
            (
                json!({"steps": one, "slowMilliseconds": 77}),
                "FastApiInstrumentator",
                "spec.promotion.canary.slowMilliseconds: 77 is not a bound of the buckets of http_request_duration_highr_seconds, so that it \
                 cannot be measured: write 75 or 100",
            ),
            (
                json!({"steps": one, "maxErrorPercent": "0"}),
                "FastApiInstrumentator",
                "spec.promotion.canary.maxErrorPercent: must be above 0 and below 100: for hardly any errors write \"0.01\"",
            ),
            (
                json!({"steps": one, "maxErrorPercent": "a"}),
                "FastApiInstrumentator",
                "spec.promotion.canary.maxErrorPercent: \"a\" is no decimal number: write for example \"0.05\"",
            ),
        ] {
            let found = problems(spec(canary, profile));
            assert!(found.iter().any(|problem| problem == expected), "{found:#?}");
        }
        let route = json!({"parentRefs": [{"name": "public"}]});
        for (steps, expected) in [
            (
                json!([{"weightPercent": 1}, {"mirrorPercent": 10}]),
                "spec.promotion.canary.steps[1].mirrorPercent: a step with copies comes before those in which the canary answers requests: \
                 move it to the beginning",
            ),
            (
                json!([{"mirrorPercent": 10}, {"mirrorPercent": 10}]),
                "spec.promotion.canary.steps[1].mirrorPercent: must be above that of the step before it: write more than 10",
            ),
        ] {
            let canary = json!({"httpRoute": route, "steps": steps});
            assert_eq!(problems(spec(canary, "FastApiInstrumentator")), [expected]);
        }
        let steps = json!([{"mirrorPercent": 10}, {"mirrorPercent": 100}, {"weightPercent": 1}]);
        let routed = model(spec(json!({"httpRoute": route, "steps": steps}), "FastApiInstrumentator"));
        let canary = routed.canary.as_ref().expect("one");
        let shares: Vec<_> = canary.plan.steps.iter().map(|step| (step.weight_percent, step.mirror_percent)).collect();
        assert_eq!((shares, routed.http_route().is_some()), (vec![(0, 10), (0, 100), (1, 0)], true));
        let mut custom = spec(json!({"steps": one}), "Custom");
        custom["monitoring"]["metrics"]["custom"] = json!({"requests": "sum(rate(a_total[1m]))"});
        assert!(
            problems(custom)[0].starts_with("spec.promotion.canary: the profile Custom counts no requests of each pod")
        );
    }

    #[test]
    fn a_route_that_the_gateway_api_would_refuse_is_refused_with_what_to_write_instead() {
        let found =
            |route: Value| problems(spec(json!({"httpRoute": route, "steps": steps(&[10])}), "FastApiInstrumentator"));
        let of = |parents: Value| found(json!({"parentRefs": parents}));
        let at = |field: &str, why: &str| vec![format!("spec.promotion.canary.httpRoute.{field}: {why}")];
        let same = "it is the same as parentRefs[0]: remove it, or set sectionName to another listener";
        let public = json!({"name": "public", "namespace": "infra", "sectionName": "https"});
        assert_eq!(of(json!([public, public])), at("parentRefs[1]", same));
        let both =
            |field: &str| format!("parentRefs[0] names the same Gateway: set {field} in both of them or in none");
        let whole = json!({"name": "public", "namespace": "infra"});
        assert_eq!(of(json!([public, whole])), at("parentRefs[1]", &both("sectionName")));
        let port = json!({"name": "public", "namespace": "infra", "port": 80});
        assert_eq!(of(json!([whole, port])), at("parentRefs[1]", &both("port")));
        let (http, other) =
            (json!({"name": "public", "namespace": "infra", "sectionName": "http"}), json!({"name": "public"}));
        assert_eq!(of(json!([public, http, other])), [""; 0]);
        let dotted = of(json!([{"name": "public", "namespace": "infra.example"}]));
        let why = "no namespace has the name infra.example: write lower case letters, digits and -";
        assert_eq!(dotted, at("parentRefs[0].namespace", why));
        let hosts = found(json!({"parentRefs": [whole], "hostnames": ["shop.example.org", "192.0.2.1"]}));
        let why = "192.0.2.1 is an IP address: write a host name, or remove it for all host names of the Gateway";
        assert_eq!(hosts, at("hostnames[1]", why));
    }
}
