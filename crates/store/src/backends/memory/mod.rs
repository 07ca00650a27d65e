//! `memory:`: a store inside one process, for tests. Handles to the same store are clones of the `Arc`.
//!
//! Deliberately not here: durability and faults. It is the contract with nothing around it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::StoreError;
use crate::nonce::fresh_nonce;
use crate::revision::{garbage_revision, is_expected};
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

/// What was written last under a key, and its number: numbers go on rising after a deletion.
#[derive(Debug)]
struct Slot {
    number: u64,
    revision: Revision,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Value(Envelope),
    /// No envelope, and why.
    Garbage(String),
    Tombstone,
}

impl Slot {
    fn answer(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let revision = self.revision.clone();
        match &self.content {
            Content::Value(envelope) => Ok(Some(Stored { envelope: envelope.clone(), revision })),
            Content::Garbage(why) => Err(StoreError::Corrupt { key: key.clone(), why: format!("it is {why}"), revision }),
            Content::Tombstone => Ok(None),
        }
    }
}

impl State {
    fn fits(&self, key: &Key, expect: &Expect) -> bool {
        let live = self.slots.get(key).filter(|slot| !matches!(slot.content, Content::Tombstone));
        is_expected(live.map(|slot| &slot.revision), expect)
    }

    /// Writes `content`, to which `revision` gives its revision.
    fn write(&mut self, key: &Key, content: Content, revision: impl FnOnce(String) -> Revision) -> Put {
        let number = self.slots.get(key).map_or(1, |slot| slot.number + 1);
        let revision = revision(number.to_string());
        self.slots.insert(key.clone(), Slot { number, revision: revision.clone(), content });
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

    /// Writes whatever there is as the value of `key`, whatever is there: as someone does who has the store and not certfleet.
    pub fn plant(&self, key: &Key, bytes: &[u8]) {
        let mut state = self.state();
        match Envelope::from_bytes(bytes) {
            Ok(envelope) => state.write(key, Content::Value(envelope.clone()), |number| envelope.revision(number)),
            Err(e) => state.write(key, Content::Garbage(e.to_string()), |number| garbage_revision(number, bytes, bytes.len() as u64)),
        };
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
        self.state().slots.get(key).map_or(Ok(None), |slot| slot.answer(key))
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let state = self.state();
        let mut listing = Listing::default();
        for (key, slot) in state.slots.iter().filter(|(key, _)| key.is_under(prefix)) {
            listing.add(key, slot.answer(key))?;
        }
        Ok(listing)
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        value.to_bytes().map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
        let mut state = self.state();
        if !state.fits(key, expect) {
            return Ok(Put::Conflict);
        }
        Ok(state.write(key, Content::Value(value.clone()), |number| value.revision(number)))
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let nonce = fresh_nonce()?;
        let mut state = self.state();
        if !state.fits(key, &Expect::Revision(expect.clone())) {
            return Ok(Put::Conflict);
        }
        Ok(state.write(key, Content::Tombstone, |engine| Revision { engine, nonce, change: 0 }))
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let (feed, watch) = Watch::channel(prefix);
        self.state().feeds.push(feed);
        Ok(watch)
    }
}
