//! The autoscalers people use today, from their published formulas, each checked against values computed by hand.

pub mod flink;
pub mod hpa;
pub mod keda;
pub mod kpa;
