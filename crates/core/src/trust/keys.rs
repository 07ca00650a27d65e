//! The public and private keys of fleets and nodes: Ed25519 (RFC 8032) for signing, X25519 (RFC 7748) for sealing.
//!
//! Always holds: signing is deterministic, so it needs no randomness; the private half prints as `[secret]` and is wiped when dropped.
//! Deliberately not here: sealing itself, which draws randomness; it is in the node.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::known::{self, SIGNATURE_BYTES};
use crate::encoding::{base64url, from_base64url};

/// Bytes of every key here, public or private.
pub const KEY_BYTES: usize = 32;

/// What stands before an Ed25519 key in its `SubjectPublicKeyInfo` (RFC 8410 section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before an Ed25519 key in its PKCS#8 document (RFC 8410 section 7).
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not {0}: 32 bytes in base64url without padding are wanted")]
pub struct KeyFormError(&'static str);

fn bytes_of(text: &str, kind: &'static str) -> Result<[u8; KEY_BYTES], KeyFormError> {
    let bytes = Zeroizing::new(from_base64url(text).map_err(|_| KeyFormError(kind))?);
    bytes.as_slice().try_into().map_err(|_| KeyFormError(kind))
}

/// The public half of a signing key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VerifyingKey([u8; KEY_BYTES]);

impl VerifyingKey {
    /// Whether `signature` was made by the private half over `message`; the strict rules, which admit one form of each signature.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        known::or(&self.0, message, &signature.0, || {
            let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.0) else { return false };
            key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
        })
    }

    /// A short form that people can compare: the first 16 hex digits of the key's SHA-256.
    pub fn fingerprint(&self) -> String {
        crate::hash::sha256_hex(&self.0).chars().take(16).collect()
    }

    /// As `SubjectPublicKeyInfo` (RFC 8410), DER: how TLS shows it (RFC 7250).
    pub fn to_spki(&self) -> Vec<u8> {
        [SPKI_HEAD.as_slice(), &self.0].concat()
    }

    /// Reads [`Self::to_spki`], of which there is exactly one form; `None` for every other.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        der.strip_prefix(&SPKI_HEAD)?.try_into().ok().map(Self)
    }
}

/// The public half of a sealing key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealingKey([u8; KEY_BYTES]);

impl SealingKey {
    /// From the bytes of an X25519 public key.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes of the X25519 public key.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

macro_rules! key_as_text {
    ($name:ident, $kind:literal) => {
        impl FromStr for $name {
            type Err = KeyFormError;
            fn from_str(text: &str) -> Result<Self, KeyFormError> {
                bytes_of(text, $kind).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = KeyFormError;
            fn try_from(text: String) -> Result<Self, KeyFormError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> String {
                base64url(&key.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&base64url(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}
key_as_text!(VerifyingKey, "a verifying key");
key_as_text!(SealingKey, "a sealing key");

/// A signing key.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From 32 random bytes.
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The 32 bytes it was made from; the caller must not leave them anywhere unwiped.
    pub fn expose_seed(&self) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// As a PKCS#8 document (RFC 8410 section 7), DER, for those who make TLS with it.
    pub fn expose_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_HEAD.len() + KEY_BYTES));
        der.extend_from_slice(&PKCS8_HEAD);
        der.extend_from_slice(self.expose_seed().as_slice());
        der
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.verifying_key() == other.verifying_key()
    }
}

impl Eq for SigningKey {}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for SigningKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Zeroizing::new(base64url(self.expose_seed().as_slice())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let seed = Zeroizing::new(bytes_of(&text, "a signing key").map_err(serde::de::Error::custom)?);
        Ok(Self::from_seed(&seed))
    }
}

/// An Ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&base64url(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Signature {
    type Err = SignatureFormError;
    fn from_str(text: &str) -> Result<Self, SignatureFormError> {
        let bytes = from_base64url(text).map_err(|_| SignatureFormError)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| SignatureFormError)
    }
}

/// Text that is not a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a signature: 64 bytes in base64url without padding are wanted")]
pub struct SignatureFormError;

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sign_and_read_back_and_do_not_print() {
        let key = SigningKey::from_seed(&[7; 32]);
        let signature = key.sign(b"message");
        assert!(key.verifying_key().verifies(b"message", &signature) && !key.verifying_key().verifies(b"messagf", &signature));
        let json = serde_json::to_string(&(&key, key.verifying_key(), signature)).expect("serialises");
        let (again, public, signed): (SigningKey, VerifyingKey, Signature) = serde_json::from_str(&json).expect("parses");
        assert_eq!((again, public, signed), (key.clone(), key.verifying_key(), signature));
        assert_eq!(format!("{key:?}"), "[secret]");
    }

    #[test]
    fn keys_have_one_form_in_tls() {
        // RFC 8410 section 10.1 and 10.3: the examples are a pair.
        let private = from_base64url("MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp-K06_nwoy_HU--CXqI9EdVhC").expect("base64url");
        let key = SigningKey::from_seed(private[PKCS8_HEAD.len()..].try_into().expect("32 bytes"));
        assert_eq!(*key.expose_pkcs8(), private);
        assert_eq!(base64url(&key.verifying_key().to_spki()), "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
        assert_eq!(VerifyingKey::from_spki(&key.verifying_key().to_spki()), Some(key.verifying_key()));
        let spki = key.verifying_key().to_spki();
        assert_eq!((VerifyingKey::from_spki(&spki[..43]), VerifyingKey::from_spki(&[&spki[..], &[0]].concat())), (None, None));
    }

    #[test]
    fn other_text_is_refused() {
        for bad in ["", "AA", "not base64!", &base64url(&[0; 31]), &base64url(&[0; 33])] {
            assert!(bad.parse::<VerifyingKey>().is_err() && bad.parse::<SealingKey>().is_err() && bad.parse::<Signature>().is_err());
        }
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let neutral: VerifyingKey = base64url(&[&[1_u8][..], &[0; 31]].concat()).parse().expect("32 bytes");
        let forged: Signature = base64url(&[&[1_u8][..], &[0; 63]].concat()).parse().expect("64 bytes");
        assert!(!neutral.verifies(b"anything", &forged));
    }
}
