//! What the directory looked like, and what has changed since.
//!
//! A writer stamps its key's directory and then its shard's. So a look compares the shards, and in those that moved the keys, and in keys that
//! moved the highest number. Stamps are coarse: two changes within one tick look like one. What moved is therefore looked at again for a
//! while, by number.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certfleet_core::key::Key;

use super::super::Directory;
use super::super::names::is_shard;
use super::super::revisions::{Entries, is_gone};
use super::super::root::fault;
use super::key_named;
use crate::error::StoreError;

/// No file system's stamps are coarser (FAT: 2 s).
const TICK_SECONDS_MAX: i64 = 3;

/// How much to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Depth {
    /// Shards that were stamped.
    Announced,
    /// Every key.
    All,
}

/// Modification time: seconds, nanoseconds.
type Stamp = (i64, i64);

/// The state at the last look.
pub(in super::super) struct Snapshot {
    directory: Arc<Directory>,
    shards: HashMap<String, Shard>,
}

#[derive(Default)]
struct Shard {
    stamp: Stamp,
    hot_until: Option<Instant>,
    keys: HashMap<String, Seen>,
}

#[derive(Default)]
struct Seen {
    stamp: Stamp,
    hot_until: Option<Instant>,
    highest: u64,
}

/// One look.
struct Pass<'a> {
    directory: &'a Directory,
    now: Instant,
    depth: Depth,
    /// At the first look: stamps from then on are young.
    young_from: Option<i64>,
}

impl Pass<'_> {
    /// Until when something with this stamp is looked at again.
    fn hot_until(&self, stamp: Stamp) -> Option<Instant> {
        let tick = Duration::from_secs(TICK_SECONDS_MAX.unsigned_abs()) + self.directory.mount.visibility_delay;
        let young = self.young_from.is_none_or(|from| stamp.0 >= from);
        young.then(|| self.now + tick)
    }
}

impl Snapshot {
    /// The first look.
    pub(in super::super) fn take(directory: Arc<Directory>) -> Result<Self, StoreError> {
        let young_from = Some(directory.clock()? - TICK_SECONDS_MAX);
        let mut snapshot = Self { directory, shards: HashMap::new() };
        snapshot.pass(Depth::All, Instant::now(), young_from)?;
        Ok(snapshot)
    }

    /// What has changed since the last look.
    pub(in super::super) fn look(&mut self, depth: Depth, now: Instant) -> Result<Vec<Key>, StoreError> {
        self.pass(depth, now, None)
    }

    fn pass(&mut self, depth: Depth, now: Instant, young_from: Option<i64>) -> Result<Vec<Key>, StoreError> {
        let mut changed = Vec::new();
        let pass = Pass { directory: &self.directory, now, depth, young_from };
        for name in self.directory.shards()?.into_iter().filter(|name| is_shard(name)) {
            let shard = self.shards.entry(name.clone()).or_default();
            let dir = self.directory.data_dir().join(&name);
            look_at_shard(&pass, &name, &dir, shard, &mut changed).map_err(|e| fault("look at", &dir, &e))?;
        }
        Ok(changed)
    }
}

fn look_at_shard(pass: &Pass<'_>, name: &str, dir: &Path, shard: &mut Shard, changed: &mut Vec<Key>) -> io::Result<()> {
    let Some(stamp) = stamp(dir)? else { return Ok(()) };
    if stamp != shard.stamp {
        shard.hot_until = pass.hot_until(stamp);
    }
    let is_hot = shard.hot_until.is_some_and(|until| until > pass.now);
    if stamp == shard.stamp && !is_hot && pass.depth == Depth::Announced {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let key_name = entry?.file_name().to_string_lossy().into_owned();
        if look_at_key(pass, &dir.join(&key_name), shard.keys.entry(key_name.clone()).or_default())? {
            changed.extend(key_named(pass.directory, name, &key_name));
        }
    }
    shard.stamp = stamp;
    Ok(())
}

/// Whether it has changed.
fn look_at_key(pass: &Pass<'_>, dir: &Path, seen: &mut Seen) -> io::Result<bool> {
    let Some(stamp) = stamp(dir)? else { return Ok(false) };
    if stamp != seen.stamp {
        seen.hot_until = pass.hot_until(stamp);
    } else if seen.hot_until.is_none_or(|until| until <= pass.now) {
        return Ok(false);
    }
    seen.stamp = stamp;
    let highest = match Entries::of(dir) {
        Err(e) if is_gone(&e) || e.kind() == io::ErrorKind::NotADirectory => 0,
        other => other?.highest(),
    };
    Ok(std::mem::replace(&mut seen.highest, highest) != highest)
}

/// `None` if it is gone.
fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some((found.mtime(), found.mtime_nsec()))),
        Err(e) if is_gone(&e) => Ok(None),
        Err(e) => Err(e),
    }
}
