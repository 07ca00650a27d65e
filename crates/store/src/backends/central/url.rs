//! `https://central:7443`: a host and a port, and nothing else. Who is there is known by its key, so there is nothing to say about trust.

use std::fmt;
use std::net::Ipv6Addr;

use crate::error::StoreError;

/// Where no port is given: that of `https`.
const PORT_DEFAULT: u16 = 443;
/// Longest name of a host, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// Where a node serves its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentralUrl {
    /// A name or an address, without brackets.
    pub(super) host: String,
    /// TCP.
    pub(super) port: u16,
}

impl CentralUrl {
    /// Reads what follows `https:`.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("write https://host:7443, with two slashes")?;
        let (place, option) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains('@') || !option.is_empty() {
            return Err("it takes no user, password or options: the node proves who it is by its own key".into());
        }
        if place.contains(['/', '#']) {
            return Err("it has a path; write https://host:7443 and nothing behind it".into());
        }
        let (host, port) = split(place)?;
        let port = match port {
            None => PORT_DEFAULT,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("its port is not a number from 1 to 65535")?,
        };
        Ok(Self { host: checked(host)?, port })
    }

    /// A store behind another node is made there.
    pub(crate) fn cannot_be_made(&self) -> StoreError {
        StoreError::NeedsOperator {
            what: format!("the store at {self} is another node's, and made there"),
            remedy: "run `certfleet init` on the node that serves it, whose `[node.\"…\"]` table has `serve` and a `store` of its own"
                .into(),
        }
    }

    /// Nobody gets in without a key.
    pub(super) fn needs_credentials(&self) -> StoreError {
        StoreError::NeedsOperator {
            what: format!("{self} asks for a node's key, and this machine has none"),
            remedy: "join the fleet first: `certfleet join TOKEN`".into(),
        }
    }
}

fn split(place: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, behind) = rest.split_once(']').ok_or("the bracket of its IPv6 address is not closed")?;
        let port = behind.strip_prefix(':');
        return match behind.is_empty() || port.is_some() {
            true if host.parse::<Ipv6Addr>().is_ok() => Ok((host, port)),
            _ => Err("what stands in its brackets is not an IPv6 address and perhaps a port".into()),
        };
    }
    let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
    if port.is_some_and(|port| port.contains(':')) {
        return Err("write an IPv6 address in brackets: https://[2001:db8::1]:7443".into());
    }
    Ok((host, port))
}

fn checked(host: &str) -> Result<String, String> {
    let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':'));
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !is_name {
        return Err("it names no host; write https://host:7443".into());
    }
    Ok(host.to_owned())
}

impl fmt::Display for CentralUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (url, shown) in [
            ("//central:7443", "central:7443"),
            ("//central.example.com", "central.example.com:443"),
            ("//192.0.2.1:7443/", "192.0.2.1:7443"),
            ("//[2001:db8::1]:7443", "[2001:db8::1]:7443"),
            ("//[::1]", "[::1]:443"),
        ] {
            assert_eq!(CentralUrl::parse(url).map(|url| url.to_string()), Ok(shown.to_owned()), "{url}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_to_write() {
        for (url, word) in [
            ("central:7443", "two slashes"),
            ("//", "names no host"),
            ("//me:secret@central:7443", "no user"),
            ("//central:7443?ca=x", "options"),
            ("//central:7443/store", "path"),
            ("//central:7443#x", "path"),
            ("//central:0", "port"),
            ("//central:70000", "port"),
            ("//central:", "port"),
            ("//2001:db8::1", "brackets"),
            ("//[2001:db8::1", "closed"),
            ("//[central]:1", "IPv6"),
            ("//cen tral", "host"),
        ] {
            let why = CentralUrl::parse(url).expect_err(url);
            assert!(why.contains(word), "{url}: {why}");
        }
    }
}
