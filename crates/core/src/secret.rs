//! The one type that holds secrets: wiped when dropped, printed as `[secret]`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::encoding::base64_bytes;
use crate::names::NodeName;

/// Secret bytes. `Debug` and `Display` print `[secret]`; the memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes; the caller must not copy them anywhere that outlives it unwiped.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8 (a PEM, a password).
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A secret as it stands in the store: encrypted once, to a key pair of its own, whose private half is wrapped for each reader. All sealing
/// and opening goes through `node::trust`; nothing else looks inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// How it is sealed.
    pub scheme: SealScheme,
    /// The secret, encrypted to its own key pair.
    #[serde(with = "base64_bytes")]
    pub data: Vec<u8>,
    /// The private half of that pair, for each node that is meant to read it.
    pub wraps: BTreeMap<NodeName, Wrap>,
}

/// How a [`Sealed`] was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealScheme {
    /// HPKE (RFC 9180): base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
    #[serde(rename = "hpke-x25519-chacha20poly1305")]
    HpkeX25519,
}

/// What one node can open: the encapsulated key and the ciphertext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wrap(#[serde(with = "base64_bytes")] pub Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {secret}"), "[secret] [secret]");
    }

    #[test]
    fn sealed_values_survive_json() {
        let wraps = [("lb0".parse().expect("name"), Wrap(vec![1, 2]))].into();
        let sealed = Sealed { scheme: SealScheme::HpkeX25519, data: vec![0, 255, 7], wraps };
        let json = serde_json::to_string(&sealed).expect("serialises");
        assert_eq!(serde_json::from_str::<Sealed>(&json).expect("parses"), sealed);
    }
}
