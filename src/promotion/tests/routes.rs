//! A canary that gets its share of the requests by an HTTPRoute, over random histories of its pods, of the route and of the Gateway.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    model::canary::{Plan, Settings, Signal, Step},
    observe::RouteState,
    promotion::{
        canary::{self, Memory, Outcome, Readings, Tick},
        judge::{Comparison, Counts},
        route::{Acceptance, Directed, Routed, Shares, direct},
    },
};

/// Seconds between two ticks.
const TICK: i64 = 5;

/// Copies of all requests, then 1 %, then 10 %.
fn plan() -> Plan {
    let step = |weight_percent, mirror_percent| Step {
        weight_percent,
        mirror_percent,
        minimum_seconds: 60,
        minimum_requests: 100,
    };
    let signals = vec![Signal { name: "errors".into(), floor: Some(0.05), maximum: None }];
    Plan {
        steps: vec![step(0, 100), step(1, 0), step(10, 0)],
        warm_up_seconds: 10,
        max_seconds: 600,
        judge: Settings { level: 0.05, margin: 1.5, signals },
    }
}

/// The cluster, and what the operator knows of a canary.
#[derive(Clone, Debug)]
struct World {
    now: Timestamp,
    canary: Option<(&'static str, Memory)>,
    /// The Deployment of the canary: its version, and its pods that are ready.
    pods: Option<(&'static str, usize)>,
    route: RouteState,
    /// What the Gateway gives a canary.
    gateway: Shares,
    /// The version that the Gateway gave it to last.
    given_to: Option<&'static str>,
}

impl World {
    fn new() -> Self {
        let route = RouteState { stable: 100, ..RouteState::default() };
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        Self { now, canary: None, pods: None, route, gateway: Shares::default(), given_to: None }
    }

    /// What a reconcile applies, in its order: the route, then the pods.
    fn reconcile(&mut self) -> Directed {
        let wanted = self.canary.as_ref().filter(|(_, memory)| memory.end.as_ref().is_none_or(|end| end.is_promoted));
        let directed = direct((wanted.map(|(id, memory)| (*id, memory.shares())), true), self.pods, Some(&self.route));
        let Shares { canary, mirrored } = directed.shares;
        if (canary, mirrored, directed.shares.stable()) != (self.route.canary, self.route.mirrored, self.route.stable) {
            let stable = directed.shares.stable();
            self.route = RouteState { stable, canary, mirrored, late: Some("public".into()), ..self.route.clone() };
        }
        if !directed.is_held {
            match (wanted, self.pods) {
                (Some((id, _)), Some((of, _))) if *id == of => {}
                (Some((id, _)), _) => self.pods = Some((id, 0)),
                (None, _) => self.pods = None,
            }
        }
        directed
    }

    /// The Gateway observes the route.
    fn observe(&mut self) {
        self.gateway = Shares { canary: self.route.canary, mirrored: self.route.mirrored };
        self.given_to = self.pods.filter(|_| self.gateway.is_some()).map(|(id, _)| id);
        self.route.late = None;
    }

    fn tick(&mut self, errors: f64) -> Option<Outcome> {
        self.now += SignedDuration::from_secs(TICK);
        let ready = self.pods.map_or(0, |(_, ready)| ready);
        let routed = Routed::of("packages", &self.route);
        let (id, memory) = self.canary.as_mut()?;
        let ready = if self.pods.is_some_and(|(of, _)| of == *id) { i32::try_from(ready).unwrap_or(0) } else { 0 };
        let count = |share: i32, rate: f64| {
            let requests = 1000.0 * f64::from(share);
            Counts { requests, events: requests * rate }
        };
        let share = self.gateway.canary + self.gateway.mirrored;
        let of = Comparison { canary: count(share, errors), baseline: count(100 - self.gateway.canary, 0.01) };
        let signals: BTreeMap<_, _> = [("errors".to_owned(), of)].into();
        let readings = Readings {
            ready,
            expected: Some(1),
            counts: (ready > 0).then_some(Tick { at: self.now, window_seconds: TICK, signals }),
            broken: None,
            is_late: routed.is_late(),
            undivided: routed.undivided(ready, memory.shares()),
        };
        let next = canary::advance(&plan(), memory.clone(), &readings, self.now);
        *memory = next.memory;
        Some(next.outcome)
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Begins(&'static str),
    Ends,
    PodsAre(usize),
    Reconcile,
    GatewayObserves,
    Ticks(u8, bool),
    Edited(i32, i32),
    Refused(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => prop_oneof![Just("v2"), Just("v3")].prop_map(Event::Begins),
        1 => Just(Event::Ends),
        4 => (0..3_usize).prop_map(Event::PodsAre),
        8 => Just(Event::Reconcile),
        6 => Just(Event::GatewayObserves),
        6 => ((1..40u8), prop::bool::weighted(0.9)).prop_map(|(ticks, is_good)| Event::Ticks(ticks, is_good)),
        1 => (0..101, 0..101).prop_map(|(canary, stable)| Event::Edited(canary, stable)),
        1 => any::<bool>().prop_map(Event::Refused),
    ]
}

/// What has to hold after each event.
fn checked(before: &World, world: &World, directed: Option<Directed>) -> Result<(), TestCaseError> {
    if let Some(Directed { shares, .. }) = directed {
        prop_assert!(shares.stable() + shares.canary == 100 && (0..=50).contains(&shares.canary), "{shares:?}");
        prop_assert!(shares.canary == 0 || shares.mirrored == 0, "{shares:?}");
        let is_ready =
            before.pods.is_some_and(|(of, ready)| ready > 0 && Some(of) == before.canary.as_ref().map(|(id, _)| *id));
        prop_assert!(!shares.is_some() || is_ready, "{shares:?} without pods: {before:?}");
    }
    // What the Gateway gives requests to is neither removed nor replaced by another version.
    if before.gateway.is_some() && before.pods.is_some_and(|(of, _)| Some(of) == before.given_to) {
        prop_assert_eq!(world.pods.map(|(of, _)| of), before.given_to, "{:?} {:?}", before, world);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn weights_add_up_pods_come_before_weight_and_go_after_it_and_a_step_is_judged_only_with_its_share(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        let mut world = World::new();
        for event in events {
            let before = world.clone();
            let mut directed = None;
            match event {
                Event::Begins(id) => world.canary = Some((id, Memory::new(id, world.now))),
                Event::Ends => world.canary = None,
                Event::PodsAre(ready) => world.pods.iter_mut().for_each(|pods| pods.1 = ready),
                Event::Reconcile => directed = Some(world.reconcile()),
                Event::GatewayObserves => world.observe(),
                Event::Edited(canary, stable) => {
                    world.route = RouteState { stable, canary, late: Some("public".into()), ..world.route.clone() };
                }
                Event::Refused(is_refused) => world.route.refused = is_refused.then(|| "no listener".into()),
                Event::Ticks(ticks, is_good) => {
                    for _ in 0..ticks {
                        let (gateway, memory) = (world.gateway, world.canary.as_ref().map(|(_, memory)| memory.clone()));
                        let outcome = world.tick(if is_good { 0.01 } else { 0.2 });
                        let goes_on = matches!(outcome, Some(Outcome::NextStep { .. } | Outcome::Promote { .. }));
                        let Some(memory) = memory.filter(|memory| goes_on && memory.end.is_none()) else { continue };
                        let step = plan().steps[usize::try_from(memory.step).expect("a step")];
                        prop_assert_eq!(gateway, step.shares(), "judged without its share");
                        prop_assert!(world.route.refused.is_none(), "judged though it is not accepted");
                    }
                }
            }
            checked(&before, &world, directed)?;
        }
        // Once it has ended, its weight and then its pods are gone.
        world.canary = None;
        (0..3).for_each(|_| {
            world.reconcile();
            world.observe();
        });
        prop_assert_eq!((world.pods, world.gateway), (None, Shares::default()), "{:?}", world);
        prop_assert_eq!(world.route.stable, 100);
    }
}

/// The shares that a Gateway gives over time, until the canary has ended.
fn story(errors: f64) -> (Vec<Shares>, World) {
    let mut world = World::new();
    world.canary = Some(("v2", Memory::new("v2", world.now)));
    let mut given = vec![world.gateway];
    for _ in 0..2000 {
        world.reconcile();
        world.pods.iter_mut().for_each(|pods| pods.1 = 1);
        world.observe();
        if given.last() != Some(&world.gateway) {
            given.push(world.gateway);
        }
        world.tick(errors);
    }
    (given, world)
}

#[test]
fn a_canary_gets_copies_then_weights_that_pods_cannot_give_and_keeps_the_last_one_until_it_is_rolled_out() {
    let shares = |canary, mirrored| Shares { canary, mirrored };
    let (given, mut world) = story(0.01);
    assert_eq!(given, [shares(0, 0), shares(0, 100), shares(1, 0), shares(10, 0)]);
    let (_, memory) = world.canary.as_ref().expect("it is kept");
    assert!(memory.end.as_ref().is_some_and(|end| end.is_promoted), "{memory:?}");
    world.canary = None;
    assert_eq!(world.reconcile(), Directed { shares: shares(0, 0), is_held: true }, "weight goes first");
    assert!(world.pods.is_some());
    world.reconcile();
    assert!(world.pods.is_some(), "the Gateway may still divide them as before");
    world.observe();
    assert_eq!(world.reconcile(), Directed::default());
    assert_eq!(world.pods, None);
}

#[test]
fn a_bad_version_is_found_with_copies_of_requests_alone() {
    let (given, world) = story(0.3);
    assert_eq!(given, [Shares::default(), Shares { canary: 0, mirrored: 100 }, Shares::default()]);
    let (_, memory) = world.canary.as_ref().expect("it is remembered");
    assert!(
        memory.end.as_ref().is_some_and(|end| !end.is_promoted && end.why.contains("copies of 100 % of the requests"))
    );
}

#[test]
fn what_keeps_a_route_from_dividing_requests_is_stated() {
    let ours = RouteState { stable: 90, canary: 10, ..RouteState::default() };
    let shares = Shares { canary: 10, mirrored: 0 };
    let lacks = |route: RouteState, shares| Routed::of("packages", &route).undivided(1, shares);
    assert_eq!(lacks(ours.clone(), shares), None);
    let other = Shares { canary: 0, mirrored: 20 };
    let text = "the HTTPRoute gives it 10 % of the requests in place of copies of 20 % of the requests";
    assert_eq!(lacks(ours.clone(), other).as_deref(), Some(text));
    let all = RouteState { stable: 100, canary: 0, mirrored: 100, ..ours.clone() };
    assert!(lacks(all, other).is_some_and(|why| why.contains("older than 1.3")));
    let edited = RouteState { stable: 50, ..ours.clone() };
    assert!(lacks(edited, shares).is_some_and(|why| why.contains("were changed")));
    let refused =
        RouteState { refused: Some("Gateway public: Accepted is False, NotAllowedByListeners".into()), ..ours.clone() };
    let text = "HTTPRoute packages is not accepted: Gateway public: Accepted is False, NotAllowedByListeners";
    assert_eq!(lacks(refused, shares).as_deref(), Some(text));
    let late = RouteState { late: Some("public".into()), ..ours.clone() };
    let late = Routed::of("packages", &late);
    let text = "Gateway public has not observed the last change of HTTPRoute packages yet";
    assert_eq!(late.state, Acceptance::Late(text.into()));
    assert_eq!(
        late.undivided(0, Shares::default()).as_deref(),
        Some(text),
        "its pods may be those of the version before"
    );
    let closed = RouteState { stable: 100, canary: 0, ..ours };
    let closed = Routed::of("packages", &closed);
    assert_eq!(closed.undivided(0, other), None, "it waits for its pods, for a limited time");
}

#[test]
fn a_version_whose_gateway_does_not_observe_the_route_waits_without_an_end() {
    // A canary of the version before has got requests, and the controller of the Gateway stands still.
    let mut world = World::new();
    world.pods = Some(("v1", 1));
    world.route = RouteState { stable: 99, canary: 1, ..world.route };
    world.gateway = Shares { canary: 1, mirrored: 0 };
    world.canary = Some(("v2", Memory::new("v2", world.now)));
    for _ in 0..2000 {
        world.reconcile();
        let outcome = world.tick(0.01);
        assert!(matches!(outcome, Some(Outcome::Stay { .. })), "{outcome:?}");
    }
    assert_eq!(world.pods, Some(("v1", 1)), "it may still get requests");
    world.observe();
    world.reconcile();
    assert_eq!(world.pods, Some(("v2", 0)));
}
