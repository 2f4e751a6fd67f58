//! Runs a fault: healthy under a high load, then ten minutes of the fault while the load really changes, then healthy again.

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

/// Seconds before a fault, of it, and after it.
const BEFORE: i64 = 240;
const FAULT: i64 = 600;
const AFTER: i64 = 420;
/// From its begin to the status that tells: until samples are old, and until that lasted.
const TOLD: i64 = 120;
/// From its end: a window, and until that lasted.
const TOLD_GOOD: i64 = 180;
/// Events and status changes of one object that ten minutes may bring.
const MOST_NEWS: usize = 10;

/// What is decided on, each with its windows: nothing is lowered before a window of fresh samples.
pub const WORKLOADS: [&str; 3] = ["servers on latency", "workers on lag", "servers on both"];
const WINDOWS: [i64; 3] = [20, 120, 20];

/// What is wrong.
pub enum Wrong {
    /// The source answers like this,
    Answers(Answering),
    /// so slowly that a tick takes so many seconds,
    Slowly(i64, Answering),
    /// or it is stopped.
    Stopped,
    /// The operator was restarted with this URL, made from the right one,
    Url(fn(&str) -> String),
    /// or without the source that objects name.
    NoSource,
}

/// What is expected of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expect {
    /// Not lowered, and told to be without metrics, with this in the message. Lowered after the fault if the load is low.
    Holds(&'static str),
    /// The same, but raised.
    Raises(&'static str),
    /// Not lowered, and nothing is told.
    Steady,
    /// Not lowered.
    Kept,
    /// The data are fresh and look like a load that comes and goes: raised or not, and never below what it was.
    NeverBelow,
    /// Nothing: the fault is none of its business.
    Free,
}
pub use Expect::{Free, Holds, Kept, NeverBelow, Raises, Steady};

/// The load during and after the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Really {
    Falls,
    /// To so little that there are requests still.
    Dwindles,
    Doubles,
    Stays,
}

/// A fault and what is expected.
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
    /// Replicas as the fault began.
    at_begin: [i32; 3],
}

/// Runs every row, also after one that fails.
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
        let before = self.told();
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
            let before = self.told();
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

    /// Replicas that are told, 0 before any are.
    fn told(&self) -> [i32; 3] {
        let [separate, both] = &self.sites;
        [separate.told("serving"), separate.told("events"), both.told("serving")]
            .map(|told| told.map_or(0, |told| told.replicas))
    }

    /// What holds at every tick.
    fn check(&self, before: [i32; 3]) {
        let (now, after, row) = (self.now, self.told(), self.row);
        for index in 0..3 {
            let (workload, before, after) = (WORKLOADS[index], before[index], after[index]);
            let least = if index == 1 { 1 } else { 2 };
            let context = || format!("{}, {workload}, {} s after its begin", row.name, now - BEFORE);
            assert!((least..=20).contains(&after) || now < TOLD, "{}: {after}", context());
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
            let told = (condition.status.as_str(), condition.reason == METRICS_MISSING);
            let missed = if missing == Some(true) { ("False", true) } else { ("True", false) };
            let soon = missing == Some(false) || row.expect.iter().all(|expect| matches!(expect, Holds(_) | Raises(_)));
            let during = (BEFORE + TOLD..=BEFORE + FAULT).contains(&now);
            if missing.is_some() && during && (soon || now == BEFORE + FAULT) {
                assert_eq!(told, missed, "{}, {} s: {condition:?}", row.name, now - BEFORE);
            }
            if now >= BEFORE + FAULT + TOLD_GOOD {
                assert_eq!(told, ("True", false), "{}, {} s: {condition:?}", row.name, now - BEFORE);
            }
        }
    }

    /// Whether an object with these workloads is expected to miss metrics; none when that is left open.
    fn missing(&self, expected: &[Expect]) -> Option<bool> {
        let misses = expected.iter().any(|expect| matches!(expect, Holds(_) | Raises(_)));
        let open = [Free, Kept, NeverBelow].iter().any(|expect| expected.contains(expect));
        if misses { Some(true) } else { (!open).then_some(false) }
    }

    fn check_end_of_fault(&self, before: [i32; 3]) {
        let (row, after) = (self.row, self.told());
        let [separate, both] = &self.sites;
        let told = [separate.told("serving"), separate.told("events"), both.told("serving")];
        for (index, told) in told.into_iter().enumerate() {
            let (name, workload, told) = (row.name, WORKLOADS[index], told.expect("told"));
            let (Holds(part) | Raises(part)) = row.expect[index] else { continue };
            println!("{name}, {workload}: {}", told.message);
            assert_eq!(told.reason, METRICS_MISSING, "{name}, {workload}: {told:?}");
            assert!(told.message.contains(part), "{name}, {workload}: {}", told.message);
            assert!(told.message.len() < 700 && !told.message.contains('\n'), "{name}: {}", told.message);
            if let Raises(_) = row.expect[index] {
                assert!(after[index] > before[index], "{name}, {workload}: from {before:?} to {after:?}");
            }
        }
        self.check_news();
    }

    /// Whether an object of which nothing is known bothers people no more than it must.
    fn check_news(&self) {
        let [latency, lag, both] = self.row.expect;
        for (site, expected) in self.sites.iter().zip([&[latency, lag][..], &[both]]) {
            if expected.contains(&Free) {
                continue;
            }
            let name = self.row.name;
            let during = |at: i64| (BEFORE + 1..=BEFORE + FAULT).contains(&at);
            let news: Vec<_> = site.news.iter().filter(|at| during(**at)).collect();
            assert!(news.len() <= MOST_NEWS, "{name}: {} changes told: {news:?}", news.len());
            let notes: Vec<_> = site.notes.iter().filter(|(at, _)| during(*at)).map(|(_, note)| note).collect();
            assert!(notes.len() <= MOST_NEWS, "{name}: {} events: {notes:?}", notes.len());
            let troubles = notes.iter().filter(|note| note.reason == METRICS_MISSING).count();
            if let Some(missing) = self.missing(expected) {
                assert_eq!(troubles, usize::from(missing), "{name}: told once: {notes:?}");
            }
            if !expected.iter().any(|expect| matches!(expect, Raises(_) | NeverBelow)) {
                assert_eq!(troubles, notes.len(), "{name}: nothing else happened: {notes:?}");
            }
        }
    }

    /// What was held goes down once that is known to be right: a wrong zero would have done so during the fault.
    fn check_end(&self, before: [i32; 3]) {
        let after = self.told();
        if matches!(self.row.really, Really::Falls | Really::Dwindles) {
            for index in 0..3 {
                assert!(after[index] < before[index], "{}: from {before:?} to {after:?}", self.row.name);
            }
        }
    }
}
