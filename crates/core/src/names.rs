//! Names of things, parsed once at the edge so that nothing further in can hold nonsense.
//!
//! Every type here is immutable, ordered, and prints as it was parsed. None of them can hold a path separator, a control character or an
//! empty string, so all of them can be part of a store key or a file name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a node, issuer or target, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest certificate name and longest domain name, in bytes (RFC 1035 section 2.3.4).
pub const DOMAIN_BYTES_MAX: usize = 253;

/// Why a string is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {kind}: {problem}")]
pub struct NameError {
    /// What was wanted, for example `node name`.
    pub kind: &'static str,
    /// What was given, shortened and with control characters escaped.
    pub value: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

fn refuse(kind: &'static str, value: &str, problem: &'static str) -> NameError {
    let value = value.chars().take(80).flat_map(char::escape_default).collect();
    NameError { kind, value, problem }
}

fn check_simple(kind: &'static str, value: &str) -> Result<(), NameError> {
    if value.is_empty() {
        return Err(refuse(kind, value, "it is empty"));
    }
    if value.len() > NAME_BYTES_MAX {
        return Err(refuse(kind, value, "it is longer than 128 bytes"));
    }
    if value.starts_with(['.', '-']) {
        return Err(refuse(kind, value, "it starts with a dot or a dash"));
    }
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Err(refuse(kind, value, "only letters, digits, `.`, `_` and `-` are allowed"));
    }
    Ok(())
}

fn check_certificate(kind: &'static str, value: &str) -> Result<(), NameError> {
    if value.is_empty() {
        return Err(refuse(kind, value, "it is empty"));
    }
    if value.len() > DOMAIN_BYTES_MAX {
        return Err(refuse(kind, value, "it is longer than 253 bytes"));
    }
    if value == "." || value == ".." {
        return Err(refuse(kind, value, "it is a directory"));
    }
    if value.contains(['/', '@']) {
        return Err(refuse(kind, value, "it contains `/` or `@`"));
    }
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse(kind, value, "only printable ASCII without spaces is allowed"));
    }
    Ok(())
}

macro_rules! string_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                $check($kind, value)?;
                Ok(Self(value.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                $check($kind, &value)?;
                Ok(Self(value))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

string_name!(
    /// A machine's name in the fleet; fixed when it joins.
    NodeName, "node name", check_simple
);
string_name!(
    /// The name of an `[issuer.*]` table.
    IssuerName, "issuer name", check_simple
);
string_name!(
    /// The name of a `[deploy.*]` table.
    TargetName, "target name", check_simple
);
string_name!(
    /// The name of a managed certificate; by default its first identifier, with `*.` written as `_.`.
    CertName, "certificate name", check_certificate
);
string_name!(
    /// The fleet's identity, drawn at random by `init`.
    FleetId, "fleet id", check_simple
);
string_name!(
    /// Drawn anew each time a daemon starts; tells two lives of one node apart.
    Incarnation, "incarnation", check_simple
);
string_name!(
    /// SHA-256 of a public key's SubjectPublicKeyInfo (RFC 5280 section 4.1), lower-case hex.
    SpkiHash, "public key hash", check_hash
);
string_name!(
    /// SHA-256 of what the fleet-wide configuration says, lower-case hex.
    ConfigHash, "configuration hash", check_hash
);
string_name!(
    /// SHA-256 of a version record's body, lower-case hex.
    VersionHash, "version hash", check_hash
);
string_name!(
    /// SHA-256 of a certificate's DER, lower-case hex.
    Fingerprint, "certificate fingerprint", check_hash
);

fn check_hash(kind: &'static str, value: &str) -> Result<(), NameError> {
    if value.len() == 64 && value.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(());
    }
    Err(refuse(kind, value, "64 lower-case hex digits are wanted"))
}

macro_rules! hash_of_bytes {
    ($($name:ident),*) => {$(
        impl $name {
            /// The SHA-256 of `bytes`.
            pub fn of(bytes: &[u8]) -> Self {
                Self(crate::hash::sha256_hex(bytes))
            }
        }
    )*};
}
hash_of_bytes!(SpkiHash, ConfigHash, VersionHash, Fingerprint);

impl CertName {
    /// The default name of a certificate: its first identifier, `*.x` written as `_.x`, so that it can be a file name everywhere.
    pub fn from_identifier(first: &Identifier) -> Self {
        Self(first.as_str().replacen("*.", "_.", 1).replace(':', "-"))
    }
}

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

/// A node name, or a pattern in which `*` stands for any run of characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodePattern(String);

impl NodePattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names exactly one node.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `node` is meant.
    pub fn matches(&self, node: &NodeName) -> bool {
        glob(self.0.as_bytes(), node.as_str().as_bytes())
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, star_t + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

impl FromStr for NodePattern {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        const KIND: &str = "node name or pattern";
        if value.contains('*') {
            let plain = value.replace('*', "x");
            check_simple(KIND, &plain).map_err(|e| refuse(KIND, value, e.problem))?;
        } else {
            check_simple(KIND, value)?;
        }
        Ok(Self(value.to_owned()))
    }
}

impl TryFrom<String> for NodePattern {
    type Error = NameError;
    fn try_from(value: String) -> Result<Self, NameError> {
        value.parse()
    }
}

impl From<NodePattern> for String {
    fn from(pattern: NodePattern) -> String {
        pattern.0
    }
}

impl fmt::Display for NodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// The number of an attempt, and, if it succeeded, of the generation it gave. Rising, never used twice for one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The next number.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

    #[test]
    fn patterns_match_whole_names() {
        let matches = |p: &str, n: &str| p.parse::<NodePattern>().expect(p).matches(&n.parse().expect(n));
        assert!(matches("web-*", "web-1") && matches("*", "x") && matches("a*b*c", "axxbyyc") && matches("lb1", "lb1"));
        assert!(!matches("web-*", "xweb-1") && !matches("a*b*c", "axxbyy") && !matches("lb1", "lb10"));
    }

    #[test]
    fn names_cannot_be_paths() {
        for bad in ["", ".", "..", "a/b", "a b", "-x", "ü", "a\n"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a@b", "a b"] {
            assert!(bad.parse::<CertName>().is_err(), "{bad:?}");
        }
    }
}
