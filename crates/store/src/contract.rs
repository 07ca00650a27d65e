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
    /// What is there and cannot be read, and why: corrupt values, and foreign things that no version of certfleet put there. For the
    /// latter the key says where they are, in the engine's own words (for `file` the path below the store's directory).
    pub unreadable: Vec<(Key, String)>,
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
///   caller's duty never to write two values with one nonce.
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

    /// The value of a key; `None` if it was never written or was deleted.
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
}
