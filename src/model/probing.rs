//! What the schema cannot check of `spec.monitoring.probe`: whether a blackbox exporter can be reached, and request what is written.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{FieldPath, InvalidField};
use crate::api::Monitoring;

/// Longest name of a host, and of a part of it, in characters: those of DNS.
const HOST_MAX: usize = 253;
const PART_MAX: usize = 63;

/// What is wrong with the addresses.
pub(super) fn problems(monitoring: Option<&Monitoring>) -> Vec<InvalidField> {
    let Some(probe) = monitoring.and_then(|monitoring| monitoring.probe.as_ref()) else { return Vec::new() };
    let path = FieldPath::spec().field("monitoring.probe");
    let prober = address(&probe.prober).map(|why| {
        path.field("prober").problem(format!("{why}: write host:port, as in blackbox-exporter.monitoring:9115"))
    });
    let url = probe.url.as_deref().and_then(unusable).map(|why| path.field("url").problem(why));
    prober.into_iter().chain(url).collect()
}

/// Why a URL cannot be requested, and what to write instead.
fn unusable(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Some(
            "a user or password in a URL ends in clear text in labels of series: write basic_auth in a module of the exporter's \
             configuration, name that in module, and remove all up to the @"
                .into(),
        );
    }
    let digits = path.split('%').skip(1).map(|after| after.as_bytes().get(..2).unwrap_or_default());
    let is_escaped = |digits: &[u8]| digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit);
    if let Some(wrong) = digits.filter(|digits| !is_escaped(digits)).map(String::from_utf8_lossy).next() {
        return Some(format!("%{wrong} is no escaped character: write %25 for a per cent sign"));
    }
    address(authority).map(|why| format!("{why}: write a URL such as https://shop.example.org/health"))
}

/// What is wrong with a host and an optional port.
fn address(authority: &str) -> Option<String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => match (port.is_empty(), port.strip_prefix(':')) {
            (false, None) => return Some(format!("{port:?} after an IPv6 address is no port")),
            (_, port) => (None, port),
        },
        Some((host, _)) => return Some(format!("{host:?} is no IPv6 address")),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
    };
    let host = host.filter(|host| !is_host(host)).map(|host| format!("{host:?} is no name of a host"));
    let is_port =
        |port: &str| port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let port = || port.filter(|port| !is_port(port)).map(|port| format!("{port:?} is no port from 1 to 65535"));
    host.or_else(port)
}

/// Whether a name may be one of DNS, or is an IPv4 address. Names of Services and of containers have underscores in some clusters.
fn is_host(host: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= PART_MAX
            && part.chars().all(is_inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_numeric = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    host.len() <= HOST_MAX && name.split('.').all(is_part) && (!is_numeric || name.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(prober: &str, url: &str) -> Vec<String> {
        let text =
            format!("{{metrics: {{profile: FastApiInstrumentator}}, probe: {{prober: {prober:?}, url: {url:?}}}}}");
        let monitoring: Monitoring = serde_saphyr::from_str(&text).expect("a monitoring");
        problems(Some(&monitoring)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_can_be_requested_is_taken() {
        for prober in ["blackbox-exporter.monitoring:9115", "10.0.0.1:65535", "localhost:1"] {
            assert_eq!(messages(prober, "https://shop.example.org/health"), [""; 0], "{prober}");
        }
        for url in [
            "http://10.0.0.1",
            "http://[::1]:8080/a@b?c=%20d#e",
            "https://shop.example.org:8443?to=a@b",
            "http://my_host./",
        ] {
            assert_eq!(messages("b:1", url), [""; 0], "{url}");
        }
    }

    #[test]
    fn what_can_never_be_requested_is_refused_with_what_to_write_instead() {
        let cases = [
            ("b:65536", "\"65536\" is no port from 1 to 65535"),
            ("b:0", "\"0\" is no port from 1 to 65535"),
            ("a..b:80", "\"a..b\" is no name of a host"),
            ("-:80", "\"-\" is no name of a host"),
            ("999.1.1.1:80", "\"999.1.1.1\" is no name of a host"),
        ];
        for (prober, why) in cases {
            let expected = format!(
                "spec.monitoring.probe.prober: {why}: write host:port, as in blackbox-exporter.monitoring:9115"
            );
            assert_eq!(messages(prober, "http://a"), [expected]);
        }
        let such_as = ": write a URL such as https://shop.example.org/health";
        let cases = [
            ("https://:443/", format!("\"\" is no name of a host{such_as}")),
            ("https://a:b/", format!("\"b\" is no port from 1 to 65535{such_as}")),
            ("https://a:70000", format!("\"70000\" is no port from 1 to 65535{such_as}")),
            ("https://a,b/", format!("\"a,b\" is no name of a host{such_as}")),
            ("http://[::g]/", format!("\"::g\" is no IPv6 address{such_as}")),
            ("http://[::1]80/", format!("\"80\" after an IPv6 address is no port{such_as}")),
            ("http://a/%zz", "%zz is no escaped character: write %25 for a per cent sign".into()),
            (
                "https://me:secret@shop.example.org/",
                "a user or password in a URL ends in clear text in labels of series: write basic_auth in a module of the exporter's \
                 configuration, name that in module, and remove all up to the @"
                    .into(),
            ),
        ];
        for (url, why) in cases {
            assert_eq!(messages("b:1", url), [format!("spec.monitoring.probe.url: {why}")]);
        }
    }
}
