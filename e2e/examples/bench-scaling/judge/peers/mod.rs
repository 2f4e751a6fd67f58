//! Common autoscalers, implemented from their published formulas. Each is tested against values computed by hand.

pub mod flink;
pub mod hpa;
pub mod keda;
pub mod kpa;
