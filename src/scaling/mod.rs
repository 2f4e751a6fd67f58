//! How many replicas there should be: for a latency target ([`serving`]) and for a lag to catch up with ([`lag`]).
//!
//! Pure: no clock, no I/O. Time is `now` in seconds since any fixed point; what has to be remembered between two ticks is
//! in a history that the caller keeps, and what was learned of one replica ([`serving::Learned`], [`lag::Learned`]) is a
//! few numbers that survive a restart.
//!
//! The rules that hold everywhere:
//! - **No data is not zero.** Only [`Signal::Fresh`] values lower anything; stale ones may raise; missing ones hold.
//! - **Latency is not proportional to replicas**, so latency corrects what a replica is believed to carry
//!   ([`capacity`]), and load over that is what decides.
//! - **Headroom is bought where it pays**: a plan is chosen by what it would have cost ([`forecast`]), with one price for
//!   a second above the target, the knob [`Headroom`].
//! - **Every decision explains itself**: a [`Decision`] displays as one sentence with its inputs, what limited it, and
//!   what it would have been otherwise.

pub mod capacity;
pub mod decision;
pub mod errors;
pub mod forecast;
pub mod lag;
mod learned;
pub mod memory;
mod observed;
pub mod overload;
pub mod past;
pub mod policy;
pub mod serving;
pub mod signal;
mod steps;
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
