//! The `Host` of a request (RFC 9110 section 7.2), parsed into a name that can be looked up and printed anywhere.
//!
//! Always holds: the name is lower case, without port, brackets and trailing dot, and has only letters, digits, `.`, `-`, `_` and, for IPv6,
//! `:`. So it can hold no CR, LF, `/` or `@`.

use std::net::{Ipv4Addr, Ipv6Addr};

use certfleet_core::names::DOMAIN_BYTES_MAX;

/// A host a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    name: String,
    is_ipv6: bool,
}

impl Host {
    /// Takes `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`; `None` for everything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, port) = rest.split_once(']')?;
            let address: Ipv6Addr = inner.parse().ok()?;
            check_port(port)?;
            return Some(Self { name: address.to_string(), is_ipv6: true });
        }
        let at = text.find(':').unwrap_or(text.len());
        let (name, port) = text.split_at(at);
        check_port(port)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > DOMAIN_BYTES_MAX || name.split('.').any(str::is_empty) || !name.bytes().all(is_allowed) {
            return None;
        }
        Some(Self { name: name.to_ascii_lowercase(), is_ipv6: false })
    }

    /// The name as identifiers write it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name as a URL writes it.
    pub(crate) fn in_url(&self) -> String {
        if self.is_ipv6 { format!("[{}]", self.name) } else { self.name.clone() }
    }

    /// What a wildcard would have to be for to cover it: the name without its first label. Nothing for addresses.
    pub(crate) fn parent(&self) -> Option<&str> {
        if self.is_ipv6 || self.name.parse::<Ipv4Addr>().is_ok() {
            return None;
        }
        self.name.split_once('.').map(|(_, parent)| parent)
    }
}

/// Nothing, or a colon and a port that may be empty (RFC 3986 section 3.2.3).
fn check_port(text: &str) -> Option<()> {
    let digits = match text {
        "" | ":" => return Some(()),
        _ => text.strip_prefix(':')?,
    };
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    (is_number && digits.parse::<u16>().is_ok()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalised() {
        let name = |s: &str| Host::parse(s).map(|h| (h.name().to_owned(), h.in_url()));
        let both = |s: &str| Some((s.to_owned(), s.to_owned()));
        assert_eq!(name("Example.COM."), both("example.com"));
        assert_eq!(name("example.com.:80"), both("example.com"));
        assert_eq!(name("example.com:"), both("example.com"));
        assert_eq!(name("192.0.2.1:5002"), both("192.0.2.1"));
        assert_eq!(name("[2001:DB8:0::1]:80"), Some(("2001:db8::1".into(), "[2001:db8::1]".into())));
    }

    #[test]
    fn nonsense_is_no_host() {
        for bad in [
            "",
            ".",
            ":80",
            "a..b",
            ".a",
            "a:x",
            "a:99999",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[fe80::1%25eth0]",
            "[1.2.3.4]",
            "a b",
            "a/b",
            "u@a.example",
            "a\r\nb",
            "a\0",
            "bücher.example",
            "a:+8",
            "a,b",
            "..",
        ] {
            assert_eq!(Host::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Host::parse(&format!("{}.example", "a".repeat(300))), None);
    }

    #[test]
    fn addresses_have_no_parent() {
        assert_eq!(Host::parse("a.b.example").unwrap().parent(), Some("b.example"));
        assert_eq!(Host::parse("192.0.2.1").unwrap().parent(), None);
        assert_eq!(Host::parse("[::ffff:192.0.2.1]").unwrap().parent(), None);
    }
}
