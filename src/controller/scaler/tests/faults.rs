//! Runs a fault: healthy under a high load, then ten minutes of the fault while the actual load changes, then healthy again.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use serde_json::json;

use super::{
    at,
    fleet::{DOUBLE, HIGH, LITTLE, Load, NOTHING, TICK},
    model, serving,
    site::Site,
    source::{Answering, Source, reader},
};
use crate::{api::conditions::reasons::METRICS_MISSING, signals::Reader};

/// Seconds before the fault.
const BEFORE: i64 = 240;
/// Seconds that the fault lasts.
const FAULT: i64 = 600;
/// Seconds after the fault.
const AFTER: i64 = 420;
/// Seconds from the begin of the fault until the status reports it: until samples are old, and until that has lasted.
const REPORTED: i64 = 120;
/// Seconds from the end of the fault until the status reports it: a window, and until that has lasted.
const RECOVERED: i64 = 180;
/// Most Events, and most status changes, of one object during the fault.
const MOST_CHANGES: usize = 10;

/// The workloads under test.
pub const WORKLOADS: [&str; 3] = ["servers on latency", "workers on lag", "servers on both"];
/// The windows of these workloads, seconds: nothing is lowered before a window of fresh samples.
const WINDOWS: [i64; 3] = [20, 120, 20];

/// The fault.
pub enum Wrong {
    /// The source answers like this.
    Answers(Answering),
    /// The source answers like this, so slowly that a tick takes so many seconds.
    Slowly(i64, Answering),
    /// The source is stopped.
    Stopped,
    /// The operator was restarted with this URL, made from the right one.
    Url(fn(&str) -> String),
    /// The operator was restarted without the source that the objects name.
    NoSource,
}

/// What is expected of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expect {
    /// Not lowered, and reported as missing metrics, with this part in the message. Lowered after the fault if the load is low.
    Holds(&'static str),
    /// The same, but raised.
    Raises(&'static str),
    /// Not lowered, and neither missing metrics nor an Event are reported.
    Steady,
    /// Not lowered.
    Kept,
    /// The data are fresh and look like an intermittent load: it may be raised, and is never lower than before the fault.
    NeverBelow,
    /// Nothing: the fault does not concern the workload.
    Free,
}
pub use Expect::{Free, Holds, Kept, NeverBelow, Raises, Steady};

/// The actual load during and after the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Really {
    Falls,
    /// Falls, but some requests still arrive.
    Dwindles,
    Doubles,
    Stays,
}

/// A fault and its expected effects, one for each of [`WORKLOADS`].
pub struct Row {
    pub name: &'static str,
    pub wrong: Wrong,
    pub really: Really,
    pub expect: [Expect; 3],
}

struct Run<'a> {
    row: &'a Row,
    source: Source,
    reader: Reader,
    sites: [Site; 2],
    now: i64,
    /// Replicas at the begin of the fault.
    at_begin: [i32; 3],
}

/// Runs every row, even after one that fails.
pub async fn run(rows: &[Row]) {
    let mut failed = Vec::new();
    for row in rows {
        let run = Run::new(row).await.run();
        if AssertUnwindSafe(run).catch_unwind().await.is_err() {
            failed.push(row.name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

impl<'a> Run<'a> {
    async fn new(row: &'a Row) -> Self {
        let source = Source::start(matches!(row.wrong, Wrong::Stopped)).await;
        let reader = reader(&source.url());
        let latency = json!({"quantile": "P95", "targetMilliseconds": 75});
        let lag = json!({"dependency": "events", "catchUpSeconds": 120});
        let worker = json!({"name": "events", "autoscaling": {"minReplicas": 1, "maxReplicas": 20, "lag": lag}});
        let separate = json!({
            "serving": serving(json!({"minReplicas": 2, "maxReplicas": 20, "latency": latency})),
            "workers": [worker],
        });
        let both = json!({"minReplicas": 2, "maxReplicas": 20, "latency": latency, "lag": lag});
        let sites = [model("packages", separate), model("both", json!({"serving": serving(both)}))].map(Site::new);
        Self { row, source, reader, sites, now: 0, at_begin: [0; 3] }
    }

    async fn run(mut self) {
        let name = self.row.name;
        self.until(BEFORE, HIGH, TICK, true).await;
        let before = self.reported();
        self.at_begin = before;
        assert!(before.iter().all(|replicas| (5..=10).contains(replicas)), "{name}: healthy with {before:?}");
        for site in &self.sites {
            assert_eq!(site.scaling_active().status, "True", "{name}: {:?}", site.scaling_active());
        }

        let load = match self.row.really {
            Really::Falls => NOTHING,
            Really::Dwindles => LITTLE,
            Really::Doubles => DOUBLE,
            Really::Stays => HIGH,
        };
        let known = !matches!(self.row.wrong, Wrong::NoSource);
        self.begin().await;
        let every = if let Wrong::Slowly(every, _) = self.row.wrong { every } else { TICK };
        self.until(BEFORE + FAULT, load, every, known).await;
        self.check_end_of_fault(before);
        self.end();
        self.until(BEFORE + FAULT + AFTER, load, TICK, true).await;
        self.check_end(before);
    }

    async fn begin(&mut self) {
        match self.row.wrong {
            Wrong::Answers(answering) | Wrong::Slowly(_, answering) => self.source.answer_with(answering),
            Wrong::Stopped => self.source.stop().await,
            Wrong::Url(url) => self.restart(&url(&self.source.url())),
            Wrong::NoSource => self.restart(&self.source.url()),
        }
    }

    fn end(&mut self) {
        match self.row.wrong {
            Wrong::Answers(_) | Wrong::Slowly(..) => self.source.answer_with(|asked| asked.healthy()),
            Wrong::Stopped => self.source.start_again(),
            Wrong::Url(_) | Wrong::NoSource => self.restart(&self.source.url()),
        }
    }

    fn restart(&mut self, url: &str) {
        self.reader = reader(url);
        for site in &mut self.sites {
            site.restart(self.now);
        }
    }

    async fn until(&mut self, end: i64, load: Load, every: i64, known: bool) {
        while self.now < end {
            let before = self.reported();
            self.now += TICK;
            for site in &mut self.sites {
                for recorded in site.go_on(load, self.now) {
                    self.source.record(&site.model.identity.name, recorded, self.now);
                }
            }
            if self.now % every == 0 {
                let readings = self.reader.read(at(self.now)).await;
                for site in &mut self.sites {
                    site.tick(known.then_some(&*readings), self.now);
                }
            }
            self.check(before);
        }
    }

    /// The reported replicas of each workload, 0 before any are reported.
    fn reported(&self) -> [i32; 3] {
        let [separate, both] = &self.sites;
        [separate.reported("serving"), separate.reported("events"), both.reported("serving")]
            .map(|reported| reported.map_or(0, |reported| reported.replicas))
    }

    /// Checks that apply at every tick.
    fn check(&self, before: [i32; 3]) {
        let (now, after, row) = (self.now, self.reported(), self.row);
        for index in 0..3 {
            let (workload, before, after) = (WORKLOADS[index], before[index], after[index]);
            let least = if index == 1 { 1 } else { 2 };
            let context = || format!("{}, {workload}, {} s after its begin", row.name, now - BEFORE);
            assert!((least..=20).contains(&after) || now < REPORTED, "{}: {after}", context());
            let held = BEFORE < now && now < BEFORE + FAULT + WINDOWS[index];
            let least = if row.expect[index] == NeverBelow { self.at_begin[index] } else { before };
            if held && row.expect[index] != Free {
                assert!(after >= least, "{}: lowered from {before} to {after}", context());
            }
        }
        let [latency, lag, both] = row.expect;
        for (site, expected) in self.sites.iter().zip([&[latency, lag][..], &[both]]) {
            let missing = self.missing(expected);
            let condition = site.scaling_active();
            let reported = (condition.status.as_str(), condition.reason == METRICS_MISSING);
            let missed = if missing == Some(true) { ("False", true) } else { ("True", false) };
            let soon = missing == Some(false) || row.expect.iter().all(|expect| matches!(expect, Holds(_) | Raises(_)));
            let during = (BEFORE + REPORTED..=BEFORE + FAULT).contains(&now);
            if missing.is_some() && during && (soon || now == BEFORE + FAULT) {
                assert_eq!(reported, missed, "{}, {} s: {condition:?}", row.name, now - BEFORE);
            }
            if now >= BEFORE + FAULT + RECOVERED {
                assert_eq!(reported, ("True", false), "{}, {} s: {condition:?}", row.name, now - BEFORE);
            }
        }
    }

    /// Whether an object with these workloads is expected to report missing metrics. None when both are allowed.
    fn missing(&self, expected: &[Expect]) -> Option<bool> {
        let misses = expected.iter().any(|expect| matches!(expect, Holds(_) | Raises(_)));
        let open = [Free, Kept, NeverBelow].iter().any(|expect| expected.contains(expect));
        if misses { Some(true) } else { (!open).then_some(false) }
    }

    fn check_end_of_fault(&self, before: [i32; 3]) {
        let (row, after) = (self.row, self.reported());
        let [separate, both] = &self.sites;
        let reported = [separate.reported("serving"), separate.reported("events"), both.reported("serving")];
        for (index, reported) in reported.into_iter().enumerate() {
            let (name, workload, reported) = (row.name, WORKLOADS[index], reported.expect("reported"));
            let (Holds(part) | Raises(part)) = row.expect[index] else { continue };
            println!("{name}, {workload}: {}", reported.message);
            assert_eq!(reported.reason, METRICS_MISSING, "{name}, {workload}: {reported:?}");
            assert!(reported.message.contains(part), "{name}, {workload}: {}", reported.message);
            assert!(reported.message.len() < 700 && !reported.message.contains('\n'), "{name}: {}", reported.message);
            if let Raises(_) = row.expect[index] {
                assert!(after[index] > before[index], "{name}, {workload}: from {before:?} to {after:?}");
            }
        }
        self.check_changes();
    }

    /// Checks that a fault causes few status changes and Events.
    fn check_changes(&self) {
        let [latency, lag, both] = self.row.expect;
        for (site, expected) in self.sites.iter().zip([&[latency, lag][..], &[both]]) {
            if expected.contains(&Free) {
                continue;
            }
            let name = self.row.name;
            let during = |at: i64| (BEFORE + 1..=BEFORE + FAULT).contains(&at);
            let changed: Vec<_> = site.changed.iter().filter(|at| during(**at)).collect();
            assert!(changed.len() <= MOST_CHANGES, "{name}: {} changes reported: {changed:?}", changed.len());
            let events: Vec<_> = site.events.iter().filter(|(at, _)| during(*at)).map(|(_, event)| event).collect();
            assert!(events.len() <= MOST_CHANGES, "{name}: {} events: {events:?}", events.len());
            let about_metrics = events.iter().filter(|event| event.reason == METRICS_MISSING).count();
            if let Some(missing) = self.missing(expected) {
                assert_eq!(about_metrics, usize::from(missing), "{name}: reported once: {events:?}");
            }
            if !expected.iter().any(|expect| matches!(expect, Raises(_) | NeverBelow)) {
                assert_eq!(about_metrics, events.len(), "{name}: no other Event: {events:?}");
            }
        }
    }

    /// Checks that held replicas are lowered after the fault, when the lower load is measured. During the fault, a wrong zero
    /// would have lowered them.
    fn check_end(&self, before: [i32; 3]) {
        let after = self.reported();
        if matches!(self.row.really, Really::Falls | Really::Dwindles) {
            for index in 0..3 {
                assert!(after[index] < before[index], "{}: from {before:?} to {after:?}", self.row.name);
            }
        }
    }
}
