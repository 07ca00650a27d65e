//! Removing what nobody needs: old revisions, values whose writer died, and keys that will never come back.
//!
//! Always holds: revisions go in rising order and the highest stays. A writer that slept through all of it finds out after its link.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use certfleet_core::key::Key;

use super::Directory;
use super::names::{KEY_FILE, Place, TEMP_PREFIX, revision_name};
use super::read::Found;
use super::revisions::{Entries, Head, is_gone, look};
use super::root::new_file;
use crate::error::StoreError;
use crate::nonce::fresh_nonce;

/// Revisions that are left, the highest among them: a reader that listed has time for two more writes before it has to list again.
pub(super) const KEPT_REVISIONS: usize = 3;
/// Age at which a value on its way has lost its writer. A writer that is slower finds its file gone and says so.
const TEMP_SECONDS_MAX: i64 = 3600;
/// Age at which the tombstone of a key that is never used again goes.
const TOMBSTONE_SECONDS_MAX: i64 = 24 * 3600;
/// Keys that are created once and never again: only these are ever unlinked.
const CREATED_ONCE: [&str; 4] = ["keys", "versions", "challenges", THROW_AWAY];
/// Keys whose one user is gone when they are deleted.
const THROW_AWAY: &str = "probe";

impl Directory {
    /// Removes old revisions and stale temporary files of one key. `now` is by the file system's clock, in seconds.
    pub(super) fn clean(&self, dir: &Path, entries: &Entries, kept: usize, now: i64) {
        let old = entries.numbers.len().saturating_sub(kept);
        for number in &entries.numbers[..old] {
            // Rising order is what a late writer relies on: never pass over one.
            if !removed(&dir.join(revision_name(*number))) {
                break;
            }
        }
        for temp in &entries.temps {
            let path = dir.join(temp);
            if fs::symlink_metadata(&path).is_ok_and(|file| now - file.mtime() > TEMP_SECONDS_MAX) {
                removed(&path);
            }
        }
    }

    /// Unlinks a deleted key of the probe.
    pub(super) fn purge_if_throw_away(&self, key: &Key) {
        if key.is_under(THROW_AWAY) {
            purge(&self.key_dir(&Place::of(key)));
        }
    }

    /// Cleans every key.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock()?;
        self.each_key("", &mut |place, found| {
            let Found::Key(key) = found else { return Ok(()) };
            let dir = self.key_dir(place);
            if let Ok(entries) = Entries::of(&dir) {
                self.clean(&dir, &entries, KEPT_REVISIONS, now);
            }
            if CREATED_ONCE.iter().any(|prefix| key.is_under(prefix)) && self.is_long_gone(&dir, now) {
                purge(&dir);
            }
            Ok(())
        })
    }

    /// What time it is for the file system, in seconds.
    pub(super) fn clock(&self) -> Result<i64, StoreError> {
        let path = self.root.join(format!("{TEMP_PREFIX}{}", fresh_nonce()?.as_str()));
        let stamp = new_file(&path).and_then(|file| file.metadata());
        removed(&path);
        Ok(stamp.map_err(|e| super::root::fault("write", &path, &e))?.mtime())
    }

    fn is_long_gone(&self, dir: &Path, now: i64) -> bool {
        let Ok(Head::Tombstone(number, _)) = look(self.calls.as_ref(), dir).map(|look| look.head) else { return false };
        fs::metadata(dir.join(revision_name(number))).is_ok_and(|file| now - file.mtime() > TOMBSTONE_SECONDS_MAX)
    }
}

/// Sweeps once, in the background: at each start of a daemon.
pub(super) fn sweep_in_background(directory: Arc<Directory>) {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = directory.sweep() {
            tracing::debug!(root = %directory.root.display(), %error, "old revisions could not be cleaned");
        }
    });
}

/// Removes a key for good: its revisions, rising, and its directory unless something foreign is in it.
fn purge(dir: &Path) {
    let Ok(entries) = Entries::of(dir) else { return };
    let revisions_gone = entries.numbers.iter().all(|number| removed(&dir.join(revision_name(*number))));
    if revisions_gone && entries.temps.is_empty() && entries.foreign.is_empty() && removed(&dir.join(KEY_FILE)) {
        let _ = fs::remove_dir(dir);
    }
}

/// Removes a file; true if it is gone.
fn removed(path: &Path) -> bool {
    let gone = |e: &io::Error| is_gone(e);
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(e) if gone(&e) => true,
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "could not be cleaned");
            false
        }
    }
}
