//! The judge of the scaling decision: a simulated service and a simulated log, on which this project's own `decide` runs
//! beside the autoscalers people use today ([`peers`]) and somebody who knows the future ([`run::Clairvoyant`]).
//!
//! What is simulated is said where it is: [`world`], [`fleet`] and [`queue`] for pods, start-up, warm-up, balancing and
//! latency, [`cohort`] for overload (what waits, who gives up, probes and scrapes that fail), [`telemetry`] for scrapes,
//! windows, noise and gaps, [`trace`] and [`crowd`] for loads, [`log`] for workers of a partitioned log.
//! [`suite`] runs everything over service times, start-ups, variants and seeds; [`front`] compares at equal replica-hours.
//!
//! `cargo bench-scaling --help` says how to run it.

pub mod cohort;
pub mod crowd;
pub mod fleet;
pub mod front;
pub mod log;
pub mod ours;
pub mod peers;
pub mod plot;
pub mod queue;
pub mod rng;
pub mod run;
pub mod suite;
pub mod telemetry;
pub mod trace;
pub mod world;
