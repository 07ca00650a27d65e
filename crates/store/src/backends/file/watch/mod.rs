//! Noticing changes: by inotify where it sees all of them, else by polling.
//!
//! Either way a slow look at everything goes on beside it, since a writer may die after its link and before it could announce it.

mod inotify;
mod poll;
pub(super) mod snapshot;

use std::sync::Arc;
use std::time::{Duration, Instant};

use certfleet_core::key::Key;

use super::Directory;
use super::names::Place;
use super::read::Found;
use crate::error::StoreError;
use crate::watch::{Watch, WatchFeed};
use snapshot::{Depth, Snapshot};

/// The slow look happens this often at most …
const FULL_LOOK_SECONDS_MIN: u64 = 30;
/// … and takes at most one part in this many of the time.
const FULL_LOOK_PART: u32 = 1000;

/// Starts to watch; what changes after this returned is told.
pub(super) fn start(directory: Arc<Directory>, prefix: &str, polls: bool) -> Result<Watch, StoreError> {
    let (feed, watch) = Watch::channel(prefix);
    let notices = if polls { None } else { inotify::Notices::start(directory.clone()) };
    let looker = Looker { snapshot: Snapshot::take(directory)?, full_look_at: Instant::now() + Duration::from_secs(FULL_LOOK_SECONDS_MIN) };
    match notices {
        Some(notices) => _ = tokio::spawn(inotify::run(notices, looker, feed)),
        None => _ = tokio::spawn(poll::run(looker, feed)),
    }
    Ok(watch)
}

/// Compares the directory with what it was.
struct Looker {
    snapshot: Snapshot,
    full_look_at: Instant,
}

impl Looker {
    /// Looks once, off the run time's threads, and tells what changed.
    async fn look(mut self, feed: &WatchFeed) -> Option<Self> {
        let now = Instant::now();
        let full = now >= self.full_look_at;
        let task = tokio::task::spawn_blocking(move || {
            let changed = self.snapshot.look(if full { Depth::All } else { Depth::Announced }, now);
            if full {
                self.full_look_at = Instant::now() + Duration::from_secs(FULL_LOOK_SECONDS_MIN).max(now.elapsed() * FULL_LOOK_PART);
            }
            (self, changed)
        });
        let (looker, changed) = task.await.ok()?;
        match changed {
            Ok(changed) => changed.iter().for_each(|key| feed.changed(key)),
            Err(error) => {
                tracing::debug!(%error, "the store could not be looked at");
                feed.reset();
            }
        }
        Some(looker)
    }
}

/// The key of a directory's name; `None` for what is foreign or only just being made.
fn key_named(directory: &Directory, shard: &str, name: &str) -> Option<Key> {
    let place = Place { shard: shard.to_owned(), name: name.to_owned(), hashed: false };
    let is_dir = directory.key_dir(&place).is_dir();
    match directory.key_of(&place, is_dir) {
        Ok(Some(Found::Key(key))) => Some(key),
        _ => None,
    }
}
