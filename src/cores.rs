//! Amounts of resources of containers: quantities as numbers, CPU limits and requests in cores, and memory limits.

use crate::api::Resources;

/// The CPU limit, or else the request, in cores. None when neither is set to a valid quantity above zero.
pub fn allowed(resources: Option<&Resources>) -> Option<f64> {
    limit(resources).or_else(|| parse(&resources?.requests.get("cpu")?.0))
}

/// The CPU limit, in cores. None when it is not set to a valid quantity above zero.
pub fn limit(resources: Option<&Resources>) -> Option<f64> {
    parse(&resources?.limits.get("cpu")?.0)
}

/// The CPU request, in cores. Kubernetes sets one that is missing to the limit. None when neither is set to a valid quantity above zero.
pub fn requested(resources: Option<&Resources>) -> Option<f64> {
    resources?.requests.get("cpu").and_then(|cpu| parse(&cpu.0)).or_else(|| limit(resources))
}

/// The memory request, in bytes, as that of CPU.
pub fn memory_requested(resources: Option<&Resources>) -> Option<f64> {
    resources?.requests.get("memory").and_then(|memory| parse(&memory.0)).or_else(|| memory_limit(resources))
}

/// The memory limit, in bytes. None when it is not set to a valid quantity above zero.
pub fn memory_limit(resources: Option<&Resources>) -> Option<f64> {
    parse(&resources?.limits.get("memory")?.0)
}

/// Parses a Kubernetes quantity. None when it is invalid or not above zero.
pub fn parse(quantity: &str) -> Option<f64> {
    amount(quantity).filter(|value| *value > 0.0)
}

/// Parses a Kubernetes quantity. None when it is invalid or negative.
pub fn amount(quantity: &str) -> Option<f64> {
    let end = quantity.find(|c: char| !c.is_ascii_digit() && !"+.".contains(c)).unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(end);
    let factor: f64 = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent => 10_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let value = number.parse::<f64>().ok()? * factor;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (quantity, cores) in [
            ("2", 2.0),
            ("1.5", 1.5),
            (".5", 0.5),
            ("1.", 1.0),
            ("+3", 3.0),
            ("500m", 0.5),
            ("100u", 1e-4),
            ("250000000n", 0.25),
            ("1k", 1000.0),
            ("1e3", 1000.0),
            ("5E-1", 0.5),
            ("1E", 1e18),
            ("1Ki", 1024.0),
        ] {
            let parsed = parse(quantity).expect(quantity);
            assert!((parsed / cores - 1.0).abs() < 1e-12, "{quantity} is {parsed}");
        }
        for quantity in
            ["", "0", "0m", "m", "-1", "1x", "1mm", "e3", "1e", "1e9999999999", "nan", "inf", "1.2.3", "++1"]
        {
            assert_eq!(parse(quantity), None, "{quantity}");
        }
        assert_eq!(["0", "0m", "-1", "1x"].map(amount), [Some(0.0), Some(0.0), None, None]);
    }

    #[test]
    fn the_limit_takes_precedence_over_the_request() {
        let cpu = |value: &str| BTreeMap::from([("cpu".to_owned(), Quantity(value.into()))]);
        let of = |requests, limits| allowed(Some(&Resources { requests, limits }));
        assert_eq!(of(cpu("500m"), cpu("2")), Some(2.0));
        assert_eq!(of(cpu("500m"), BTreeMap::new()), Some(0.5));
        assert_eq!(of(cpu("500m"), cpu("0")), Some(0.5), "a limit of 0 counts as not set");
        assert_eq!(of(BTreeMap::new(), BTreeMap::new()), None);
        assert_eq!(limit(Some(&Resources { requests: cpu("1"), limits: cpu("2") })), Some(2.0));
        assert_eq!(limit(Some(&Resources { requests: cpu("1"), limits: BTreeMap::new() })), None);
        assert_eq!(allowed(None), None);
    }

    #[test]
    fn a_request_that_is_missing_is_the_limit() {
        let of = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), Quantity(value.into()))]);
        let cpu = |requests, limits| requested(Some(&Resources { requests, limits }));
        assert_eq!(cpu(of("cpu", "500m"), of("cpu", "2")), Some(0.5));
        assert_eq!(cpu(of("memory", "1Gi"), of("cpu", "2")), Some(2.0));
        assert_eq!(cpu(BTreeMap::new(), BTreeMap::new()), None);
        let memory = |requests, limits| memory_requested(Some(&Resources { requests, limits }));
        assert_eq!(memory(of("memory", "1Ki"), of("memory", "2Ki")), Some(1024.0));
        assert_eq!(memory(BTreeMap::new(), of("memory", "2Ki")), Some(2048.0));
        assert_eq!([requested(None), memory_requested(None)], [None, None]);
    }
}
