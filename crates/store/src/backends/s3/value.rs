//! How a value stands in S3, and what names it.
//!
//! An object is a line that counts the writes of its key, `{"revision":7}`, and the envelope; a deleted key is such a line alone, with a nonce
//! of its own. An ETag is made from the content, so it names a value only because no two writes of a key have the same content: the number
//! and the nonce see to that. A [`Revision`]'s engine part is the number, a digest that binds the ETag to the nonce, and the ETag.

use bytes::Bytes;
use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Nonce, Revision};
use certfleet_core::hash::sha256_hex;
use certfleet_core::key::Key;
use serde::{Deserialize, Serialize};

use crate::contract::Stored;
use crate::error::StoreError;
use crate::revision::garbage_revision;

/// Longest first line, in bytes.
pub(super) const HEADER_BYTES_MAX: usize = 96;
/// How much of an object is kept: enough to see that its value is too large.
pub(super) const OBJECT_BYTES_MAX: usize = HEADER_BYTES_MAX + ENVELOPE_BYTES_MAX + 1;
/// Hex digits of the digest that binds an ETag to a nonce.
const BOND_DIGITS: usize = 16;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// One more than that of what was there before; 1 for the first.
    revision: u64,
    /// Drawn for this deletion; values have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted: Option<Nonce>,
}

/// An object, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Without the quotes.
    pub(super) etag: String,
    /// Bytes that the whole object has.
    pub(super) length: u64,
    /// Its first [`OBJECT_BYTES_MAX`].
    pub(super) bytes: Bytes,
}

/// What an object says.
#[derive(Debug, PartialEq, Eq)]
enum Content<'a> {
    Tombstone { number: u64 },
    Value { number: u64, length: u64, bytes: &'a [u8] },
}

impl Object {
    /// What [`Store::get`](crate::Store::get) says of it.
    pub(super) fn answer(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let Content::Value { number, length, bytes } = self.content() else { return Ok(None) };
        match Envelope::from_bytes(bytes) {
            Ok(envelope) => {
                let revision = envelope.revision(engine(number, &envelope.nonce, &self.etag));
                Ok(Some(Stored { envelope, revision }))
            }
            Err(error) => {
                let revision = garbage_revision("", bytes, length);
                let engine = engine(number, &revision.nonce, &self.etag);
                Err(StoreError::Corrupt { key: key.clone(), why: format!("it is {error}"), revision: Revision { engine, ..revision } })
            }
        }
    }

    /// The number of a tombstone; `None` for values.
    pub(super) fn tombstone(&self) -> Option<u64> {
        match self.content() {
            Content::Tombstone { number } => Some(number),
            Content::Value { .. } => None,
        }
    }

    /// Whether an object of this length can be a tombstone.
    pub(super) fn may_be_tombstone(length: u64) -> bool {
        length <= HEADER_BYTES_MAX as u64
    }

    fn content(&self) -> Content<'_> {
        let whole = Content::Value { number: 0, length: self.length, bytes: &self.bytes };
        let line = self.bytes.iter().take(HEADER_BYTES_MAX).position(|b| *b == b'\n');
        let Some((line, bytes)) = line.and_then(|end| self.bytes.split_at_checked(end + 1)) else { return whole };
        match serde_json::from_slice(line) {
            Ok(Header { revision: number, deleted: None }) => {
                Content::Value { number, length: self.length.saturating_sub(line.len() as u64), bytes }
            }
            Ok(Header { revision: number, deleted: Some(_) }) if bytes.is_empty() => Content::Tombstone { number },
            _ => whole,
        }
    }
}

/// A value's object.
pub(super) fn encode(number: u64, key: &Key, envelope: &Envelope) -> Result<Bytes, StoreError> {
    let value = envelope.to_bytes().map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
    Ok(object(&Header { revision: number, deleted: None }, key, &value)?.into())
}

/// The object of a deleted key.
pub(super) fn encode_tombstone(number: u64, key: &Key, nonce: &Nonce) -> Result<Bytes, StoreError> {
    Ok(object(&Header { revision: number, deleted: Some(nonce.clone()) }, key, &[])?.into())
}

fn object(header: &Header, key: &Key, value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec(header).map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
    bytes.push(b'\n');
    bytes.extend_from_slice(value);
    Ok(bytes)
}

/// The engine's part of a value's revision.
pub(super) fn engine(number: u64, nonce: &Nonce, etag: &str) -> String {
    format!("{number}.{}.{etag}", bond(number, nonce, etag))
}

/// The engine's part of a tombstone's revision, which fits nothing.
pub(super) fn engine_of_tombstone(number: u64) -> String {
    format!("{number}.deleted")
}

/// The number and the ETag that a revision names; `None` if there never was such a value.
pub(super) fn named(revision: &Revision) -> Option<(u64, &str)> {
    let mut parts = revision.engine.splitn(3, '.');
    let (number, found, etag) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    (bond(number, &revision.nonce, etag) == found).then_some((number, etag))
}

fn bond(number: u64, nonce: &Nonce, etag: &str) -> String {
    let mut digest = sha256_hex(format!("{number}\n{}\n{etag}", nonce.as_str()).as_bytes());
    digest.truncate(BOND_DIGITS);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(n: u8) -> Nonce {
        Nonce::from_random([n; 16])
    }

    fn key() -> Key {
        "certs/a".parse().expect("a key")
    }

    fn object_of(bytes: impl Into<Bytes>) -> Object {
        let bytes = bytes.into();
        Object { etag: "e-1.x".into(), length: bytes.len() as u64, bytes }
    }

    #[test]
    fn values_and_tombstones_read_back() {
        let envelope = Envelope::new("lb0".parse().expect("a name"), nonce(1), &"body").expect("JSON");
        let object = object_of(encode(7, &key(), &envelope).expect("encoded"));
        assert!(object.bytes.starts_with(b"{\"revision\":7}\n{"), "{object:?}");
        let stored = object.answer(&key()).expect("read").expect("there");
        assert_eq!((stored.envelope, named(&stored.revision), object.tombstone()), (envelope, Some((7, "e-1.x")), None));
        let grave = object_of(encode_tombstone(u64::MAX, &key(), &nonce(2)).expect("encoded"));
        assert_eq!((grave.answer(&key()), grave.tombstone()), (Ok(None), Some(u64::MAX)));
        assert!(Object::may_be_tombstone(grave.length) && !Object::may_be_tombstone(object.length), "{}", object.length);
    }

    #[test]
    fn a_revision_names_number_nonce_and_etag() {
        let whole = Revision { engine: engine(7, &nonce(1), "e.t"), nonce: nonce(1), change: 3 };
        assert_eq!(named(&whole), Some((7, "e.t")));
        assert_eq!(named(&Revision { nonce: nonce(2), ..whole.clone() }), None);
        for engine in [
            String::new(),
            "7".into(),
            "7.x.e".into(),
            engine_of_tombstone(7),
            whole.engine.replace("7.", "8."),
            format!("{}t", whole.engine),
        ] {
            assert_eq!(named(&Revision { engine: engine.clone(), ..whole.clone() }), None, "{engine}");
        }
    }

    #[test]
    fn what_is_no_value_is_garbage_of_its_bytes() {
        for (bytes, garbage) in [
            (&b"{\"revision\":3}\n{"[..], &b"{"[..]),
            (b"{\"revision\":3}\n", b""),
            (b"", b""),
            (b"{\"revision\":3}", b"{\"revision\":3}"),
            (b"[]\n{}", b"[]\n{}"),
            (b"{\"revision\":3,\"deleted\":\"00\"}\nx", b"{\"revision\":3,\"deleted\":\"00\"}\nx"),
        ] {
            let Err(StoreError::Corrupt { revision, .. }) = object_of(bytes).answer(&key()) else { panic!("{bytes:?}") };
            assert_eq!(revision.nonce, garbage_revision("", garbage, garbage.len() as u64).nonce, "{bytes:?}");
        }
    }
}
