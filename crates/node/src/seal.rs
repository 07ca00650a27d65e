//! Sealing: a secret goes to the store so that only the nodes meant to read it can open it (HPKE, RFC 9180, base mode; crate `hpke`).
//!
//! Each secret is encrypted once, to a key pair made for it alone; the pair's private half is wrapped for each reader. What is sealed and
//! each wrap are `encapsulated key ‖ ciphertext`; their `info` tells the two apart, and their associated data is a JSON array of strings:
//! the fleet, the purpose, the hash of the secret's public half and, for a wrap, the reader's name.
//!
//! Always holds: what is sealed opens for no other fleet, purpose, key or node than it was made for; the pair's private half is wiped
//! before [`seal`] returns, so who sealed a secret cannot open it again unless it is a reader; randomness is the operating system's, and
//! nothing that was made without it leaves this module; no error or `Debug` text has secret bytes in it.
//! Deliberately not here: who may seal (anybody can who knows the public keys; the envelope's signature says who did), who is meant to
//! read, when a wrap is made anew, and whether the opened secret is the private half of the key that the context names.

mod error;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use certfleet_core::encoding::{base64url, from_base64url};
use certfleet_core::names::{FleetId, NodeName, SpkiHash};
use certfleet_core::secret::{SealScheme, Sealed, Secret, Wrap};
use certfleet_core::trust::{KEY_BYTES, SealingKey};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, HpkeError, Kem, OpModeR, OpModeS, Serializable};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use error::{OpenError, SealError, WhichWrap, WrapForError};
pub use random::RandomError;

use random::with_random;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

const SECRET_INFO: &[u8] = b"certfleet secret v1";
const WRAP_INFO: &[u8] = b"certfleet wrap v1";

/// The private half of a node's sealing key (X25519); wiped when dropped. As text it is base64url, for the node's own directory only.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingSecret(PrivateKey);

impl SealingSecret {
    /// Makes one.
    pub fn generate() -> Result<Self, RandomError> {
        with_random(X25519HkdfSha256::gen_keypair_with_rng).map(|(private, _)| Self(private))
    }

    /// The public half, to which others seal.
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey::from_bytes(X25519HkdfSha256::sk_to_pk(&self.0).to_bytes().into())
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for SealingSecret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Zeroizing::new(base64url(exposed(&self.0).as_slice())).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SealingSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = "this is not the private half of a sealing key: 32 bytes in base64url without padding are wanted";
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The decoder's own message would quote a character of the secret.
        let bytes = Zeroizing::new(from_base64url(&text).map_err(|_| serde::de::Error::custom(wrong))?);
        PrivateKey::from_bytes(&bytes).map(Self).map_err(|_| serde::de::Error::custom(wrong))
    }
}

/// What a secret is bound to: sealed in one context, it opens in no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context<'a> {
    /// The fleet.
    pub fleet: &'a FleetId,
    /// The certificate's name, or `account key`, which is no certificate's name because of the space.
    pub purpose: &'a str,
    /// The hash of the secret's public half.
    pub spki: &'a SpkiHash,
}

impl Context<'_> {
    fn of_secret(&self) -> String {
        serde_json::json!([self.fleet.as_str(), self.purpose, self.spki.as_str()]).to_string()
    }

    fn of_wrap(&self, reader: &NodeName) -> String {
        serde_json::json!([self.fleet.as_str(), self.purpose, self.spki.as_str(), reader.as_str()]).to_string()
    }
}

/// What [`seal`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Sealing {
    /// What goes to the store.
    pub sealed: Sealed,
    /// Readers whose sealing key nothing can be sealed to (a point of low order): they have no wrap. One bad key must not stop the fleet.
    pub skipped: BTreeSet<NodeName>,
}

/// Seals `secret` for `readers`. The caller cannot open it again unless it is among them.
pub fn seal<'a>(
    secret: &Secret,
    context: &Context<'_>,
    readers: impl IntoIterator<Item = (&'a NodeName, &'a SealingKey)>,
) -> Result<Sealing, SealError> {
    let (own, public) = with_random(X25519HkdfSha256::gen_keypair_with_rng)?;
    let data = encrypt(&public, SECRET_INFO, secret.expose(), &context.of_secret())?
        .map_err(|why| SealError::Hpke { purpose: context.purpose.to_owned(), why })?;
    let (mut wraps, mut skipped) = (BTreeMap::new(), BTreeSet::new());
    for (node, key) in readers {
        match wrap(&own, context, (node, key))? {
            Some(wrap) => drop(wraps.insert(node.clone(), wrap)),
            None => drop(skipped.insert(node.clone())),
        }
    }
    if wraps.is_empty() {
        return Err(SealError::NoReader { purpose: context.purpose.to_owned(), skipped });
    }
    Ok(Sealing { sealed: Sealed { scheme: SealScheme::HpkeX25519, data, wraps }, skipped })
}

/// Opens a secret for `node`, by the wrap made with it or, if that one is absent or of no use, by the `later` one.
pub fn open(
    sealed: &Sealed,
    later: Option<&Wrap>,
    context: &Context<'_>,
    node: &NodeName,
    key: &SealingSecret,
) -> Result<Secret, OpenError> {
    open_both(sealed, later, context, (node, key)).map(|(_, secret)| secret)
}

/// Wraps a secret that `me` can open for another node. It is opened first, so that no wrap is passed on that opens nothing.
pub fn wrap_for(
    sealed: &Sealed,
    later: Option<&Wrap>,
    context: &Context<'_>,
    me: (&NodeName, &SealingSecret),
    reader: (&NodeName, &SealingKey),
) -> Result<Wrap, WrapForError> {
    let (own, _) = open_both(sealed, later, context, me)?;
    wrap(&own, context, reader)?.ok_or_else(|| WrapForError::BadKey { reader: reader.0.clone() })
}

/// The pair's private half as well as the secret, by the first wrap that leads to both.
fn open_both(
    sealed: &Sealed,
    later: Option<&Wrap>,
    context: &Context<'_>,
    (node, key): (&NodeName, &SealingSecret),
) -> Result<(PrivateKey, Secret), OpenError> {
    // A scheme that comes later must be told apart here, or this does not compile.
    let SealScheme::HpkeX25519 = sealed.scheme;
    let first = sealed.wraps.get(node);
    let mut unwrapped = false;
    for wrap in [first, later].into_iter().flatten() {
        let Some(own) = unwrap(wrap, context, node, key) else { continue };
        unwrapped = true;
        if let Some(mut secret) = decrypt(&own, SECRET_INFO, &sealed.data, &context.of_secret()) {
            return Ok((own, Secret::new(std::mem::take(&mut *secret))));
        }
    }
    let (node, purpose) = (node.clone(), context.purpose.to_owned());
    Err(match (unwrapped, first, later) {
        (true, ..) => OpenError::Unsealable { node, purpose },
        (false, None, None) => OpenError::NotAReader { node, purpose },
        (false, Some(_), None) => OpenError::Broken { node, purpose, which: WhichWrap::First },
        (false, None, Some(_)) => OpenError::Broken { node, purpose, which: WhichWrap::Later },
        (false, Some(_), Some(_)) => OpenError::Broken { node, purpose, which: WhichWrap::Both },
    })
}

/// `None` if nothing can be sealed to the reader's key; these 32 bytes give HPKE no other reason to refuse.
fn wrap(own: &PrivateKey, context: &Context<'_>, (node, key): (&NodeName, &SealingKey)) -> Result<Option<Wrap>, RandomError> {
    let Ok(key) = PublicKey::from_bytes(key.as_bytes()) else { return Ok(None) };
    Ok(encrypt(&key, WRAP_INFO, exposed(own).as_slice(), &context.of_wrap(node))?.ok().map(Wrap))
}

fn unwrap(wrap: &Wrap, context: &Context<'_>, node: &NodeName, key: &SealingSecret) -> Option<PrivateKey> {
    PrivateKey::from_bytes(&decrypt(&key.0, WRAP_INFO, &wrap.0, &context.of_wrap(node))?).ok()
}

/// `encapsulated key ‖ ciphertext`.
fn encrypt(to: &PublicKey, info: &[u8], plain: &[u8], bound_to: &str) -> Result<Result<Vec<u8>, HpkeError>, RandomError> {
    let sealed = with_random(|random| {
        hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            to,
            info,
            plain,
            bound_to.as_bytes(),
            random,
        )
    })?;
    Ok(sealed.map(|(encapsulated, ciphertext)| [&encapsulated.to_bytes()[..], &ciphertext].concat()))
}

fn decrypt(with: &PrivateKey, info: &[u8], sealed: &[u8], bound_to: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(KEY_BYTES)?;
    let encapsulated = EncappedKey::from_bytes(encapsulated).ok()?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        with,
        &encapsulated,
        info,
        ciphertext,
        bound_to.as_bytes(),
    )
    .ok()
    .map(Zeroizing::new)
}

fn exposed(key: &PrivateKey) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    key.write_exact(bytes.as_mut_slice());
    bytes
}

#[cfg(test)]
mod tests;
