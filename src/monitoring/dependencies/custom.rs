//! Signals in PromQL of the spec.
//!
//! Each expression is embedded on lines of its own between parentheses, so that a comment at its end does not reach further.
//! Expressions that could close the parentheses are refused, see [`crate::monitoring::expression`].

use std::collections::BTreeMap;

use crate::{
    api::Custom,
    catalog::{Exporter, Parts, Sum, Window, template::Values},
};

/// The exporter for the expressions of a spec.
pub fn exporter(custom: &Custom) -> Exporter {
    let total = |template: &str| Sum::Total(template.into());
    Exporter {
        series: Vec::new(),
        terms: BTreeMap::new(),
        parts: custom.partitions.as_ref().map_or(Parts::Unknown, |_| Parts::Total("sum((@partitions))".into())),
        lag: Some(total("sum((@lag))")),
        consumed: custom.consumed.as_ref().map(|_| total("sum((@consumed))")),
        arrivals: custom.arrivals.as_ref().map(|_| total("sum((@arrivals))")),
        window: Window::AsItIs,
        records: BTreeMap::new(),
    }
}

pub(super) fn values(custom: &Custom) -> Values {
    let all = [
        ("lag", Some(&custom.lag)),
        ("partitions", custom.partitions.as_ref()),
        ("consumed", custom.consumed.as_ref()),
        ("arrivals", custom.arrivals.as_ref()),
    ];
    all.into_iter().filter_map(|(name, expr)| Some((name, format!("\n{}\n", expr?)))).collect()
}
