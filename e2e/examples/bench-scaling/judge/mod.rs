//! The evaluation of the scaling decision: a simulated service and a simulated partitioned log. The `decide` functions
//! of this project run on them beside common autoscalers ([`peers`]) and an optimum that knows the future
//! ([`run::Clairvoyant`]).
//!
//! The modules document what is simulated: [`world`], [`fleet`] and [`queue`] pods, start-up, warm-up, balancing and
//! latency; [`cohort`] overload (backlog, clients that give up, failed probes and scrapes); [`telemetry`] scrapes,
//! windows, noise and gaps; [`trace`] and [`crowd`] loads; [`log`] workers of a partitioned log. [`suite`] runs all
//! combinations of service times, start-ups, variants and seeds. [`front`] compares at equal replica-hours.
//!
//! Usage: `cargo bench-scaling --help`.

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
