//! Where each record stands in the store: section "The store" of ARCHITECTURE.md is this file as prose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::{CertName, Generation, InvitationId, IssuerName, NodeName, SpkiHash, TargetName};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// A key of the store: non-empty segments of printable ASCII, parted by `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// A string that cannot be a store key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a store key: segments of printable ASCII parted by single slashes are wanted, 1024 bytes at most")]
pub struct KeyError(String);

impl Key {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this key is `prefix` or stands below it; an empty prefix is above everything. Prefixes end at a segment.
    pub fn is_under(&self, prefix: &str) -> bool {
        let prefix = prefix.trim_end_matches('/');
        prefix.is_empty() || self.0.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for Key {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let well_formed =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(|b| b.is_ascii_graphic());
        if text.len() <= KEY_BYTES_MAX && text.split('/').all(well_formed) {
            return Ok(Self(text.to_owned()));
        }
        Err(KeyError(text.chars().take(80).flat_map(char::escape_default).collect()))
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a key names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// The fleet itself.
    Fleet,
    /// Whether the fleet lives in this store, or has moved away.
    Home,
    /// A member.
    Node(NodeName),
    /// A machine that asks to be let in.
    Joining(NodeName),
    /// Who came with an invitation.
    Invitation(InvitationId),
    /// Whether a member is there.
    Presence(NodeName),
    /// The account key that all issuers share.
    AccountKey,
    /// The account at one issuer.
    Account(IssuerName),
    /// A certificate's record.
    Cert(CertName),
    /// A request for a certificate, made by the node that has the key.
    Request(CertName, NodeName),
    /// A private key, sealed.
    PrivateKey(SpkiHash),
    /// A later wrap of the same key, for one node.
    Wrap(SpkiHash, NodeName),
    /// An issued chain.
    Version(CertName, Generation),
    /// What a node says of one target.
    Report(CertName, NodeName, TargetName),
}

impl RecordKey {
    /// What kind of record it is: the first part of its key.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Home => "home",
            Self::Node(_) => "nodes",
            Self::Joining(_) => "joining",
            Self::Invitation(_) => "invitations",
            Self::Presence(_) => "presence",
            Self::AccountKey | Self::Account(_) => "accounts",
            Self::Cert(_) => "certs",
            Self::Request(..) => "requests",
            Self::PrivateKey(_) => "keys",
            Self::Wrap(..) => "wraps",
            Self::Version(..) => "versions",
            Self::Report(..) => "reports",
        }
    }

    /// The store key.
    pub fn key(&self) -> Key {
        Key(self.to_string())
    }

    /// What `key` names; `None` for keys this version does not know, which are left alone.
    pub fn of(key: &Key) -> Option<Self> {
        let segments: Vec<&str> = key.as_str().split('/').collect();
        Some(match segments.as_slice() {
            ["fleet"] => Self::Fleet,
            ["home"] => Self::Home,
            ["nodes", node] => Self::Node(node.parse().ok()?),
            ["joining", node] => Self::Joining(node.parse().ok()?),
            ["invitations", id] => Self::Invitation(id.parse().ok()?),
            ["presence", node] => Self::Presence(node.parse().ok()?),
            ["accounts", "@key"] => Self::AccountKey,
            ["accounts", issuer] => Self::Account(issuer.parse().ok()?),
            ["certs", cert] => Self::Cert(cert.parse().ok()?),
            ["requests", cert, node] => Self::Request(cert.parse().ok()?, node.parse().ok()?),
            ["wraps", spki, node] => Self::Wrap(spki.parse().ok()?, node.parse().ok()?),
            ["keys", spki] => Self::PrivateKey(spki.parse().ok()?),
            ["versions", cert, number] => Self::Version(cert.parse().ok()?, Generation(parse_number(number)?)),
            ["reports", cert, node, target] => Self::Report(cert.parse().ok()?, node.parse().ok()?, target.parse().ok()?),
            _ => return None,
        })
    }
}

fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => write!(f, "fleet"),
            Self::Home => write!(f, "home"),
            Self::Node(node) => write!(f, "nodes/{node}"),
            Self::Joining(node) => write!(f, "joining/{node}"),
            Self::Invitation(id) => write!(f, "invitations/{id}"),
            Self::Presence(node) => write!(f, "presence/{node}"),
            Self::AccountKey => write!(f, "accounts/@key"),
            Self::Account(issuer) => write!(f, "accounts/{issuer}"),
            Self::Cert(cert) => write!(f, "certs/{cert}"),
            Self::Request(cert, node) => write!(f, "requests/{cert}/{node}"),
            Self::Wrap(spki, node) => write!(f, "wraps/{spki}/{node}"),
            Self::PrivateKey(spki) => write!(f, "keys/{spki}"),
            Self::Version(cert, generation) => write!(f, "versions/{cert}/{generation}"),
            Self::Report(cert, node, target) => write!(f, "reports/{cert}/{node}/{target}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_keys_read_back() {
        let keys = [
            RecordKey::Fleet,
            RecordKey::Home,
            RecordKey::Node("lb0".parse().expect("name")),
            RecordKey::Joining("lb0".parse().expect("name")),
            RecordKey::Invitation("00ff".parse().expect("name")),
            RecordKey::Cert("example.com@lb0".parse().expect("name")),
            RecordKey::Request("example.com@lb0".parse().expect("name"), "lb0".parse().expect("name")),
            RecordKey::Wrap(SpkiHash::of(b"key"), "lb0".parse().expect("name")),
            RecordKey::AccountKey,
            RecordKey::Account("letsencrypt".parse().expect("name")),
            RecordKey::Cert("_.example.com".parse().expect("name")),
            RecordKey::Version("example.com".parse().expect("name"), Generation(12)),
            RecordKey::Report("example.com".parse().expect("name"), "lb0".parse().expect("name"), "nginx".parse().expect("name")),
        ];
        for key in keys {
            assert_eq!(RecordKey::of(&key.key()), Some(key));
        }
        for unknown in ["certs", "certs/a/b", "versions/a/01", "versions/a/x", "later/thing"] {
            assert_eq!(RecordKey::of(&unknown.parse().expect("key")), None, "{unknown}");
        }
    }

    #[test]
    fn keys_cannot_climb() {
        for bad in ["", "/", "a//b", "a/../b", "../a", "a/b/", "a b", "a\n", "ü"] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
        let key: Key = "certs/a".parse().expect("key");
        assert!(key.is_under("") && key.is_under("certs/") && key.is_under("certs") && !key.is_under("cert"));
    }
}
