//! A backup of the whole engine that is brought back: under all keys stands again what stood there a while ago.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::Key;
use tokio::time::Instant;

use super::past::Past;
use super::{Engine, Slot, State};

impl Engine {
    /// Remembers all that happens from now on, so that a backup of any later moment can be brought back.
    pub fn remember(&self) {
        self.state().all = Some(Past::default());
    }

    /// Brings back the backup of so long ago; numbers come again. Gives how many keys it changed.
    pub fn bring_back(&self, span: Duration) -> usize {
        let mut state = self.state();
        let moment = Instant::now().checked_sub(span).unwrap_or_else(Instant::now);
        let Some(undone) = state.all.as_mut().map(|all| all.undo(moment)) else { return 0 };
        state.past = Past::default();
        let mut latest: BTreeMap<Key, Option<Envelope>> = BTreeMap::new();
        for (key, value) in state.put_back(undone) {
            latest.entry(key).or_insert(value);
        }
        state.feeds.iter().for_each(|feed| feed.reset());
        drop(state);
        if let Some(reader) = &self.reader {
            latest.iter().for_each(|(key, value)| reader.brought_back(key, value.as_ref()));
        }
        latest.len()
    }
}

impl State {
    /// Undoes changes, the last one first; gives what is gone.
    pub(super) fn put_back(&mut self, undone: Vec<(Key, Option<Slot>)>) -> Vec<(Key, Option<Envelope>)> {
        self.number -= undone.len() as u64;
        let mut gone = Vec::new();
        for (key, slot) in undone {
            let value = match slot {
                Some(slot) => self.slots.insert(key.clone(), slot),
                None => self.slots.remove(&key),
            };
            gone.push((key, value.as_ref().and_then(Slot::envelope).cloned()));
        }
        gone
    }
}
