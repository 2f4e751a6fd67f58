//! Kubernetes operator for recommenders: one `RecommenderModel` is reconciled into the objects that train, serve and
//! monitor it.
//!
//! ```text
//! RecommenderModel -> model (validated) -> decide -> render -> apply -> status -> write
//! ```

pub mod api;
pub mod apply;
pub mod cli;
pub mod controller;
mod cores;
pub mod kinds;
pub mod leader;
pub mod model;
pub mod monitoring;
pub mod observe;
pub mod promotion;
pub mod render;
pub mod scaling;
pub mod series;
pub mod signals;
pub mod status;
pub mod telemetry;
pub mod training;
pub mod validate;
