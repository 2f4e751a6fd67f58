//! The lease: of several replicas exactly one writes.
//!
//! A `coordination.k8s.io/v1` Lease, taken and renewed by compare-and-swap (`replace` with the `resourceVersion` that was
//! read), so that a replica which slept between its check and its write cannot renew what is no longer its own.
//!
//! - **Clocks are never compared.** A candidate measures with its own monotonic clock how long the record has not
//!   changed; the times written into the Lease are for people.
//! - **The holder fences itself**: it stops being one `renew_deadline` after it *sent* its last successful write, while
//!   others wait `lease_duration` from when they *saw* that write. The first is shorter, so the terms never overlap as
//!   long as no clock runs `lease_duration / renew_deadline` times faster than another (1.5 by default).
//! - **A slow or failing call costs nothing by itself.** Only the passed deadline ends a term, or the proof that somebody
//!   else holds the Lease.
//! - **Edited or deleted by a third party**: the holder takes its Lease back with the next renewal, unless it names another
//!   by now; a candidate that saw the Lease before treats the edit as a sign of life and waits a full `lease_duration`.
//!   Nothing helps where the traces are gone: a record that looks released (no holder, a duration of at most one second),
//!   a Lease deleted before a candidate ever saw it, or deleted while a request about it is under way.
//!
//! A whole machine that is suspended stops its monotonic clock too; it learns of its loss with its first renewal, at most
//! one `retry_period` after it wakes. Writers that cannot afford that ask [`Fence::is_valid`] *and* write conditionally.
//!
//! `candidate` is the protocol as a pure state machine, `interleavings` its property tests, `lease` the requests and the
//! renewing task.

mod candidate;
mod lease;
mod timings;

#[cfg(test)]
mod fake_server;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod lease_tests;

pub use lease::{Fence, Held, Lease, LeaseError, Loss};
pub use timings::{InvalidTimings, Timings};
