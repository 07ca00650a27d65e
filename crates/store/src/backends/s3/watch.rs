//! Noticing changes: a list at each interval, compared with the one before. However many watch, and whatever prefixes, one task looks.
//!
//! Always holds: what changed between two looks is told by the second, since no two values of a key have the same ETag; where a look fails, the
//! next is compared with the last that did not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use certfleet_core::key::Key;

use super::Inner;
use super::clean::Graves;
use super::list::Listed;
use super::names::Names;
use crate::error::StoreError;
use crate::watch::{Watch, WatchFeed};

/// Who is told, and what they were told last.
#[derive(Debug, Default)]
pub(super) struct Watching(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    feeds: Vec<(String, WatchFeed)>,
    /// What is listed: above all that is watched, and none above another.
    prefixes: BTreeSet<String>,
    /// ETags by name, as of the last look.
    seen: BTreeMap<String, String>,
    is_looked_for: bool,
}

/// Starts to watch; what changes after this returned is told.
pub(super) async fn start(store: &Arc<Inner>, prefix: &str) -> Result<Watch, StoreError> {
    let prefix = prefix.trim_end_matches('/');
    let (feed, watch) = Watch::channel(prefix);
    if !store.watching.join(prefix, &feed) {
        let listed = store.listed(prefix).await?;
        if store.watching.begin(&store.names, prefix, feed, listed) {
            tokio::spawn(look_again_and_again(store.clone()));
        }
    }
    Ok(watch)
}

async fn look_again_and_again(store: Arc<Inner>) {
    let mut graves = Graves::default();
    loop {
        tokio::time::sleep(store.url.poll).await;
        let Some(prefixes) = store.watching.prefixes() else { return };
        for prefix in prefixes {
            match store.listed(&prefix).await {
                Ok(listed) => {
                    let due = if prefix.is_empty() { graves.due(&listed, Instant::now()) } else { Vec::new() };
                    store.watching.compare(&store.names, &prefix, listed);
                    graves.remove(&store, due).await;
                }
                Err(error) => tracing::debug!(%error, "changes cannot be looked for"),
            }
        }
    }
}

impl Watching {
    /// A write of this handle took place.
    pub(super) fn wrote(&self, key: &Key, name: &str, etag: &str) {
        let mut state = self.state();
        if state.is_looked_for {
            state.seen.insert(name.to_owned(), etag.to_owned());
            state.feeds.iter().for_each(|(_, feed)| feed.changed(key));
        }
    }

    /// Whether what `feed` watches is looked for already; it is told then, too.
    fn join(&self, prefix: &str, feed: &WatchFeed) -> bool {
        let mut state = self.state();
        let is_covered = state.is_looked_for && state.prefixes.iter().any(|above| is_above(above, prefix));
        if is_covered {
            state.feeds.push((prefix.to_owned(), feed.clone()));
        }
        is_covered
    }

    /// From `listed` on. Whether the task that looks is to be started.
    fn begin(&self, names: &Names, prefix: &str, feed: WatchFeed, listed: Vec<Listed>) -> bool {
        let mut state = self.state();
        // What others were not told yet stays different from the next list.
        for object in listed {
            let is_covered = state.prefixes.iter().any(|above| object.name.starts_with(&names.under(above)));
            if !is_covered {
                state.seen.insert(object.name, object.etag);
            }
        }
        state.prefixes.retain(|below| !is_above(prefix, below));
        state.prefixes.insert(prefix.to_owned());
        state.feeds.push((prefix.to_owned(), feed));
        !std::mem::replace(&mut state.is_looked_for, true)
    }

    /// What is to be listed; `None` when nobody watches any more.
    fn prefixes(&self) -> Option<BTreeSet<String>> {
        let mut state = self.state();
        state.feeds.retain(|(_, feed)| !feed.is_closed());
        if state.feeds.is_empty() {
            *state = State::default();
            return None;
        }
        Some(state.prefixes.clone())
    }

    fn compare(&self, names: &Names, prefix: &str, listed: Vec<Listed>) {
        let mut state = self.state();
        let begin = names.under(prefix);
        let before = state.seen.range(begin.clone()..).take_while(|(name, _)| name.starts_with(&begin));
        let mut gone: BTreeMap<String, String> = before.map(|(name, etag)| (name.clone(), etag.clone())).collect();
        let mut changed = Vec::new();
        for Listed { name, etag, .. } in listed {
            if gone.remove(&name).as_ref() != Some(&etag) {
                changed.push(name.clone());
                state.seen.insert(name, etag);
            }
        }
        for (name, _) in gone {
            state.seen.remove(&name);
            changed.push(name);
        }
        let keys = changed.iter().filter_map(|name| names.key(name).ok());
        keys.for_each(|key| state.feeds.iter().for_each(|(_, feed)| feed.changed(&key)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all keys at or below `prefix` are at or below `above`.
fn is_above(above: &str, prefix: &str) -> bool {
    above.is_empty() || prefix.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
