//! The store: its engine, and the lines by which nodes reach it. It keeps the contract of `certfleet_store::Store` and passes its suite; what
//! is bad about a line is its [`Link`](crate::link::Link)'s, what is bad about the engine is its [`Nature`]'s.

mod backup;
mod entrance;
mod feeds;
mod line;
mod nature;
mod past;
mod plant;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use certfleet_store::{Listing, Put, StoreError, Stored, is_expected};
use tokio::time::Instant;

use crate::draw::Draw;
use crate::gate::Process;
use entrance::Carrier;
use feeds::Feed;
use past::Past;

pub use line::Line;
pub use nature::{KINDS, Kind, LOST_MS_MAX, Nature};

/// Who looks at every write that took place.
pub trait Reader: Send + Sync + std::fmt::Debug {
    /// `who` wrote `after` (nothing: it was deleted) where `before` was.
    fn wrote(&self, who: &str, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>);
    /// `who` begins a write; it may never arrive.
    fn begins(&self, _who: &str, _key: &Key) {}
    /// `who` was told what stands there.
    fn was_told(&self, _who: &str, _key: &Key, _value: &Envelope) {}
    /// The engine lost this value, which had been acknowledged.
    fn lost(&self, _key: &Key, _value: Option<&Envelope>) {}
    /// What stood there last, before a backup was brought back in which something else does.
    fn brought_back(&self, _key: &Key, _latest: Option<&Envelope>) {}
}

/// The engine.
#[derive(Debug, Default)]
pub struct Engine {
    nature: Nature,
    state: Mutex<State>,
    reader: Option<Arc<dyn Reader>>,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<Key, Slot>,
    past: Past,
    /// All that happened, if a backup is to be brought back.
    all: Option<Past>,
    number: u64,
    feeds: Vec<Arc<Feed>>,
    draw: Option<Draw>,
    /// Until when it has no leader.
    torn_until: Option<Instant>,
    /// Whose machine carries it, if one does.
    carrier: Option<Carrier>,
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

/// What meets a question that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    /// It is done and answered.
    Well,
    /// Nobody is there.
    Nowhere,
    /// It is not done, and who asked does not know.
    Dropped,
    /// It is done, and who asked does not know.
    Mute,
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
    /// An empty one without weaknesses; `reader` sees every write.
    pub fn new(reader: Option<Arc<dyn Reader>>) -> Arc<Self> {
        Self::of(Nature::default(), reader, Draw::new(0))
    }

    /// An empty one of this nature.
    pub fn of(nature: Nature, reader: Option<Arc<dyn Reader>>, draw: Draw) -> Arc<Self> {
        let state = State { draw: Some(draw), ..State::default() };
        Arc::new(Self { nature, state: Mutex::new(state), reader })
    }

    /// What it is like.
    pub fn nature(&self) -> &Nature {
        &self.nature
    }

    /// What stands under a key.
    pub fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.get_as_of(key, Instant::now())
    }

    /// The envelope under a key, if there is a readable one.
    pub fn envelope(&self, key: &Key) -> Option<Envelope> {
        self.state().slots.get(key)?.envelope().cloned()
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Key> {
        self.state().slots.keys().cloned().collect()
    }

    /// Tells `who` that notices to it may have been lost.
    pub fn reset(&self, who: &str) {
        self.state().feeds.iter().filter(|feed| feed.is_of(who)).for_each(|feed| feed.reset());
    }

    /// Whether `who` could reach it: who carries it, and everybody while that one runs.
    pub fn is_reachable(&self, who: &str) -> bool {
        self.state().is_reachable(who)
    }

    /// What stands there has been there for long: no fail-over loses it.
    pub fn settle(&self) {
        self.state().past = Past::default();
    }

    /// For so long it has no leader, as after the loss of one.
    pub fn tear(&self, span: Duration) {
        self.state().torn_until = Some(Instant::now() + span);
    }

    /// A fail-over to a replica that has not heard of the last writes: they are gone, and numbers come again. Gives the keys.
    pub fn fail_over(&self, span: Duration) -> Vec<Key> {
        let mut state = self.state();
        let moment = Instant::now().checked_sub(span).unwrap_or_else(Instant::now);
        let undone = state.past.undo(moment);
        state.all.as_mut().map(|all| all.undo(moment));
        let lost = state.put_back(undone);
        let mut keys: Vec<Key> = lost.iter().map(|(key, _)| key.clone()).collect();
        keys.sort();
        keys.dedup();
        state.feeds.iter().for_each(|feed| feed.reset());
        drop(state);
        if let Some(reader) = &self.reader {
            lost.iter().for_each(|(key, value)| reader.lost(key, value.as_ref()));
        }
        keys
    }

    fn get_as_of(&self, key: &Key, moment: Instant) -> Result<Option<Stored>, StoreError> {
        self.state().as_of(key, moment).map_or(Ok(None), |slot| slot.answer(key))
    }

    fn list_as_of(&self, prefix: &str, mut moment: impl FnMut(&Key) -> Instant) -> Result<Listing, StoreError> {
        let (state, mut listing) = (self.state(), Listing::default());
        let gone = if self.nature.cache.is_zero() { Vec::new() } else { state.past.keys() };
        let keys = state.slots.keys().chain(gone).filter(|key| key.is_under(prefix));
        let keys: std::collections::BTreeSet<&Key> = keys.collect();
        for key in keys {
            listing.add(key, state.as_of(key, moment(key)).map_or(Ok(None), |slot| slot.answer(key)))?;
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
        let (slot, revision) = match value {
            Some(value) => {
                let revision = value.revision(number);
                (Some(Slot { revision: revision.clone(), content: Content::Value(value.clone()) }), revision)
            }
            None => (None, Revision { engine: number, nonce: Nonce::from_random([0; 16]), change: 0 }),
        };
        let before = state.set(key, slot, &self.nature);
        drop(state);
        if let Some(reader) = &self.reader {
            reader.wrote(who, key, before.as_ref().and_then(Slot::envelope), value);
        }
        Put::Done(revision)
    }

    fn add_feed(self: &Arc<Self>, feed: Arc<Feed>) {
        if self.nature.poll.is_some() {
            tokio::spawn(feed.clone().poll(Arc::downgrade(self)));
        }
        self.state().feeds.push(feed);
    }

    /// How long this operation takes besides.
    fn pace(&self) -> Duration {
        match self.nature.slow_ms {
            0 => Duration::ZERO,
            most => Duration::from_millis(self.state().draws(|draw| draw.between(1, most))),
        }
    }

    fn arrive(&self, who: &str, changes: bool) -> Arrived {
        let mut state = self.state();
        let is_torn = state.torn_until.is_some_and(|until| Instant::now() < until);
        match () {
            () if !state.is_reachable(who) => Arrived::Nowhere,
            () if is_torn && !changes => Arrived::Nowhere,
            () if is_torn => state.draws(|draw| *draw.one(&[Arrived::Nowhere, Arrived::Dropped, Arrived::Mute])),
            () if self.nature.lost > 0 && state.draws(|draw| draw.once_in_a_thousand(self.nature.lost)) => Arrived::Mute,
            () => Arrived::Well,
        }
    }

    fn begins(&self, who: &str, key: &Key) {
        if let Some(reader) = &self.reader {
            reader.begins(who, key);
        }
    }

    /// Somebody was told what stands there.
    fn is_told(&self, who: &str, key: &Key, value: &Envelope) {
        if let Some(reader) = &self.reader {
            reader.was_told(who, key, value);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts something under a key and tells of it; gives what stood there.
    fn set(&mut self, key: &Key, slot: Option<Slot>, nature: &Nature) -> Option<Slot> {
        let before = match slot {
            Some(slot) => self.slots.insert(key.clone(), slot),
            None => self.slots.remove(key),
        };
        self.past.add(key, before.clone(), nature.horizon());
        self.all.iter_mut().for_each(|all| all.add(key, before.clone(), Duration::MAX));
        self.feeds.retain(|feed| !feed.is_closed());
        self.feeds.iter().for_each(|feed| feed.changed(key, nature.poll.is_some()));
        before
    }

    fn as_of(&self, key: &Key, moment: Instant) -> Option<&Slot> {
        self.past.at(key, moment).unwrap_or_else(|| self.slots.get(key))
    }

    fn is_reachable(&self, who: &str) -> bool {
        self.carrier.as_ref().is_none_or(|carrier| who == carrier.who || carrier.gate.process() == Process::Runs)
    }

    fn draws<T>(&mut self, what: impl FnOnce(&mut Draw) -> T) -> T {
        what(self.draw.get_or_insert_with(|| Draw::new(0)))
    }
}
