//! The contract that every engine gives in full.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::error::StoreError;
use crate::watch::Watch;

/// A value and what a compare-and-swap has to name to replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub envelope: Envelope,
    /// Its revision.
    pub revision: Revision,
}

/// What stands below a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The values, in the order of their keys.
    pub entries: Vec<(Key, Stored)>,
    /// What is there and cannot be read: corrupt values, and foreign things that no version of certfleet put there.
    pub unreadable: Vec<Unreadable>,
}

/// Something that is there and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// The value's key. Of foreign things it says where they are, in the engine's own words (for `file` the path below the store's directory).
    pub key: Key,
    /// What is wrong with it.
    pub why: String,
    /// What a compare-and-swap has to name to replace the value; `None` for foreign things, which are no values.
    pub revision: Option<Revision>,
}

impl Listing {
    /// Adds what [`Store::get`] answers for `key`. Fails where the store gave no answer; what cannot be read is one.
    pub fn add(&mut self, key: &Key, answer: Result<Option<Stored>, StoreError>) -> Result<(), StoreError> {
        match answer {
            Ok(Some(stored)) => self.entries.push((key.clone(), stored)),
            Ok(None) => {}
            Err(StoreError::Corrupt { key, why, revision }) => self.unreadable.push(Unreadable { key, why, revision: Some(revision) }),
            Err(other) => return Err(other),
        }
        Ok(())
    }
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It took place, whole, and is durable. The revision is the new value's.
    Done(Revision),
    /// The value there was not the expected one. Nothing of this write can be seen, now or later.
    Conflict,
    /// It may have taken place, or may still; why that is not known. Read back and look for the nonce: [`crate::put_settled`].
    Unknown(String),
}

/// Shared state under single-key operations.
///
/// # The contract
///
/// * **Atomic.** A reader sees a whole value or another whole value, never a part of one.
/// * **Compare-and-swap.** [`put`](Store::put) and [`delete`](Store::delete) take place only if the value there is the expected one. Of several
///   writers that expect the same value at most one gets [`Put::Done`], in whichever process or machine they run.
/// * **Durable.** What was `Done` survives the crash of every participant and of the machine, as far as the engine's page promises it.
/// * **`Conflict` is certain**, `Unknown` is not, and an `Err` means that the store did not acknowledge the write: it did not take place, except
///   for [`StoreError::NotDurable`], where it did and may be lost again.
/// * **Revisions name values, not moments.** A [`Revision`] is the engine's revision and the value's nonce. Engine numbers may repeat after a
///   fail-over or a restored backup; nonces are drawn at random for each value, so a stale expectation never fits by accident. It is the
///   caller's duty never to write two values with one nonce. The `change` that a revision carries is the value's, and is never compared.
/// * **What cannot be read can be replaced.** A value that is no envelope reads as [`StoreError::Corrupt`] with a revision whose nonce is a hash
///   of its bytes ([`crate::garbage_revision`]). Who names it may replace or delete it; every other expectation is a `Conflict`.
/// * **A deleted key reads as absent** and may be created again with [`Expect::Absent`]; the old revision does not fit the new value.
/// * **Reads may lag** by [`visibility_delay`](Store::visibility_delay), never go back for one handle's own writes. A stale read costs a
///   `Conflict`, never a lost value.
/// * **`list` is no snapshot**: keys that change meanwhile are seen before or after the change, keys that do not change are all there. Values
///   that cannot be read are reported, and do not hide the others.
/// * **`watch` is a hint**: "these keys may have changed". At least once for each change after the call returned, may coalesce, may be spurious,
///   carries no values. The reader reads again. [`crate::Change::Reset`] means that notices may have been lost: list again.
/// * **Keys are independent**: operations on different keys go on side by side, and no order between them is promised.
///
/// Dropping the future of a write does not stop the write.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// The engine: `file`, `memory`.
    fn kind(&self) -> &'static str;

    /// The value of a key; `None` if it was never written or was deleted, [`StoreError::Corrupt`] if it is no envelope.
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// All values at or below `prefix` (whole segments; the empty prefix is above everything), sorted by key.
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError>;

    /// Writes `value` if what is there is as expected.
    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError>;

    /// Removes the value if it is the expected one. The revision of `Done` is the tombstone's; it fits nothing.
    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError>;

    /// Tells which keys at or below `prefix` may have changed since this call returned. Watch first, then list: then nothing is missed.
    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError>;

    /// How long after `Done` other nodes may still read the old value. Time-outs that judge others by what they wrote are to be raised by it.
    fn visibility_delay(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether it shows each node only what its roles need. Then what is absent may be hidden.
    fn withholds(&self) -> bool {
        false
    }

    /// Whether whoever serves it has raced its conditional writes already, so that nodes need not ([`crate::probe`]).
    fn is_probed(&self) -> bool {
        false
    }
}
