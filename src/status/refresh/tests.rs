use serde_json::json;

use super::super::tests::{Case, NOW, serving, training};
use crate::{
    api::{
        Base, FinishedRun, Stage, TrainingKind, Trigger, VersionState,
        conditions::{reasons, types},
    },
    kinds::Kind,
    promotion::route::{Acceptance, Routed},
    training::Truth,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Status, reason and message of Refreshable, and the status of Ready.
fn refreshable(case: &Case) -> (String, String, String, String) {
    let status = case.compute();
    let of = |type_: &str| status.conditions.iter().find(|of| of.type_ == type_).expect("a condition");
    let condition = of(types::REFRESHABLE);
    (condition.status.clone(), condition.reason.clone(), condition.message.clone(), of(types::READY).status.clone())
}

/// That a condition is False for a reason, with a text, while the object serves.
fn assert_held(case: &Case, reason: &str, text: &str) {
    let (status, found, message, ready) = refreshable(case);
    assert_eq!((status.as_str(), found.as_str(), ready.as_str()), ("False", reason, "True"), "{message}");
    let serves = "version v1 serves, trained at 2027-01-15T08:00:00Z, and cannot be refreshed: ";
    assert_eq!(message, format!("{serves}{text}"));
}

fn failed(kind: TrainingKind) -> FinishedRun {
    FinishedRun {
        job: "packages-full-2".into(),
        version: "full-2".into(),
        kind,
        trigger: Trigger::Schedule,
        cause: None,
        template: "t".into(),
        succeeded: false,
        reason: reasons::TRAINING_FAILED.into(),
        stage: Some(Stage::Fit),
        message: "m".into(),
        started_at: None,
        finished_at: Time(NOW),
    }
}

#[test]
fn before_the_first_version_there_is_nothing_to_refresh() {
    let case = Case::new(Default::default(), training(Truth::Unknown, reasons::TRAINING, &[]), Default::default());
    let (status, reason, ..) = refreshable(&case);
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", reasons::NO_VERSION));
}

#[test]
fn what_works_is_refreshable_with_the_age_of_what_serves_and_when_it_is_refreshed() {
    let mut case = Case::well();
    case.training.versions[0].data_through = Some(Time(NOW - jiff::SignedDuration::from_hours(2)));
    let serves = "version v1 serves, trained at 2027-01-15T08:00:00Z with data until 2027-01-15T06:00:00Z; ";
    let message = |case: &Case| {
        let (status, reason, message, _) = refreshable(case);
        assert_eq!((status.as_str(), reason.as_str()), ("True", reasons::AS_SPECIFIED), "{message}");
        message.strip_prefix(serves).map(str::to_owned).unwrap_or(message)
    };
    assert_eq!(message(&case), "without a schedule only a request starts a run");
    case.training.status.next_schedule_time = Some(Time(NOW));
    assert_eq!(message(&case), "the next full run is due at 2027-01-15T08:00:00Z");
    let status = case.compute().serving.unwrap_or_default();
    assert_eq!(
        (status.trained_at, status.data_through),
        (Some(Time(NOW)), case.training.versions[0].data_through.clone())
    );
}

#[test]
fn trainings_that_are_suspended_fail_cannot_start_or_wait_are_reported_while_the_version_serves() {
    let mut suspended = Case::well();
    suspended.model.training.suspend = true;
    assert_held(&suspended, reasons::TRAINING_SUSPENDED, "training is suspended (spec.training.suspend)");

    let mut failing = Case::well();
    failing.training.condition.status = Truth::False;
    failing.training.condition.reason = reasons::TRAINING_FAILED;
    (failing.training.status.last, failing.training.status.consecutive_failures) =
        (Some(failed(TrainingKind::Full)), 3);
    let text = "the last 3 full runs failed, full-2 at 2027-01-15T08:00:00Z (TrainingFailed) (TrainingReady)";
    assert_held(&failing, reasons::TRAINING_FAILED, text);

    let mut blocked = Case::well();
    blocked.training.condition.status = Truth::False;
    blocked.training.condition.reason = reasons::TRAINING_BLOCKED;
    assert_held(&blocked, reasons::TRAINING_BLOCKED, "training: Trained (TrainingReady)");

    let mut old = Case::well();
    old.training.condition.reason = reasons::BASE_TOO_OLD;
    let text = "the base of the partial training is too old, so it waits for a full run (TrainingReady)";
    assert_held(&old, reasons::BASE_TOO_OLD, text);

    let mut waits = Case::well();
    waits.training.status.waiting_since = Some(Time(NOW));
    waits.training.status.waiting_kind = Some(TrainingKind::Partial);
    let text = "a partial run is due and waits since 2027-01-15T08:00:00Z (TrainingReady)";
    assert_held(&waits, reasons::TRAINING_WAITS, text);
}

#[test]
fn versions_that_are_refused_or_held_back_are_reported_while_the_version_before_serves() {
    let with = |ids: &[&str], annotation: &str, value: &str| {
        let mut case = Case::well();
        case.training = training(Truth::True, reasons::TRAINED, ids);
        let annotations = [(annotation.to_owned(), value.to_owned())].into();
        case.model.promotion_requests = crate::model::promotion::Requests::of(&annotations);
        // Of these the oldest serves.
        case.training.versions.last_mut().expect("one").state = VersionState::Serving;
        case
    };
    let gates = json!({"gates": [{"metric": "precision", "minimum": "0.2"}]});
    let policy =
        |value| crate::model::promotion::Policy::new(&serde_json::from_value(value).expect("settings")).expect("valid");
    let mut refused = with(&["v3", "v2", "v1"], "none", "");
    refused.model.promotion = policy(gates);
    assert_held(&refused, reasons::VERSION_REJECTED, "the newest 2 versions did not pass the gates (PromotionReady)");

    let paused = with(&["v2", "v1"], "recommender.dev/pause-promotion", "true");
    let text = "version v2 waits because promotion is paused by the annotation recommender.dev/pause-promotion: remove it to \
                promote; v1 serves (PromotionReady)";
    assert_held(&paused, reasons::PAUSED, text);

    let pinned = with(&["v2", "v1"], "recommender.dev/pin", "v1");
    let text = "version v1 is pinned by the annotation recommender.dev/pin; v2 is newer and waits until it is removed \
                (PromotionReady)";
    assert_held(&pinned, reasons::PINNED, text);

    let mut manual = with(&["v2", "v1"], "none", "");
    manual.model.promotion = policy(json!({"mode": "Manual"}));
    let (_, reason, message, _) = refreshable(&manual);
    assert_eq!(reason, reasons::AWAITING_APPROVAL);
    assert!(message.contains("recommender.dev/approve=v2"), "{message}");

    let nonsense = with(&["v1"], "recommender.dev/pin", "v9");
    let (status, ..) = refreshable(&nonsense);
    assert_eq!(status, "True", "a request that is refused holds nothing back");
}

#[test]
fn several_reasons_are_all_named_and_the_first_is_the_reason() {
    let mut case = Case::well();
    case.model.training.suspend = true;
    case.training.status.waiting_since = Some(Time(NOW));
    let text = "training is suspended (spec.training.suspend); a full run is due and waits since 2027-01-15T08:00:00Z \
                (TrainingReady)";
    assert_held(&case, reasons::TRAINING_SUSPENDED, text);
}

#[test]
fn an_object_that_is_invalid_cannot_be_refreshed() {
    let status = super::super::stalled(&serving("v1"), 3, reasons::INVALID_SPEC, "spec.x: wrong", NOW);
    let condition = status.conditions.iter().find(|of| of.type_ == types::REFRESHABLE).expect("a condition");
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", reasons::INVALID_SPEC));
    assert_eq!(condition.message, "version v1 serves, and cannot be refreshed: spec.x: wrong");
}

/// An object with a canary whose HTTPRoute a Gateway does not accept, and the versions of its training, of which the oldest serves.
fn refused_route(versions: &str, partial: bool, ids: &[&str]) -> Case {
    let mut object = json!({
        "apiVersion": "recommender.dev/v1alpha1", "kind": "RecommenderModel",
        "metadata": {"name": "packages", "namespace": "shop", "uid": "uid", "generation": 3},
        "spec": {
            "artifacts": {"persistentVolumeClaim": {"claimName": "models"}},
            "training": {"image": "t", "full": {}},
            "serving": {"image": "s", "replicas": 2},
            "promotion": {"canary": {"versions": versions, "steps": [{"weightPercent": 10}],
                          "httpRoute": {"parentRefs": [{"name": "gateway"}]}}},
            "monitoring": {"metrics": {"profile": "FastApiInstrumentator"}},
        },
    });
    if partial {
        object["spec"]["training"]["partial"] = json!({"schedule": "0 * * * *"});
    }
    let object: crate::api::RecommenderModel = serde_json::from_value(object).expect("an object");
    let mut case = Case::well();
    case.model = crate::model::Model::new(&object, NOW).expect("a valid model");
    case.training = training(Truth::True, reasons::TRAINED, ids);
    case.training.versions.last_mut().expect("one").state = VersionState::Serving;
    case.route = Some(Routed { shares: None, state: Acceptance::Refused("no Gateway of that name".into()) });
    case
}

#[test]
fn a_route_that_is_refused_holds_back_the_versions_that_have_to_be_a_canary() {
    let text = "no version can be a canary: no Gateway of that name (PromotionReady)";
    assert_held(&refused_route("All", true, &["v1"]), reasons::ROUTE_NOT_ACCEPTED, text);
    assert_held(&refused_route("Full", false, &["v1"]), reasons::ROUTE_NOT_ACCEPTED, text);
    let others = refused_route("Full", true, &["v1"]);
    assert_eq!(refreshable(&others).0, "True", "partial versions take over meanwhile");
    let waits = refused_route("Full", true, &["v2", "v1"]);
    let text = "the canary gets no requests: no Gateway of that name (PromotionReady)";
    assert_held(&waits, reasons::ROUTE_NOT_ACCEPTED, text);
}

#[test]
fn a_child_that_is_not_as_desired_counts_where_a_new_version_needs_it() {
    for (kind, reason) in [(Kind::HTTPRoute, reasons::API_MISSING), (Kind::HTTPRoute, reasons::FIELD_CONFLICT)] {
        let mut case = refused_route("All", true, &["v1"]).with_problem(kind, reason, true);
        case.route = None;
        let text = format!("no version can be a canary: HTTPRoute: {reason} (PromotionReady)");
        assert_held(&case, reason, &text);
    }
    for reason in [reasons::NAME_CONFLICT, reasons::FIELD_CONFLICT, reasons::APPLY_FAILED] {
        let case = Case::well().with_problem(Kind::Deployment, reason, true);
        let (status, found, message, _) = refreshable(&case);
        assert_eq!((status.as_str(), found.as_str()), ("False", reason), "{message}");
        assert!(message.ends_with(&format!("cannot be refreshed: Deployment: {reason} (ServingReady)")), "{message}");
    }
    let monitor = Case::well().with_problem(Kind::ServiceMonitor, reasons::API_MISSING, true);
    assert_eq!(refreshable(&monitor).0, "True", "versions need no monitor");
}

#[test]
fn a_request_that_is_refused_hides_no_pin_no_pause_and_no_approval_that_is_missing() {
    let with = |annotations: &[(&str, &str)]| {
        let mut case = Case::well();
        case.training = training(Truth::True, reasons::TRAINED, &["v2", "v1"]);
        case.training.versions.last_mut().expect("one").state = VersionState::Serving;
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        case.model.promotion_requests = crate::model::promotion::Requests::of(&annotations);
        case
    };
    let wrong = ("recommender.dev/rollback", "v9");
    let pinned = with(&[("recommender.dev/pin", "v1"), wrong]);
    let text = "version v1 is pinned by the annotation recommender.dev/pin (PromotionReady)";
    assert_held(&pinned, reasons::PINNED, text);
    let paused = with(&[("recommender.dev/pause-promotion", "true"), wrong]);
    let text = "version v2 waits because promotion is paused by the annotation recommender.dev/pause-promotion (PromotionReady)";
    assert_held(&paused, reasons::PAUSED, text);
    let mut manual = with(&[wrong]);
    manual.model.promotion.is_manual = true;
    let text = "version v2 waits for an approval by the annotation recommender.dev/approve (PromotionReady)";
    assert_held(&manual, reasons::AWAITING_APPROVAL, text);
}

#[test]
fn an_approved_version_whose_base_waits_for_an_approval_is_held_back_and_the_base_is_named() {
    let with = |ids: &[&str], base: &str, annotations: &[(&str, &str)]| {
        let mut case = refused_route("Full", true, ids);
        case.route = None;
        case.model.promotion.is_manual = true;
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        case.model.promotion_requests = crate::model::promotion::Requests::of(&annotations);
        for version in case.training.versions.iter_mut().filter(|version| version.id.starts_with('p')) {
            let (base, at) = (base.to_owned(), || Time(NOW));
            version.kind = TrainingKind::Partial;
            version.base = Some(Base { version: base.clone(), full: base, full_trained_at: at(), data_from: at() });
        }
        case
    };
    let approved = ("recommender.dev/approve", "p1");
    let text = "version v2 waits for an approval (\"p1\" is approved): p1 is based on it and waits with it; kubectl -n shop annotate \
                recommendermodel packages recommender.dev/approve=v2 --overwrite; v1 serves (PromotionReady)";
    assert_held(&with(&["p1", "v2", "v1"], "v2", &[approved]), reasons::AWAITING_APPROVAL, text);
    // Also once a newer one is trained.
    assert_held(&with(&["v3", "p1", "v2", "v1"], "v2", &[approved]), reasons::AWAITING_APPROVAL, text);
    // And behind a request that is refused.
    let wrong = ("recommender.dev/rollback", "v9");
    let text = "version v2 waits for an approval by the annotation recommender.dev/approve (PromotionReady)";
    assert_held(&with(&["p1", "v2", "v1"], "v2", &[approved, wrong]), reasons::AWAITING_APPROVAL, text);
    assert_held(&with(&["p1", "v2", "v1"], "v2", &[wrong]), reasons::AWAITING_APPROVAL, text);
}

#[test]
fn data_of_the_future_that_an_earlier_status_has_are_named_and_do_not_count() {
    let mut case = Case::well();
    case.training.versions[0].data_through = Some(Time(NOW + jiff::SignedDuration::from_hours(2)));
    let (status, _, message, _) = refreshable(&case);
    let text = "version v1 serves, trained at 2027-01-15T08:00:00Z (its dataThrough, 2027-01-15T10:00:00Z, is after the end of its run \
                and does not count); without a schedule only a request starts a run";
    assert_eq!((status.as_str(), message.as_str()), ("True", text));
    assert_eq!(case.compute().serving.unwrap_or_default().data_through, None);
}
