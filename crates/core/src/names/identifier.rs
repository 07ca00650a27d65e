//! What a certificate is for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{DOMAIN_BYTES_MAX, NameError, refuse};

/// What a certificate is for: a DNS name (lower case, A-labels, perhaps with a leading `*.`) or an IP address (RFC 8738).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identifier(String);

impl Identifier {
    /// The identifier as the CA writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// Whether it starts with `*.`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// Whether a client that asks for `host` is served by this identifier (RFC 6125 section 6.4.3: `*` stands for one label).
    pub fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match self.0.strip_prefix("*.") {
            None => self.0 == host,
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
        }
    }
}

impl FromStr for Identifier {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, NameError> {
        const KIND: &str = "domain name or IP address";
        if let Ok(ip) = value.parse::<IpAddr>() {
            return Ok(Self(ip.to_string()));
        }
        let (star, rest) = match value.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", value),
        };
        if rest.contains('*') {
            return Err(refuse(KIND, value, "`*` may only be the whole first label"));
        }
        let rest = rest.strip_suffix('.').unwrap_or(rest);
        let ascii = idna::domain_to_ascii_strict(rest).map_err(|_| refuse(KIND, value, "it is not a valid host name (RFC 5890)"))?;
        if ascii.len() + star.len() > DOMAIN_BYTES_MAX {
            return Err(refuse(KIND, value, "it is longer than 253 bytes"));
        }
        if !ascii.contains('.') {
            return Err(refuse(KIND, value, "a public CA issues for names with at least one dot"));
        }
        if ascii.rsplit('.').next().is_some_and(|tld| tld.bytes().all(|b| b.is_ascii_digit())) {
            return Err(refuse(KIND, value, "its last label is a number, and it is no IP address"));
        }
        Ok(Self(format!("{star}{ascii}")))
    }
}

impl TryFrom<String> for Identifier {
    type Error = NameError;
    fn try_from(value: String) -> Result<Self, NameError> {
        value.parse()
    }
}

impl From<Identifier> for String {
    fn from(identifier: Identifier) -> String {
        identifier.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_normalised() {
        let id = |s: &str| s.parse::<Identifier>().map(String::from).map_err(|e| e.problem);
        assert_eq!(id("Example.COM.").as_deref(), Ok("example.com"));
        assert_eq!(id("bücher.example").as_deref(), Ok("xn--bcher-kva.example"));
        assert_eq!(id("*.example.com").as_deref(), Ok("*.example.com"));
        assert_eq!(id("2001:DB8::1").as_deref(), Ok("2001:db8::1"));
        for bad in ["", "localhost", "a.*.example.com", "exa mple.com", "-a.example", "1.2.3", "a..b", "a/b.example", "ex\0.com"] {
            assert!(id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let wild: Identifier = "*.example.com".parse().expect("valid");
        assert!(wild.covers("www.example.com") && wild.covers("WWW.Example.com."));
        assert!(!wild.covers("example.com") && !wild.covers("a.b.example.com") && !wild.covers(".example.com"));
    }
}
