//! The lease: of several replicas exactly one writes.
//!
//! A `coordination.k8s.io/v1` Lease, taken and renewed by compare-and-swap (`replace` with the `resourceVersion` that was
//! read), so that a replica that was suspended between its check and its write cannot renew a lease it no longer holds.
//!
//! - **Clocks are never compared.** A candidate measures with its own monotonic clock how long the record has not
//!   changed; the times written into the Lease are for people.
//! - **The holder fences itself**: its term ends `renew_deadline` after it *sent* its last successful write. Other
//!   candidates wait `lease_duration` from when they *observed* that write. The first is shorter, so the terms never overlap
//!   as long as no clock runs `lease_duration / renew_deadline` times faster than another (1.5 by default).
//! - **A slow or failing call does not end a term.** Only the passed deadline does, or the proof that another candidate holds
//!   the Lease.
//! - **Edited or deleted by a third party**: the holder restores its Lease with the next renewal, unless it names another
//!   holder by now. A candidate that has read the Lease before treats the edit as a renewal and waits a full
//!   `lease_duration`. There is no protection when the traces are gone: a record that looks released (no holder, a duration
//!   of at most one second), a Lease deleted before a candidate ever read it, or deleted while a request for it is in flight.
//!
//! A machine that is suspended stops its monotonic clock too. The process detects the loss with its first renewal, at most
//! one `retry_period` after the machine wakes. Writers that cannot tolerate that check [`Fence::is_valid`] *and* write
//! conditionally.
//!
//! `candidate` is the protocol as a pure state machine, `interleavings` its property tests, `lease` the requests and the
//! renewal task, `fence` what the code that writes sees of it.

mod candidate;
mod fence;
mod lease;
mod timings;

#[cfg(test)]
mod fake_server;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod lease_tests;

pub use fence::{Fence, Loss};
pub use lease::{Held, Lease, LeaseError};
pub use timings::{InvalidTimings, Timings};
