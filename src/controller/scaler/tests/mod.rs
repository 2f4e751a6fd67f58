//! The scaler between a metric source and the autoscaler: its decisions and status when signals are wrong, late or missing.

mod backfill;
mod faults;
mod feedback;
mod fleet;
mod matrix;
mod objects;
mod overload;
mod site;
mod source;

use crate::{
    replicas::tests::{model, serving},
    signals::fake::at,
};
