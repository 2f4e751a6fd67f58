//! Computes the number of replicas for a latency target ([`serving`]) and for a consumer lag ([`lag`]).
//!
//! Pure functions: no clock, no I/O. Time is `now`, in seconds since any fixed point. The caller keeps the state between two
//! ticks, a `History`. The estimates of one replica ([`serving::Learned`], [`lag::Learned`]) are a few numbers that are kept
//! over restarts.
//!
//! Rules for all signals:
//! - **No data is not zero.** Only [`Signal::Fresh`] values lower the replicas. Stale values may raise them. Missing values
//!   keep them.
//! - **Latency is not proportional to replicas.** The latency corrects the estimated capacity of a replica ([`capacity`]),
//!   and load over capacity gives the replicas.
//! - **Headroom is added where it pays.** A plan is chosen by what it would have cost ([`forecast`]). One second above the
//!   target has the same price everywhere, set by [`Headroom`].
//! - **Every decision explains itself.** A [`Decision`] displays as one sentence with its reason, its inputs and the
//!   unclamped replicas.

pub mod capacity;
pub mod decision;
pub mod errors;
pub mod forecast;
mod guard;
pub mod lag;
mod learned;
pub mod memory;
mod observed;
pub mod overload;
pub mod past;
pub mod policy;
mod recent;
mod removal;
pub mod serving;
pub mod signal;
mod steps;
mod target;
pub mod throughput;

#[cfg(test)]
mod overload_promises;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod toy;

pub use decision::{Decision, Limit, combine};
pub use policy::{Behavior, Bounds, Common, Direction, Headroom, Select, StepKind, StepPolicy};
pub use signal::Signal;
