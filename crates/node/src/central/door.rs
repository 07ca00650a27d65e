//! What stands between a served store and who asks.

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::mutants::{Mutant, has};
use certfleet_core::records::{NodeRecord, PrivateKeyRecord};
use certfleet_core::trust::{Sight, VerifyingKey};
use certfleet_store::Stored;
use tokio::sync::watch;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A member, and what it sees.
    Member(Sight),
    /// A machine that is none, and may be about to ask to be let in.
    Stranger,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Not now; why.
    NotReady(String),
    /// Not to this one; why.
    Refused(String),
}

/// Says who asks, and what they may do. None of it waits for anything.
pub trait Door: Send + Sync {
    /// Whose key it is now.
    fn caller(&self, peer: &VerifyingKey) -> Result<Caller, Denied>;
    /// Whether this envelope may be written there; if not, why.
    fn may_put(&self, peer: &VerifyingKey, caller: &Caller, key: &Key, envelope: &Envelope) -> Result<(), String>;
    /// Whether what stands there may be removed; if not, why.
    fn may_remove(&self, peer: &VerifyingKey, caller: &Caller, key: &Key) -> Result<(), String>;
    /// Changes when [`Self::caller`] may say something else.
    fn changes(&self) -> watch::Receiver<u64>;
}

impl Caller {
    /// Whether it may read what stands under `key`; `stored` is what does, if it can be read.
    pub fn sees(&self, peer: &VerifyingKey, key: &Key, stored: Option<&Stored>) -> bool {
        let record = RecordKey::of(key);
        match self {
            Self::Member(sight) if sight.is_whole() || has(Mutant::ShowAll) => true,
            Self::Member(sight) => record.is_some_and(|record| sight.shows(&record) || is_for(sight, &record, stored)),
            Self::Stranger => record.is_some_and(|record| record == RecordKey::Fleet || is_own(peer, &record, stored)),
        }
    }

    /// Whether it is told that something changed there.
    pub fn hears(&self, key: &Key) -> bool {
        match self {
            Self::Member(sight) if sight.is_whole() => true,
            Self::Member(sight) => RecordKey::of(key).is_some_and(|record| sight.shows(&record)),
            Self::Stranger => *key == RecordKey::Fleet.key(),
        }
    }
}

/// A key says itself which certificate it was made for: it may have been placed a moment ago.
fn is_for(sight: &Sight, record: &RecordKey, stored: Option<&Stored>) -> bool {
    let (RecordKey::PrivateKey(_), Some(stored)) = (record, stored) else { return false };
    stored.envelope.record::<PrivateKeyRecord>().is_ok_and(|key| sight.certs.contains(&key.cert))
}

/// What a machine that is no member yet has said of itself.
fn is_own(peer: &VerifyingKey, record: &RecordKey, stored: Option<&Stored>) -> bool {
    let (RecordKey::Joining(_) | RecordKey::Node(_), Some(stored)) = (record, stored) else { return false };
    stored.envelope.record::<NodeRecord>().is_ok_and(|machine| machine.signing_key == *peer)
}
