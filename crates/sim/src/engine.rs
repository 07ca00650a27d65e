//! The store: its engine, and the lines by which nodes reach it. It keeps the contract of `certfleet_store::Store` and passes its suite; what
//! is bad about a line is its [`Link`]'s.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use certfleet_store::conformance::Plant;
use certfleet_store::{Listing, Put, Store, StoreError, Stored, Watch, WatchFeed, garbage_revision, is_expected};

use crate::link::{Link, Passed};

/// Who looks at every write that took place.
pub trait Reader: Send + Sync + std::fmt::Debug {
    /// `who` wrote `after` (nothing: it was deleted) where `before` was.
    fn wrote(&self, who: &str, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>);
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    state: Mutex<State>,
    reader: Option<Arc<dyn Reader>>,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<Key, Slot>,
    number: u64,
    feeds: Vec<(String, WatchFeed)>,
}

#[derive(Debug, Clone)]
struct Slot {
    revision: Revision,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Value(Envelope),
    Garbage(String),
}

impl Slot {
    fn answer(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let revision = self.revision.clone();
        match &self.content {
            Content::Value(envelope) => Ok(Some(Stored { envelope: envelope.clone(), revision })),
            Content::Garbage(why) => Err(StoreError::Corrupt { key: key.clone(), why: why.clone(), revision }),
        }
    }

    fn envelope(&self) -> Option<&Envelope> {
        match &self.content {
            Content::Value(envelope) => Some(envelope),
            Content::Garbage(_) => None,
        }
    }
}

impl Engine {
    /// An empty one; `reader` sees every write.
    pub fn new(reader: Option<Arc<dyn Reader>>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), reader })
    }

    /// What stands under a key.
    pub fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.state().slots.get(key).map_or(Ok(None), |slot| slot.answer(key))
    }

    /// The envelope under a key, if there is a readable one.
    pub fn envelope(&self, key: &Key) -> Option<Envelope> {
        self.state().slots.get(key)?.envelope().cloned()
    }

    /// Tells `who` that notices to it may have been lost.
    pub fn reset(&self, who: &str) {
        self.state().feeds.iter().filter(|(name, _)| name == who).for_each(|(_, feed)| feed.reset());
    }

    fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let (state, mut listing) = (self.state(), Listing::default());
        for (key, slot) in state.slots.iter().filter(|(key, _)| key.is_under(prefix)) {
            listing.add(key, slot.answer(key))?;
        }
        Ok(listing)
    }

    /// A compare-and-swap; `None` deletes.
    pub fn swap(&self, who: &str, key: &Key, value: Option<&Envelope>, expect: &Expect) -> Put {
        let mut state = self.state();
        if !is_expected(state.slots.get(key).map(|slot| &slot.revision), expect) {
            return Put::Conflict;
        }
        state.number += 1;
        let number = state.number.to_string();
        let (before, revision) = match value {
            Some(value) => {
                let revision = value.revision(number);
                let slot = Slot { revision: revision.clone(), content: Content::Value(value.clone()) };
                (state.slots.insert(key.clone(), slot), revision)
            }
            None => (state.slots.remove(key), Revision { engine: number, nonce: Nonce::from_random([0; 16]), change: 0 }),
        };
        state.tell(key);
        drop(state);
        if let Some(reader) = &self.reader {
            reader.wrote(who, key, before.as_ref().and_then(Slot::envelope), value);
        }
        Put::Done(revision)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, key: &Key) {
        self.feeds.retain(|(_, feed)| !feed.is_closed());
        self.feeds.iter().for_each(|(_, feed)| feed.changed(key));
    }
}

#[async_trait]
impl Plant for Engine {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        let mut state = self.state();
        state.number += 1;
        let number = state.number.to_string();
        let slot = match Envelope::from_bytes(bytes) {
            Ok(envelope) => Slot { revision: envelope.revision(number), content: Content::Value(envelope) },
            Err(error) => {
                Slot { revision: garbage_revision(number, bytes, bytes.len() as u64), content: Content::Garbage(error.to_string()) }
            }
        };
        state.slots.insert(key.clone(), slot);
        state.tell(key);
    }
}

/// One node's line to the engine.
#[derive(Debug)]
pub struct Line {
    engine: Arc<Engine>,
    who: String,
    link: Arc<Link>,
}

impl Line {
    /// By this link.
    pub fn new(engine: &Arc<Engine>, who: &str, link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self { engine: engine.clone(), who: who.to_owned(), link: link.clone() })
    }

    async fn write(&self, key: &Key, value: Option<&Envelope>, expect: &Expect) -> Result<Put, StoreError> {
        let what = if value.is_some() { format!("the write of {key}") } else { format!("the deletion of {key}") };
        match self.link.pass(&what, || self.engine.swap(&self.who, key, value, expect)).await {
            Passed::Answer(put) => Ok(put),
            Passed::NotSent => Err(away()),
            Passed::Lost => Ok(Put::Unknown("no answer came".into())),
        }
    }
}

fn away() -> StoreError {
    StoreError::Away { why: "no answer came".into() }
}

fn read<T>(passed: Passed<Result<T, StoreError>>) -> Result<T, StoreError> {
    match passed {
        Passed::Answer(answer) => answer,
        Passed::NotSent | Passed::Lost => Err(away()),
    }
}

#[async_trait]
impl Store for Line {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        read(self.link.pass(&format!("the read of {key}"), || self.engine.get(key)).await)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        read(self.link.pass(&format!("the list of {prefix}"), || self.engine.list(prefix)).await)
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        value.to_bytes().map_err(|error| StoreError::Unfit { key: key.clone(), why: error.to_string() })?;
        self.write(key, Some(value), expect).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.write(key, None, &Expect::Revision(expect.clone())).await
    }

    /// A line that is cut tells nothing until it is mended, and then that notices may have been lost ([`Engine::reset`]).
    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let watching = || {
            let (feed, watch) = Watch::channel(prefix);
            self.engine.state().feeds.push((self.who.clone(), feed));
            Ok(watch)
        };
        read(self.link.pass("the watch", watching).await)
    }

    fn visibility_delay(&self) -> Duration {
        Duration::ZERO
    }
}
