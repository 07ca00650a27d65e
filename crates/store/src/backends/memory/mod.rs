//! `memory:`: a store inside one process, for tests. Handles to the same store are clones of the `Arc`.
//!
//! Deliberately not here: durability and faults. It is the contract with nothing around it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::StoreError;
use crate::nonce::fresh_nonce;
use crate::watch::{Watch, WatchFeed};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<Key, Slot>,
    feeds: Vec<WatchFeed>,
}

/// What was written last under a key: a value, or a tombstone, so that numbers go on rising.
#[derive(Debug)]
struct Slot {
    number: u64,
    nonce: Nonce,
    value: Option<Envelope>,
}

impl Slot {
    fn revision(&self) -> Revision {
        Revision { engine: self.number.to_string(), nonce: self.nonce.clone() }
    }

    fn stored(&self) -> Option<Stored> {
        self.value.clone().map(|envelope| Stored { envelope, revision: self.revision() })
    }
}

impl State {
    fn fits(&self, key: &Key, expect: &Expect) -> bool {
        let live = self.slots.get(key).filter(|slot| slot.value.is_some());
        match (live, expect) {
            (None, Expect::Absent) => true,
            (Some(slot), Expect::Revision(revision)) => slot.revision() == *revision,
            _ => false,
        }
    }

    fn write(&mut self, key: &Key, nonce: Nonce, value: Option<Envelope>) -> Put {
        let number = self.slots.get(key).map_or(1, |slot| slot.number + 1);
        let slot = Slot { number, nonce, value };
        let revision = slot.revision();
        self.slots.insert(key.clone(), slot);
        self.feeds.retain(|feed| !feed.is_closed());
        self.feeds.iter().for_each(|feed| feed.changed(key));
        Put::Done(revision)
    }
}

impl MemoryStore {
    /// A new, empty store.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.state().slots.get(key).and_then(Slot::stored))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let state = self.state();
        let below = state.slots.iter().filter(|(key, _)| key.is_under(prefix));
        let entries = below.filter_map(|(key, slot)| Some((key.clone(), slot.stored()?))).collect();
        Ok(Listing { entries, unreadable: Vec::new() })
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        value.to_bytes().map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
        let mut state = self.state();
        if !state.fits(key, expect) {
            return Ok(Put::Conflict);
        }
        Ok(state.write(key, value.nonce.clone(), Some(value.clone())))
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let nonce = fresh_nonce()?;
        let mut state = self.state();
        if !state.fits(key, &Expect::Revision(expect.clone())) {
            return Ok(Put::Conflict);
        }
        Ok(state.write(key, nonce, None))
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let (feed, watch) = Watch::channel(prefix);
        self.state().feeds.push(feed);
        Ok(watch)
    }
}
