//! Servers that do not answer because they have too much to do.
//!
//! An overloaded server answers neither its scrapes nor its readiness probe, so the signals that would raise replicas are
//! missing just when they are needed. What is observed from outside tells overload from every other silence: above all the
//! CPU use that the kubelet measures.
//!
//! | silent | CPU use from outside, or the last one seen | assessment |
//! |---|---|---|
//! | none, or fewer than [`SILENT`] of them | any | answering |
//! | readiness probes time out, or scrapes are not answered | full | overloaded |
//! | readiness probes time out, or scrapes are not answered | not full, measured since | not the load |
//! | readiness probes time out | unknown, and requests queued up when last seen | overloaded |
//! | readiness probes or scrapes | unknown, or from before | unknown |
//! | readiness probes are answered with an error or refused | any | not the load |
//! | nothing measured: the metric source does not answer | full | overloaded |
//! | nothing measured: the metric source does not answer | not full or unknown | unknown |
//! | nothing measured, as no server is ready | any | unknown |
//!
//! CPU use counts where it has a limit: a server that may use what its node has to spare does so in normal work.
//!
//! Only "overloaded" moves anything, and only up. Where no server answers there are four times as many replicas at once: fewer
//! would be overloaded one after the other as they start. Where some answer there are as many more as are silent. It is repeated
//! once the new ones had time to start, while it lasts. There are never more than [`MOST_PER_PROVEN`] times as many as were ready
//! at the same time since the operator started, so that replicas that never start are not ordered without end. It has to
//! last [`PERSISTS_SECONDS`] first, because one scrape in a few hundred is lost anyway.

use std::fmt;

use super::observed::SILENT;
use super::signal::Signal;

/// Share of the CPU a server may use from which on it is full, 0 to 1. A server within its latency target uses less, and
/// one that is throttled at its limit shows some per cent less than all of it.
const FULL: f64 = 0.85;
/// Seconds for which a CPU use is evidence: metrics-server has a new one every 15 s, of a window of as much, and may miss
/// one.
const CPU_SECONDS: f64 = 60.0;
/// Seconds for which it counts that requests queued up when the servers were last seen.
const QUEUED_SECONDS: f64 = 60.0;
/// Seconds that an overload has to be observed before replicas are ordered for it: two ticks in a row.
const PERSISTS_SECONDS: f64 = 4.0;
/// A start-up counts as so many seconds at least: less than a tick, so that two ticks in a row may order.
const SHORTEST_STARTUP: f64 = 4.5;
/// Replicas are ordered up to so many times those that were ready once.
const MOST_PER_PROVEN: u32 = 4;
/// So many times the replicas there are, where no server answers.
const NONE_ANSWERS: u32 = 4;
/// At least so many times, where what arrives is counted in front of them: that rate is over a minute, and late.
const COUNTED: u32 = 2;
/// Share of the CPU from which on servers are full that pass their probes, where the metric source does not answer: nothing else
/// says that they are overloaded, and one that works at its limit is close to 1.
const FULL_ALONE: f64 = 0.93;

/// Why readiness probes fail, as the kubelet reports it in Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeFailure {
    /// No answer within the probe's time-out.
    TimedOut,
    /// An answer with an error, or a connection that is refused: the server says no, and does so in time.
    Answered,
}

/// The CPU use of servers as their kubelets measure it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredCpu {
    /// Share of what they may use, mean of the servers that run, 0 to 1.
    pub share: f64,
    /// Seconds since the end of the measurement.
    pub age: f64,
    /// Length of the measurement, seconds.
    pub window: f64,
}

/// What is observed of the servers without any answer of theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outside {
    /// Servers that run without a restart, were ready, and do not pass their readiness probe any more.
    pub unready: u32,
    /// Why they do not pass it; None when that is not known.
    pub probe: Option<ProbeFailure>,
    /// Servers that were ready and did not answer their last scrape.
    pub unscraped: u32,
    /// CPU use; None when it is not measured.
    pub cpu: Option<MeasuredCpu>,
    /// Whether the CPU use of a server has a limit, by which it can be full.
    pub limited: bool,
    /// Whether the metric source did not answer when it was last read: what it said before counts on for a while, and is not of
    /// now.
    pub source_failed: bool,
    /// Requests per second that arrive in front of the servers: at an ingress, a gateway, a mesh; optional.
    pub front: Signal,
}

impl Outside {
    /// Whether so many servers are silent that the others are not all there is, where `ready` ones are ready.
    pub(super) fn some_are_silent(&self, ready: u32) -> bool {
        let all = f64::from(ready.saturating_add(self.unready));
        self.silent() > 0 && f64::from(self.silent()) >= SILENT * all
    }

    /// How many servers are silent at least: one may be it in both ways.
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

/// What servers do not do any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// They do not answer their scrapes.
    Scrapes,
    /// They do not pass their readiness probes.
    Probes,
    /// Neither.
    Both,
    /// Whether they answer is not known: the metric source does not answer.
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

/// What a silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assessment {
    /// There is none.
    Answering,
    /// The servers have too much to do.
    Overloaded(Silence),
    /// Another cause, or one that is not known: no reason for more replicas.
    NotKnown,
}

/// What is known of the replicas that an overload needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    /// So many for the requests that are counted in front of the servers.
    Counted(u32),
    /// So many more than there are: as many are silent, and others answer.
    More(u32),
    /// Many more than there are: no server answers.
    NoneAnswers,
}

/// What was last seen while the servers still answered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct LastSeen {
    /// When their CPU use was full, and until when requests queued up; seconds on the clock of decisions.
    pub full: Option<f64>,
    pub queued: Option<f64>,
}

/// What is remembered of a silence.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Overload {
    /// Since when some servers are silent, and when that was last an overload.
    silent_since: Option<f64>,
    overloaded_at: Option<f64>,
    /// The most replicas that were ready once.
    proven: u32,
    /// When replicas were last ordered for it, and how many.
    stepped: Option<(f64, u32)>,
    /// What was seen while they still answered.
    pub last_seen: LastSeen,
}

impl Overload {
    /// Takes over what is seen of servers that answer, `ready` of them; `cpu`: their CPU use, if it has a limit.
    pub fn seen(&mut self, ready: u32, cpu: Option<f64>, waiting: f64, now: f64) {
        self.proven = self.proven.max(ready);
        self.last_seen.full = match cpu {
            Some(cpu) => (cpu >= FULL).then_some(now),
            None => self.last_seen.full,
        };
        self.last_seen.queued = if waiting > 0.0 { Some(now) } else { self.last_seen.queued };
    }

    /// Assesses what is observed at `now`. `ready`: servers that are ready; `measured`: whether there is a fresh sample of
    /// some of them.
    pub fn assess(&mut self, outside: &Outside, ready: u32, measured: bool, now: f64) -> Assessment {
        let silence = match (outside.unready > 0, outside.unscraped > 0) {
            _ if measured && !outside.some_are_silent(ready) => {
                self.silent_since = None;
                return Assessment::Answering;
            }
            (true, true) => Silence::Both,
            (true, false) => Silence::Probes,
            (false, true) => Silence::Scrapes,
            (false, false) if ready > 0 => Silence::Source,
            (false, false) => return Assessment::NotKnown,
        };
        let silent_since = *self.silent_since.get_or_insert(now);
        let within = |at: Option<f64>, seconds: f64| at.is_some_and(|at| now - at <= seconds);
        let cpu = outside.cpu.filter(MeasuredCpu::is_fresh);
        let is_alone = silence == Silence::Source;
        let full = match cpu {
            // Servers that pass their probes are silent since the source is: only what was measured since then counts.
            Some(cpu) if is_alone => Some(cpu.share >= FULL_ALONE && now - cpu.age >= silent_since + PERSISTS_SECONDS),
            None if is_alone => None,
            Some(cpu) if cpu.share >= FULL => Some(true),
            Some(cpu) if now - cpu.age - cpu.window >= silent_since => Some(false),
            _ if within(self.last_seen.full, CPU_SECONDS) => Some(true),
            _ => None,
        };
        let queued = within(self.last_seen.queued, QUEUED_SECONDS);
        let timed_out = outside.unready > 0 && outside.probe == Some(ProbeFailure::TimedOut);
        // Of servers that are ready again it does not matter why their probes failed.
        let refused = outside.unready > 0 && outside.probe == Some(ProbeFailure::Answered);
        let overloaded = !refused && (full == Some(true) || full.is_none() && timed_out && queued);
        if !overloaded {
            return Assessment::NotKnown;
        }
        self.overloaded_at = Some(now);
        Assessment::Overloaded(silence)
    }

    /// Whether there was an overload within `seconds` before `now`: what is measured then is of the servers that were left.
    pub fn is_recent(&self, seconds: f64, now: f64) -> bool {
        self.overloaded_at.is_some_and(|at| now - at <= seconds)
    }

    /// Replicas for an overload at `now`: never fewer than `current`. `started`: those that started and were ready once, among
    /// those there are; `needed`: what to order, see [`Needed`]; `startup`: seconds until what is ordered is ready.
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
        // What was ordered stays wanted while it starts, also where it is not acted on or comes in smaller steps.
        if let Some((_, ordered)) = self.stepped.filter(|(at, _)| (0.0..pause).contains(&(now - at))) {
            return ordered.max(current);
        }
        let replicas = needed.min(proven.max(1).saturating_mul(MOST_PER_PROVEN)).max(current);
        if replicas > current {
            self.stepped = Some((now, replicas));
        }
        replicas
    }
}

#[cfg(test)]
#[path = "overload_tests.rs"]
mod tests;
