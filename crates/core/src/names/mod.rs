//! Names of things, parsed once at the edge so that nothing further in can hold nonsense.
//!
//! Every type here is immutable, ordered, and prints as it was parsed. None of them can hold a path separator, a control character or an
//! empty string, so all of them can be part of a store key or a file name.

mod identifier;
mod pattern;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use identifier::Identifier;
pub use pattern::NodePattern;

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
    let (base, node) = value.split_once('@').map_or((value, None), |(base, node)| (base, Some(node)));
    if base.len() > DOMAIN_BYTES_MAX {
        return Err(refuse(kind, value, "it is longer than 253 bytes"));
    }
    if matches!(base, "" | "." | "..") {
        return Err(refuse(kind, value, "it is a directory"));
    }
    if value.contains('/') || node.is_some_and(|node| check_simple(kind, node).is_err()) {
        return Err(refuse(kind, value, "it contains `/`, or `@` before something that is no node's name"));
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
    /// The name of a managed certificate; by default its first identifier, with `*.` written as `_.`. With a key of its own on each node,
    /// each node's is `name@node`.
    CertName, "certificate name", check_certificate
);
string_name!(
    /// The fleet's identity, drawn at random by `init`.
    FleetId, "fleet id", check_simple
);
string_name!(
    /// Drawn for each invitation.
    InvitationId, "invitation id", check_simple
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

    /// The one that `node` has of its own.
    pub fn on_node(&self, node: &NodeName) -> Self {
        Self(format!("{}@{node}", self.base()))
    }

    /// As it is configured: without the node.
    pub fn base(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }

    /// Whose it is, if it is one node's.
    pub fn node(&self) -> Option<NodeName> {
        self.0.split_once('@').and_then(|(_, node)| node.parse().ok())
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
    fn names_cannot_be_paths() {
        for bad in ["", ".", "..", "a/b", "a b", "-x", "ü", "a\n"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "@b", "a@", "a@b/c", "a@b@c", "..@b", "a@.."] {
            assert!(bad.parse::<CertName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_certificate_of_one_node_names_it() {
        let cert: CertName = "example.com".parse().expect("name");
        let own = cert.on_node(&"lb0".parse().expect("name"));
        assert_eq!((own.as_str(), own.base(), own.node().as_ref().map(NodeName::as_str)), ("example.com@lb0", "example.com", Some("lb0")));
        assert_eq!((cert.node(), own.as_str().parse::<CertName>()), (None, Ok(own.clone())));
    }
}
