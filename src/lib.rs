//! Kubernetes operator for recommenders: one `RecommenderModel` is reconciled into the objects that train, serve and
//! monitor it.
//!
//! ```text
//! reconcile: RecommenderModel -> model (validated) -> observe -> decide -> render -> apply -> report (status, Events)
//!                                                        |  ^
//!                                       what is observed |  | what is decided on replicas; a change enqueues the object
//!                                                        v  |
//! tick:      metric source -> signals (read, published) -> decide (replicas)
//! ```
//!
//! Decisions are pure: [`training`] what to train, [`promotion`] what serves, `replicas` how many. A decision that depends on
//! signals reads those that were published last; none of them queries a source.

pub mod api;
pub mod apply;
pub mod budgets;
pub mod burns;
pub mod catalog;
pub mod causes;
pub mod child;
pub mod cli;
pub mod controller;
mod cores;
pub mod feedback;
pub mod health;
pub mod kinds;
pub mod leader;
pub mod limits;
pub mod model;
pub mod monitoring;
pub mod names;
pub mod observe;
pub mod observed;
pub mod progress;
pub mod promotion;
pub mod pruning;
pub mod readiness;
pub mod render;
mod replicas;
pub mod scaling;
pub mod series;
pub mod signals;
pub mod status;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod training;
pub mod triggers;
pub mod validate;
pub mod version_file;
