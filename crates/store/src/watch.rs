//! Change notices: a bounded, coalescing queue from a backend to one reader.
//!
//! Always holds: what was fed since the last [`Watch::next`] comes out of the next one, at most once per key; more than
//! [`WATCH_KEYS_MAX`] keys become one [`Change::Reset`]. A slow reader costs a bounded amount of memory and never blocks a writer.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certfleet_core::key::Key;
use tokio::sync::Notify;

/// How many changed keys wait for the reader before they become a [`Change::Reset`].
pub const WATCH_KEYS_MAX: usize = 1024;

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These keys, sorted.
    Keys(Vec<Key>),
    /// Anything: list again.
    Reset,
}

/// The reader's end; dropping it ends the watching.
pub struct Watch {
    queue: Arc<Queue>,
}

/// The backend's end; when the last clone is dropped, the reader gets `None`.
pub struct WatchFeed {
    queue: Arc<Queue>,
    prefix: String,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    readable: Notify,
    reader_gone: Notify,
}

#[derive(Default)]
struct State {
    keys: BTreeSet<Key>,
    reset: bool,
    feeds: usize,
    reader_gone: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// A queue for keys at or below `prefix`.
    pub fn channel(prefix: &str) -> (WatchFeed, Watch) {
        let queue = Arc::new(Queue::default());
        queue.state().feeds = 1;
        (WatchFeed { queue: queue.clone(), prefix: prefix.to_owned() }, Watch { queue })
    }

    /// Waits for the next change; `None` when there will be no more (the store is closed). Cancel-safe.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            if let Some(answer) = self.take() {
                return answer;
            }
            self.queue.readable.notified().await;
        }
    }

    /// `None`: wait.
    fn take(&self) -> Option<Option<Change>> {
        let mut state = self.queue.state();
        if std::mem::take(&mut state.reset) {
            state.keys.clear();
            return Some(Some(Change::Reset));
        }
        if !state.keys.is_empty() {
            return Some(Some(Change::Keys(std::mem::take(&mut state.keys).into_iter().collect())));
        }
        (state.feeds == 0).then_some(None)
    }
}

impl WatchFeed {
    /// `key` may have changed; nothing happens if it is not below the prefix.
    pub fn changed(&self, key: &Key) {
        if !key.is_under(&self.prefix) {
            return;
        }
        let mut state = self.queue.state();
        if state.reset || state.reader_gone {
            return;
        }
        state.keys.insert(key.clone());
        if state.keys.len() > WATCH_KEYS_MAX {
            state.keys.clear();
            state.reset = true;
        }
        drop(state);
        self.queue.readable.notify_one();
    }

    /// Notices may have been lost.
    pub fn reset(&self) {
        self.queue.state().reset = true;
        self.queue.readable.notify_one();
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.queue.state().reader_gone
    }

    /// Waits until nobody reads any more. For one waiter.
    pub async fn closed(&self) {
        while !self.is_closed() {
            self.queue.reader_gone.notified().await;
        }
    }
}

impl Clone for WatchFeed {
    fn clone(&self) -> Self {
        self.queue.state().feeds += 1;
        Self { queue: self.queue.clone(), prefix: self.prefix.clone() }
    }
}

impl Drop for WatchFeed {
    fn drop(&mut self) {
        self.queue.state().feeds -= 1;
        self.queue.readable.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.queue.state().reader_gone = true;
        self.queue.reader_gone.notify_one();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl fmt::Debug for WatchFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchFeed").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        text.parse().expect("key")
    }

    #[tokio::test]
    async fn keys_coalesce_and_others_are_passed_over() {
        let (feed, mut watch) = Watch::channel("a");
        for changed in ["a/2", "b/1", "a/1", "a/2", "ab"] {
            feed.changed(&key(changed));
        }
        assert_eq!(watch.next().await, Some(Change::Keys(vec![key("a/1"), key("a/2")])));
        drop(feed);
        assert_eq!(watch.next().await, None);
    }

    #[tokio::test]
    async fn too_many_become_a_reset() {
        let (feed, mut watch) = Watch::channel("");
        for n in 0..WATCH_KEYS_MAX + 5 {
            feed.changed(&key(&format!("k/{n}")));
        }
        assert_eq!(watch.next().await, Some(Change::Reset));
        feed.changed(&key("later"));
        assert_eq!(watch.next().await, Some(Change::Keys(vec![key("later")])));
    }

    #[tokio::test]
    async fn the_feed_learns_that_nobody_reads() {
        let (feed, watch) = Watch::channel("");
        assert!(!feed.is_closed());
        drop(watch);
        feed.closed().await;
    }
}
