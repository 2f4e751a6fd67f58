//! Property tests: candidates with clocks of their own, requests that arrive late or never, a record that is read twice,
//! edits by third parties. At no moment do two candidates hold the lease.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use proptest::prelude::*;
use tokio::time::Instant;

use super::{
    candidate::{Action, Candidate, Now, released},
    timings::Timings,
};

/// A write in flight: the record, and the version it is conditional on (`None`: the Lease must not exist).
#[derive(Clone)]
struct Write {
    record: LeaseSpec,
    expects: Option<u64>,
    sent: Instant,
}

/// The state of a process's current request.
#[derive(Default)]
enum Request {
    #[default]
    Idle,
    Read(Option<(u64, LeaseSpec)>),
    Writing(Write),
    Answered(Write),
}

/// A process: its clock runs at `rate` percent of real time from a start of its own.
struct Process {
    candidate: Candidate,
    start: Instant,
    rate: u32,
    request: Request,
}

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Read(usize),
    Decide(usize),
    Commit(usize),
    Hear(usize),
    /// The process gives up waiting; a write it sent may still arrive later.
    GiveUp(usize),
    LateWrite,
    /// A whole round without disturbance.
    Round(usize),
    Release(usize),
    Restart(usize),
    Delete,
    Edit(Option<&'static str>, Option<i32>),
}

struct Simulation {
    timings: Timings,
    elapsed: Duration,
    version: u64,
    stored: Option<(u64, LeaseSpec)>,
    processes: Vec<Process>,
    late: Vec<Write>,
    names: usize,
}

impl Simulation {
    fn new(timings: Timings, clocks: &[(u64, u32)]) -> Self {
        let base = Instant::now();
        let mut simulation = Self {
            timings,
            elapsed: Duration::ZERO,
            version: 0,
            stored: None,
            processes: Vec::new(),
            late: Vec::new(),
            names: 0,
        };
        for &(offset, rate) in clocks {
            let candidate = simulation.new_candidate();
            let start = base + Duration::from_secs(offset);
            simulation.processes.push(Process { candidate, start, rate, request: Request::Idle });
        }
        simulation
    }

    fn new_candidate(&mut self) -> Candidate {
        self.names += 1;
        Candidate::new(format!("process-{}", self.names), self.timings)
    }

    fn clock(&self, of: usize) -> Instant {
        let process = &self.processes[of];
        process.start + self.elapsed * process.rate / 100
    }

    fn commit(&mut self, write: &Write) -> bool {
        let matches = self.stored.as_ref().map(|(version, _)| *version) == write.expects;
        if matches {
            self.store(Some(write.record.clone()));
        }
        matches
    }

    fn store(&mut self, record: Option<LeaseSpec>) {
        self.version += 1;
        self.stored = record.map(|record| (self.version, record));
    }

    fn holders(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|&i| self.processes[i].candidate.holds(self.clock(i))).collect()
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Pass(millis) => self.elapsed += Duration::from_millis(millis),
            Event::Read(i) => self.processes[i].request = Request::Read(self.stored.clone()),
            Event::Decide(i) => self.decide(i),
            Event::Commit(i) => {
                if let Request::Writing(write) = std::mem::take(&mut self.processes[i].request)
                    && self.commit(&write)
                {
                    self.processes[i].request = Request::Answered(write);
                }
            }
            Event::Hear(i) => {
                if let Request::Answered(write) = std::mem::take(&mut self.processes[i].request) {
                    self.processes[i].candidate.accepted(Some(&write.record), write.sent);
                }
            }
            Event::GiveUp(i) => {
                if let Request::Writing(write) = std::mem::take(&mut self.processes[i].request) {
                    self.late.push(write);
                }
            }
            Event::LateWrite => {
                if let Some(write) = self.late.pop() {
                    self.commit(&write);
                }
            }
            Event::Round(i) => {
                for event in [Event::Read(i), Event::Decide(i), Event::Commit(i), Event::Hear(i)] {
                    self.happen(&event);
                }
            }
            Event::Release(i) => self.release(i),
            Event::Restart(i) => {
                let candidate = self.new_candidate();
                let process = &mut self.processes[i];
                (process.candidate, process.request) = (candidate, Request::Idle);
            }
            Event::Delete => self.delete(),
            Event::Edit(holder, seconds) => {
                let mut record = self.stored.clone().map(|(_, record)| record).unwrap_or_default();
                record.holder_identity = holder.map(str::to_owned);
                record.lease_duration_seconds = seconds;
                self.store(Some(record));
            }
        }
    }

    fn decide(&mut self, i: usize) {
        let now = Now { monotonic: self.clock(i), wall: self.wall() };
        let Request::Read(found) = std::mem::take(&mut self.processes[i].request) else { return };
        let action = self.processes[i].candidate.decide(found.as_ref().map(|(_, record)| record), now);
        if let Action::Write(record) = action {
            let expects = found.map(|(version, _)| version);
            self.processes[i].request = Request::Writing(Write { record, expects, sent: now.monotonic });
        }
    }

    /// A process stops: it ends its term first, then releases the record if it held the lease.
    fn release(&mut self, i: usize) {
        self.happen(&Event::GiveUp(i));
        let holding = self.processes[i].candidate.holds(self.clock(i));
        self.happen(&Event::Restart(i));
        if let Some((_, record)) = self.stored.clone().filter(|_| holding) {
            self.store(Some(released(&record, self.wall())));
        }
    }

    /// Deletes the Lease when every process has read it and no request is in flight; only then is that safe. An absent
    /// Lease has no version: one absence cannot be distinguished from the next, nor one create in flight from another.
    fn delete(&mut self) {
        for i in 0..self.processes.len() {
            self.happen(&Event::Read(i));
            self.decide(i);
            self.processes[i].request = Request::Idle;
        }
        self.late.clear();
        self.store(None);
    }

    fn wall(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.elapsed
    }
}

/// Runs the events. Returns the maximum number of concurrent holders, and how many terms began.
fn run(simulation: &mut Simulation, events: &[Event]) -> (usize, usize) {
    let (mut most, mut terms, mut before) = (0, 0, Vec::new());
    for event in events {
        simulation.happen(event);
        let holders = simulation.holders();
        most = most.max(holders.len());
        terms += holders.iter().filter(|holder| !before.contains(*holder)).count();
        before = holders;
    }
    (most, terms)
}

/// What happens among honest processes: late and lost messages, stops, restarts.
fn honest(processes: usize) -> impl Strategy<Value = Event> {
    let who = 0..processes;
    prop_oneof![
        6 => (0_u64..4_000).prop_map(Event::Pass),
        2 => (8_000_u64..20_000).prop_map(Event::Pass),
        6 => who.clone().prop_map(Event::Round),
        3 => who.clone().prop_map(Event::Read),
        4 => who.clone().prop_map(Event::Decide),
        4 => who.clone().prop_map(Event::Commit),
        4 => who.clone().prop_map(Event::Hear),
        1 => who.clone().prop_map(Event::GiveUp),
        1 => Just(Event::LateWrite),
        1 => who.clone().prop_map(Event::Release),
        1 => who.prop_map(Event::Restart),
    ]
}

/// Adds a third party. Restarts and releases are left out: a process that never read the Lease cannot distinguish a
/// deleted one from none.
fn with_a_third_party(processes: usize) -> impl Strategy<Value = Event> {
    let honest =
        honest(processes).prop_filter("no newcomers", |event| !matches!(event, Event::Restart(_) | Event::Release(_)));
    let duration = prop_oneof![Just(None), Just(Some(-1)), Just(Some(1)), Just(Some(15)), Just(Some(3_600))];
    let holder = prop_oneof![Just("mallory"), Just("process-1"), Just("process-2")];
    prop_oneof![
        20 => honest,
        1 => Just(Event::Delete),
        1 => Just(Event::Edit(None, Some(15))),
        2 => (holder, duration).prop_map(|(holder, seconds)| Event::Edit(Some(holder), seconds)),
    ]
}

fn clocks(count: usize) -> impl Strategy<Value = Vec<(u64, u32)>> {
    // 118/82 is just under the 1.5 that the default timings allow.
    proptest::collection::vec((0_u64..1_000_000, 82_u32..=118), count)
}

proptest! {
    #[test]
    fn never_two_holders(clocks in clocks(3), events in proptest::collection::vec(honest(3), 0..120)) {
        let (most, _) = run(&mut Simulation::new(Timings::default(), &clocks), &events);
        prop_assert!(most <= 1);
    }

    #[test]
    fn never_two_holders_with_edits_by_a_third_party(
        clocks in clocks(2),
        events in proptest::collection::vec(with_a_third_party(2), 0..120),
    ) {
        let mut simulation = Simulation::new(Timings::default(), &clocks);
        // Both have read the Lease before the first edit.
        run(&mut simulation, &[Event::Round(0), Event::Round(1)]);
        let (most, _) = run(&mut simulation, &events);
        prop_assert!(most <= 1);
    }
}

/// The properties above are meaningful only if terms begin, the holder changes, and an overlap would be detected.
#[test]
fn the_simulation_begins_terms_and_detects_overlaps() {
    let hand_over = [Event::Round(0), Event::Round(1), Event::Pass(15_000), Event::Round(1)];
    let (most, terms) = run(&mut Simulation::new(Timings::default(), &[(0, 100), (900, 100)]), &hand_over);
    assert_eq!((most, terms), (1, 2));

    let too_long = Timings { renew_deadline: Duration::from_secs(20), ..Timings::default() };
    let (most, _) = run(&mut Simulation::new(too_long, &[(0, 100), (900, 100)]), &hand_over);
    assert_eq!(most, 2, "a renew deadline beyond the lease lets two hold it");

    let (most, _) = run(
        &mut Simulation::new(Timings::default(), &[(0, 70), (900, 130)]),
        &[Event::Round(0), Event::Round(1), Event::Pass(11_600), Event::Round(1)],
    );
    assert_eq!(most, 2, "a clock that is almost twice as fast is beyond what the timings allow");
}
