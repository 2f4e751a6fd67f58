//! Servers that do not answer because they are overloaded.
//!
//! An overloaded server answers neither its scrapes nor its readiness probe. So the signals that would raise the replicas
//! are missing just when they are needed. Observations from outside distinguish an overload from other causes of silence,
//! above all the CPU use that the kubelet measures.
//!
//! | silent | CPU use from outside, else the last measured one | assessment |
//! |---|---|---|
//! | none, or fewer than [`SILENT`] of them | any | answering |
//! | readiness probes time out, or scrapes are not answered | full | overloaded |
//! | readiness probes time out, or scrapes are not answered | not full, measured since | not the load |
//! | readiness probes time out | unknown, and requests queued up when last measured | overloaded |
//! | readiness probes or scrapes | unknown, or measured before | unknown |
//! | readiness probes are answered with an error or refused | any | not the load |
//! | nothing measured: the metric source does not answer | full | overloaded |
//! | nothing measured: the metric source does not answer | not full or unknown | unknown |
//! | nothing measured, as no server is ready | any | unknown |
//!
//! CPU use counts only where it has a limit. A server without a limit may use the spare CPU of its node in normal work.
//!
//! Only the assessment "overloaded" changes the replicas, and only raises them:
//! - No server answers: the replicas are multiplied by [`NONE_ANSWERS`] at once. With fewer, each new replica would be
//!   overloaded as it starts.
//! - Some servers answer: as many replicas are added as servers are silent.
//! - While the overload lasts, this is repeated whenever the new replicas had time to start.
//! - The limit is [`MOST_PER_PROVEN`] times the most replicas that were ready at the same time since the operator started.
//!   So replicas that never start are not ordered without end.
//! - An overload has to last [`PERSISTS_SECONDS`] first, because one scrape in a few hundred is lost anyway.

use std::fmt;

use super::signal::Signal;

/// Share of silent servers from which on the signals of the others are not the whole load. Below it, one server of many
/// that hangs must not prevent a scale-down for as long as it hangs.
const SILENT: f64 = 0.1;
/// CPU use, as a share of the limit, from which on a server is full, 0 to 1. A server within its latency target uses less.
/// One that is throttled at its limit shows a few per cent less than 1.
const FULL: f64 = 0.85;
/// Seconds for which a CPU measurement is evidence. metrics-server measures every 15 s over a window of 15 s, and may miss
/// one measurement.
const CPU_SECONDS: f64 = 60.0;
/// Seconds for which queued requests count after the servers were last measured.
const QUEUED_SECONDS: f64 = 60.0;
/// Seconds for which an overload has to last before replicas are ordered for it: two ticks in a row.
const PERSISTS_SECONDS: f64 = 4.0;
/// Shortest pause between two orders, seconds: less than a tick, so that two ticks in a row may order.
const SHORTEST_STARTUP: f64 = 4.5;
/// Largest factor of the most replicas that were ready at the same time.
const MOST_PER_PROVEN: u32 = 4;
/// Factor of the current replicas where no server answers.
const NONE_ANSWERS: u32 = 4;
/// Smallest factor of the current replicas where requests are counted in front of the servers. That rate is a mean over a
/// minute, and late.
const COUNTED: u32 = 2;
/// CPU use, as a share of the limit, from which on servers are full while only the metric source is silent, 0 to 1. It is
/// higher than [`FULL`] because no other sign of an overload exists, and a server at its limit is close to 1.
const FULL_ALONE: f64 = 0.93;

/// Why readiness probes fail, as the kubelet reports it in Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeFailure {
    /// No answer within the timeout of the probe.
    TimedOut,
    /// An answer with an error, or a refused connection: the server responds in time.
    Answered,
}

/// The CPU use of servers as measured by their kubelets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredCpu {
    /// Mean CPU use of the running servers, as a share of what each may use, 0 to 1.
    pub share: f64,
    /// Seconds since the end of the measurement.
    pub age: f64,
    /// Length of the measurement, seconds.
    pub window: f64,
}

/// What is observed of the servers from outside, without an answer of theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outside {
    /// Servers that run without a restart, were ready, and do not pass their readiness probe any more.
    pub unready: u32,
    /// Why their probes fail; None when unknown.
    pub probe: Option<ProbeFailure>,
    /// Servers that were ready and did not answer their last scrape.
    pub unscraped: u32,
    /// CPU use; None when it is not measured.
    pub cpu: Option<MeasuredCpu>,
    /// Whether the servers have a CPU limit. Only then can they be full.
    pub limited: bool,
    /// Whether the last read of the metric source failed. Its earlier samples count as fresh for a while, but do not show the current
    /// load.
    pub source_failed: bool,
    /// Requests per second that arrive in front of the servers, at an ingress, gateway or mesh; optional.
    pub front: Signal,
}

impl Outside {
    /// Whether so many servers are silent that the signals of the others are not the whole load. `ready`: ready servers.
    pub(super) fn some_are_silent(&self, ready: u32) -> bool {
        let all = f64::from(ready.saturating_add(self.unready));
        self.silent() > 0 && f64::from(self.silent()) >= SILENT * all
    }

    /// Silent servers, at least: one server may be both unready and not scraped.
    pub(super) fn silent(&self) -> u32 {
        self.unready.max(self.unscraped)
    }
}

impl MeasuredCpu {
    /// Whether the measurement is recent enough to be evidence.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.age <= CPU_SECONDS
    }
}

impl Default for Outside {
    fn default() -> Self {
        let front = Signal::Missing("no front is named");
        Self { unready: 0, probe: None, unscraped: 0, cpu: None, limited: true, source_failed: false, front }
    }
}

/// What servers do not answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Scrapes.
    Scrapes,
    /// Readiness probes.
    Probes,
    /// Scrapes and readiness probes.
    Both,
    /// Unknown, because the metric source does not answer.
    Source,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scrapes => "the servers do not answer their scrapes while they use all of their CPU",
            Self::Probes => "the servers do not answer their readiness probes while they use all of their CPU",
            Self::Both => {
                "the servers answer neither their scrapes nor their readiness probes while they use all of their CPU"
            }
            Self::Source => "the metric source does not answer while the servers use all of their CPU",
        })
    }
}

/// The assessment of a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assessment {
    /// No silence.
    Answering,
    /// The servers are overloaded.
    Overloaded(Silence),
    /// Another cause, or an unknown one: no reason for more replicas.
    NotKnown,
}

/// The replicas that an overload needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// This many, for the requests that are counted in front of the servers.
    Counted(u32),
    /// This many more than the current ones: as many servers are silent, and others answer.
    More(u32),
    /// [`NONE_ANSWERS`] times the current ones: no server answers.
    NoneAnswers,
}

/// The last measurement while the servers still answered. Times are seconds on the clock of decisions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct LastMeasured {
    /// When the CPU use was last measured, if it was full.
    pub full: Option<f64>,
    /// When requests last queued up.
    pub queued: Option<f64>,
}

/// The state of a silence between ticks. Times are seconds on the clock of decisions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Overload {
    /// Since when some servers are silent.
    silent_since: Option<f64>,
    /// When the assessment was last an overload.
    overloaded_at: Option<f64>,
    /// The most replicas that were ready at the same time.
    proven: u32,
    /// The last order for an overload.
    ordered: Option<Order>,
    /// The last measurement while the servers still answered.
    pub last_measured: LastMeasured,
}

/// An order of replicas for an overload.
#[derive(Debug, Clone, Copy)]
struct Order {
    /// When it was made, and when its replicas had time to start; seconds on the clock of decisions.
    at: f64,
    until: f64,
    replicas: u32,
}

impl Overload {
    /// Records a measurement of servers that answer. `ready`: ready servers; `cpu`: their CPU use, if it has a limit;
    /// `waiting`: waiting requests.
    pub fn observed(&mut self, ready: u32, cpu: Option<f64>, waiting: f64, now: f64) {
        self.proven = self.proven.max(ready);
        self.last_measured.full = match cpu {
            Some(cpu) => (cpu >= FULL).then_some(now),
            None => self.last_measured.full,
        };
        self.last_measured.queued = if waiting > 0.0 { Some(now) } else { self.last_measured.queued };
    }

    /// Assesses the observations at `now`. `ready`: ready servers; `measured`: whether a fresh sample of some of them exists.
    pub fn assess(&mut self, outside: &Outside, ready: u32, measured: bool, now: f64) -> Assessment {
        let silence = match (outside.unready > 0, outside.unscraped > 0) {
            _ if measured && !outside.some_are_silent(ready) => {
                self.silent_since = None;
                return Assessment::Answering;
            }
            // One of many that hangs says nothing of the others, of which only the source would.
            _ if ready > 0 && !outside.some_are_silent(ready) => Silence::Source,
            (true, true) => Silence::Both,
            (true, false) => Silence::Probes,
            (false, true) => Silence::Scrapes,
            (false, false) => return Assessment::NotKnown,
        };
        let silent_since = *self.silent_since.get_or_insert(now);
        let within = |at: Option<f64>, seconds: f64| at.is_some_and(|at| now - at <= seconds);
        let cpu = outside.cpu.filter(MeasuredCpu::is_fresh);
        let is_alone = silence == Silence::Source;
        let full = match cpu {
            // The servers pass their probes and only the source is silent: only a measurement since then counts.
            // After an order, only one that begins when what was ordered had time to start.
            Some(cpu) if is_alone => Some(
                cpu.share >= FULL_ALONE
                    && now - cpu.age >= silent_since + PERSISTS_SECONDS
                    && self.ordered.is_none_or(|of| now <= of.until || now - cpu.age - cpu.window >= of.until),
            ),
            None if is_alone => None,
            Some(cpu) if cpu.share >= FULL => Some(true),
            Some(cpu) if now - cpu.age - cpu.window >= silent_since => Some(false),
            _ if within(self.last_measured.full, CPU_SECONDS) => Some(true),
            _ => None,
        };
        let queued = within(self.last_measured.queued, QUEUED_SECONDS);
        let timed_out = outside.unready > 0 && outside.probe == Some(ProbeFailure::TimedOut);
        // Why the probes failed does not matter once the servers are ready again.
        let refused = outside.unready > 0 && outside.probe == Some(ProbeFailure::Answered);
        let overloaded = !refused && (full == Some(true) || full.is_none() && timed_out && queued);
        if !overloaded {
            return Assessment::NotKnown;
        }
        self.overloaded_at = Some(now);
        Assessment::Overloaded(silence)
    }

    /// Whether an overload was assessed within `seconds` before `now`. The signals may then be only those of the servers that
    /// were left.
    pub fn is_recent(&self, seconds: f64, now: f64) -> bool {
        self.overloaded_at.is_some_and(|at| now - at <= seconds)
    }

    /// Replicas for an overload at `now`, never fewer than `current`. `started`: those of the current replicas that have been
    /// ready; `needed`: what to order; `startup`: seconds until an ordered replica is ready.
    pub fn step(&mut self, current: u32, started: u32, needed: Needed, startup: f64, now: f64) -> u32 {
        let proven = self.proven.max(started);
        let lasts = self.silent_since.is_some_and(|since| now - since >= PERSISTS_SECONDS);
        let lasts = lasts && self.overloaded_at.is_some_and(|at| at >= now);
        let times = |factor: u32| current.max(1).saturating_mul(factor);
        let needed = match needed {
            Needed::Counted(demand) => demand.max(times(COUNTED)),
            Needed::More(more) => current.saturating_add(more),
            Needed::NoneAnswers => times(NONE_ANSWERS),
        };
        let pause = startup.max(SHORTEST_STARTUP);
        if !lasts {
            return current;
        }
        // An order stays desired for a start-up, also where it is not followed or only in smaller steps.
        if let Some(order) = self.ordered.filter(|order| (0.0..pause).contains(&(now - order.at))) {
            return order.replicas.max(current);
        }
        let replicas = needed.min(proven.max(1).saturating_mul(MOST_PER_PROVEN)).max(current);
        if replicas > current {
            self.ordered = Some(Order { at: now, until: now + pause, replicas });
        }
        replicas
    }
}

#[cfg(test)]
#[path = "overload_tests.rs"]
mod tests;
