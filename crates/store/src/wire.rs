//! What a node that serves its store and the nodes that use it say to each other: JSON over HTTP/1.1 over TLS 1.3.
//!
//! A question is one `POST` to [`PATH`] whose body is an [`Ask`]. `get`, `put` and `delete` are answered with an [`Answer`]; `list` and `watch`
//! with [`Line`]s, one JSON document each. What is refused has another status than 200 and an [`Explanation`].
//!
//! Always holds: every body and every line has a bound; an answer that was cut off is seen to be, since the last line of a listing says so.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Expect, FORMAT, Nonce, Revision};
use certfleet_core::key::Key;
use serde::{Deserialize, Serialize};

use crate::contract::{Put, Stored, Unreadable};
use crate::error::StoreError;

/// The application protocol, in TLS (RFC 7301): a key that signs for it signs for nothing else.
pub const ALPN: &[u8] = b"certfleet-store/1";
/// Where questions go.
pub const PATH: &str = "/store/1";
/// Longest question, in bytes: a record, its key and its revision.
pub const ASK_BYTES_MAX: usize = ENVELOPE_BYTES_MAX + 64 * 1024;
/// Longest answer to one key, and longest line, in bytes; a line of changed keys has its own bound.
pub const LINE_BYTES_MAX: usize = 2 * ENVELOPE_BYTES_MAX;
/// How often a watcher on which nothing happens is told so, in seconds.
pub const BEAT_SECONDS: u64 = 10;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Ask {
    /// The value of a key.
    Get {
        /// Which.
        key: Key,
    },
    /// All values below a prefix.
    List {
        /// Whole segments.
        prefix: String,
    },
    /// A conditional write.
    Put {
        /// Where.
        key: Key,
        /// What.
        envelope: Box<Envelope>,
        /// What must be there; none: nothing.
        expect: Option<Revised>,
    },
    /// A conditional removal.
    Delete {
        /// What.
        key: Key,
        /// Which value.
        expect: Revised,
    },
    /// Changes below a prefix, until the client hangs up.
    Watch {
        /// Whole segments.
        prefix: String,
    },
}

/// A revision as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revised {
    engine: String,
    nonce: Nonce,
    change: u64,
}

impl From<Revision> for Revised {
    fn from(Revision { engine, nonce, change }: Revision) -> Self {
        Self { engine, nonce, change }
    }
}

impl From<Revised> for Revision {
    fn from(Revised { engine, nonce, change }: Revised) -> Self {
        Self { engine, nonce, change }
    }
}

/// What must be there for a write.
pub fn expected(expect: Option<Revised>) -> Expect {
    expect.map_or(Expect::Absent, |revised| Expect::Revision(revised.into()))
}

/// The answer to `get`, `put` and `delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Of `get`.
    Found(Option<Found>),
    /// Of a write that took place.
    Done(Revised),
    /// Of a write that did not.
    Conflict,
    /// Of a write that may have taken place; why that is not known.
    Unknown(String),
    /// There is no answer.
    Error(Trouble),
}

impl From<Put> for Answer {
    fn from(put: Put) -> Self {
        match put {
            Put::Done(revision) => Self::Done(revision.into()),
            Put::Conflict => Self::Conflict,
            Put::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// A value and its revision in the engine; the nonce and the change are the envelope's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    envelope: Envelope,
    engine: String,
}

impl From<Stored> for Found {
    fn from(stored: Stored) -> Self {
        Self { envelope: stored.envelope, engine: stored.revision.engine }
    }
}

impl Found {
    /// The value; one of a format that this version does not read can be replaced by who names it, as everywhere.
    pub(crate) fn stored(self, key: &Key) -> Result<Stored, StoreError> {
        let revision = self.envelope.revision(self.engine);
        if self.envelope.format > FORMAT {
            let why = certfleet_core::envelope::EnvelopeError::TooNew(self.envelope.format).to_string();
            return Err(StoreError::Corrupt { key: key.clone(), why, revision });
        }
        Ok(Stored { envelope: self.envelope, revision })
    }
}

/// A line of a listing or of a watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// A value.
    Value(Key, Box<Found>),
    /// Something that cannot be read, why, and its revision if it is a value.
    Unreadable(Key, String, Option<Revised>),
    /// The listing is whole.
    End,
    /// There is no listing.
    Error(Trouble),
    /// From now on nothing is missed.
    Watching,
    /// These may have changed.
    Changed(Vec<Key>),
    /// Anything may have changed, or what this node may see has: list again.
    Reset,
    /// Nothing happened.
    Beat,
}

impl From<Unreadable> for Line {
    fn from(value: Unreadable) -> Self {
        Self::Unreadable(value.key, value.why, value.revision.map(Revised::from))
    }
}

impl Line {
    /// As it travels, with its end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("keys, envelopes and text serialise");
        bytes.push(b'\n');
        bytes
    }
}

/// A [`StoreError`] as it travels; the key is the question's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trouble {
    /// [`StoreError::Away`].
    Away(String),
    /// [`StoreError::Corrupt`].
    Corrupt(String, Revised),
    /// [`StoreError::NotDurable`].
    Fleeting(String),
    /// [`StoreError::NeedsOperator`].
    Operator(String, String),
    /// [`StoreError::Unfit`].
    Unfit(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away { why } => Self::Away(why),
            StoreError::Corrupt { why, revision, .. } => Self::Corrupt(why, revision.into()),
            StoreError::NotDurable { why, .. } => Self::Fleeting(why),
            StoreError::NeedsOperator { what, remedy } => Self::Operator(what, remedy),
            StoreError::Unfit { why, .. } => Self::Unfit(why),
        }
    }
}

impl Trouble {
    /// At a node that was asked for `key`.
    pub(crate) fn error(self, key: &Key, server: &str) -> StoreError {
        let key = key.clone();
        match self {
            Self::Away(why) => StoreError::Away { why: format!("{server} says: {why}") },
            Self::Corrupt(why, revision) => StoreError::Corrupt { key, why, revision: revision.into() },
            Self::Fleeting(why) => StoreError::NotDurable { key, why: format!("{server} says: {why}") },
            Self::Operator(what, remedy) => StoreError::NeedsOperator { what: format!("{server} says: {what}"), remedy },
            Self::Unfit(why) => StoreError::Unfit { key, why },
        }
    }
}

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// In words, for people.
    pub reason: String,
}

/// Takes bytes for what a server says, as its clients do; for the fuzzing workspace alone.
#[cfg(fuzzing)]
pub fn fuzz(key: &Key, bytes: &[u8]) -> bool {
    let stored = |found: Found| found.stored(key).is_ok();
    match (serde_json::from_slice::<Answer>(bytes), serde_json::from_slice::<Line>(bytes)) {
        (Ok(Answer::Found(Some(found))), _) => stored(found),
        (Ok(Answer::Error(trouble)), _) | (_, Ok(Line::Error(trouble))) => !trouble.error(key, "central:7443").to_string().is_empty(),
        (_, Ok(Line::Value(key, found))) => found.stored(&key).is_ok(),
        (answer, line) => answer.is_ok() || line.is_ok() || serde_json::from_slice::<Explanation>(bytes).is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope::new("lb0".parse().expect("name"), Nonce::from_random([7; 16]), &serde_json::json!({ "a": 1 })).expect("wraps")
    }

    #[test]
    fn what_travels_comes_back() {
        let (key, envelope): (Key, Envelope) = ("certs/a".parse().expect("key"), envelope());
        let revised = || Revised::from(envelope.revision("7"));
        let asks = [
            Ask::Get { key: key.clone() },
            Ask::List { prefix: String::new() },
            Ask::Put { key: key.clone(), envelope: Box::new(envelope.clone()), expect: Some(revised()) },
            Ask::Delete { key: key.clone(), expect: revised() },
            Ask::Watch { prefix: "certs".into() },
        ];
        for ask in asks {
            let bytes = serde_json::to_vec(&ask).expect("JSON");
            assert_eq!(serde_json::from_slice::<Ask>(&bytes).expect("parses"), ask);
        }
        let found = Found::from(Stored { envelope: envelope.clone(), revision: envelope.revision("7") });
        for line in [Line::Value(key.clone(), Box::new(found.clone())), Line::End, Line::Changed(vec![key.clone()]), Line::Beat] {
            assert_eq!(serde_json::from_slice::<Line>(&line.to_bytes()).expect("parses"), line);
        }
        assert_eq!(found.stored(&key).expect("a value").revision, envelope.revision("7"));
    }

    #[test]
    fn errors_come_back_as_what_they_were() {
        let (key, revision): (Key, _) = ("certs/a".parse().expect("key"), envelope().revision("7"));
        let corrupt = StoreError::Corrupt { key: key.clone(), why: "x".into(), revision };
        assert_eq!(Trouble::from(corrupt.clone()).error(&key, "c:1"), corrupt);
        let kinds = [
            StoreError::Away { why: "x".into() },
            StoreError::NotDurable { key: key.clone(), why: "x".into() },
            StoreError::NeedsOperator { what: "x".into(), remedy: "y".into() },
            StoreError::Unfit { key: key.clone(), why: "x".into() },
        ];
        for error in kinds {
            assert_eq!(Trouble::from(error.clone()).error(&key, "c:1").kind(), error.kind());
        }
    }

    #[test]
    fn a_value_of_a_later_format_can_be_named() {
        let (key, newer): (Key, _) = ("certs/a".parse().expect("key"), Envelope { format: FORMAT + 1, ..envelope() });
        let found = Found::from(Stored { revision: newer.revision("7"), envelope: newer.clone() });
        assert!(matches!(found.stored(&key), Err(StoreError::Corrupt { revision, .. }) if revision == newer.revision("7")));
    }
}
