//! The envelope around every value in the store.
//!
//! `{format, writer, nonce, change, body, signature}`. The nonce makes every written value unique: together with the engine's revision it is
//! what a compare-and-swap expects, and it is how a writer whose answer was lost finds out whether its write took place. `change` rises with
//! each write of a key, so that a value that was put back is seen to be old. The signature is over all of it and its place (`trust`).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{NodeName, VersionHash};

/// The envelope form that this version writes and reads.
pub const FORMAT: u32 = 1;
/// Largest encoded envelope, in bytes; the engines take at least this much.
pub const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// Drawn anew for each write: 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(String);

impl Nonce {
    /// From random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(crate::hash::hex(&bytes))
    }

    /// The nonce as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which value a compare-and-swap expects: the engine's own revision and the value's nonce. Numbers can repeat after a failover or a
/// restored backup; nonces do not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The engine's revision, in the engine's own form.
    pub engine: String,
    /// The nonce of the value that has it.
    pub nonce: Nonce,
    /// The value's `change`; what is written over it gets the next. Engines compare the other two.
    pub change: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.engine, self.nonce.0)
    }
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// Nothing (never written, or deleted).
    Absent,
    /// Exactly this value.
    Revision(Revision),
}

/// A value of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Form of the envelope and the body; see [`FORMAT`].
    pub format: u32,
    /// Who wrote it.
    pub writer: NodeName,
    /// Unique for this write.
    pub nonce: Nonce,
    /// One more than that of the value it was written over; 1 for the first.
    pub change: u64,
    /// The record.
    pub body: Value,
    /// Of the writer, or of the fleet key, over everything above, the fleet's id and the key it stands under.
    #[serde(default)]
    pub signature: String,
}

/// Bytes that are not an envelope, or an envelope whose body is not the record its key names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too large to be looked at.
    #[error("{0} bytes, more than the {ENVELOPE_BYTES_MAX} that a record may have")]
    TooLarge(usize),
    /// Not an envelope.
    #[error("not a certfleet envelope: {0}")]
    Malformed(String),
    /// Written by a newer version.
    #[error("envelope format {0} is newer than this version's format {FORMAT}; upgrade certfleet on this node")]
    TooNew(u32),
    /// The body is something else.
    #[error("the record cannot be read: {0}")]
    Body(String),
}

impl Envelope {
    /// Wraps a record that is the first under its key; it still has to be signed.
    pub fn new<T: Serialize>(writer: NodeName, nonce: Nonce, record: &T) -> Result<Self, EnvelopeError> {
        let body = serde_json::to_value(record).map_err(|e| EnvelopeError::Body(e.to_string()))?;
        Ok(Self { format: FORMAT, writer, nonce, change: 1, body, signature: String::new() })
    }

    /// As what is written where `expect` holds.
    #[must_use]
    pub fn following(mut self, expect: &Expect) -> Self {
        self.change = match expect {
            Expect::Absent => 1,
            Expect::Revision(revision) => revision.change.saturating_add(1),
        };
        self
    }

    /// As what comes after a value of this change too, which need not stand there any more.
    #[must_use]
    pub fn coming_after(mut self, change: u64) -> Self {
        self.change = self.change.max(change.saturating_add(1));
        self
    }

    /// What it is after an engine has given it a revision.
    pub fn revision(&self, engine: impl Into<String>) -> Revision {
        Revision { engine: engine.into(), nonce: self.nonce.clone(), change: self.change }
    }

    /// The record inside.
    pub fn record<T: for<'de> Deserialize<'de>>(&self) -> Result<T, EnvelopeError> {
        T::deserialize(&self.body).map_err(|e| EnvelopeError::Body(e.to_string()))
    }

    /// What goes into the store: one line of JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EnvelopeError> {
        let mut bytes = serde_json::to_vec(self).map_err(|e| EnvelopeError::Malformed(e.to_string()))?;
        bytes.push(b'\n');
        if bytes.len() > ENVELOPE_BYTES_MAX { Err(EnvelopeError::TooLarge(bytes.len())) } else { Ok(bytes) }
    }

    /// Reads [`Envelope::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(|e| EnvelopeError::Malformed(e.to_string()))?;
        if envelope.format > FORMAT { Err(EnvelopeError::TooNew(envelope.format)) } else { Ok(envelope) }
    }

    /// The hash of the body, by which a certificate's record vouches for a version.
    pub fn body_hash(&self) -> VersionHash {
        VersionHash::of(self.body.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope::new("lb0".parse().expect("name"), Nonce::from_random([7; 16]), &serde_json::json!({"b": 1, "a": [true]})).expect("wraps")
    }

    #[test]
    fn bytes_read_back() {
        let bytes = envelope().to_bytes().expect("encodes");
        assert_eq!(Envelope::from_bytes(&bytes), Ok(envelope()));
    }

    #[test]
    fn a_number_is_written_as_it_was_read() {
        for number in
            ["3.1396462376533366e+32", "0.1", "1e300", "18446744073709551615", "-9223372036854775808", "123456789012345678901234567890"]
        {
            let mut first = envelope();
            first.body = serde_json::from_str(&format!(r#"{{"a_field_of_a_later_version":{number}}}"#)).expect("parses");
            let again = Envelope::from_bytes(&first.to_bytes().expect("encodes")).expect("reads");
            assert_eq!(again, first, "{number}");
            assert_eq!(again.body_hash(), first.body_hash(), "{number}");
        }
    }

    #[test]
    fn garbage_is_named() {
        assert!(matches!(Envelope::from_bytes(b""), Err(EnvelopeError::Malformed(_))));
        assert!(matches!(Envelope::from_bytes(b"{}"), Err(EnvelopeError::Malformed(_))));
        assert!(matches!(Envelope::from_bytes(&vec![b' '; ENVELOPE_BYTES_MAX + 1]), Err(EnvelopeError::TooLarge(_))));
        let newer = Envelope { format: 2, ..envelope() };
        assert_eq!(Envelope::from_bytes(&newer.to_bytes().expect("encodes")), Err(EnvelopeError::TooNew(2)));
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_fields() {
        let mut other = envelope();
        other.body = serde_json::from_str(r#"{"a":[true],"b":1}"#).expect("parses");
        assert_eq!(other.body_hash(), envelope().body_hash());
    }
}
