//! What stood where a moment ago: clients with old directories see it, and a fail-over brings it back.

use std::collections::VecDeque;
use std::time::Duration;

use certfleet_core::key::Key;
use tokio::time::Instant;

use super::Slot;

/// What stood under a key until a moment.
#[derive(Debug)]
struct Was {
    key: Key,
    until: Instant,
    slot: Option<Slot>,
}

/// The latest changes, oldest first.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<Was>);

impl Past {
    /// Something else stands under `key` from now on; what is older than `horizon` is forgotten.
    pub fn add(&mut self, key: &Key, slot: Option<Slot>, horizon: Duration) {
        let now = Instant::now();
        while self.0.front().is_some_and(|was| now.duration_since(was.until) > horizon) {
            self.0.pop_front();
        }
        self.0.push_back(Was { key: key.clone(), until: now, slot });
    }

    /// What stood under `key` at a moment, if something else stands there now.
    pub fn at(&self, key: &Key, moment: Instant) -> Option<Option<&Slot>> {
        let was = self.0.iter().find(|was| was.key == *key && was.until > moment)?;
        Some(was.slot.as_ref())
    }

    /// Keys that were changed lately.
    pub fn keys(&self) -> Vec<&Key> {
        self.0.iter().map(|was| &was.key).collect()
    }

    /// Takes out what was changed after a moment, the last change first: the key, and what stood there before.
    pub fn undo(&mut self, moment: Instant) -> Vec<(Key, Option<Slot>)> {
        let first = self.0.iter().position(|was| was.until > moment).unwrap_or(self.0.len());
        self.0.drain(first..).rev().map(|was| (was.key, was.slot)).collect()
    }
}
