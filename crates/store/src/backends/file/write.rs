//! One write: a value becomes the next revision, or it does not.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use super::Directory;
use super::clean::KEPT_REVISIONS;
use super::names::{KEY_FILE, Place, TEMP_PREFIX, revision_name};
use super::revisions::{Entries, Head, look, read, tombstone};
use super::root::{LINK, fault, make_dir, new_file, write_once};
use crate::contract::Put;
use crate::error::StoreError;
use crate::nonce::fresh_nonce;
use crate::revision::is_expected;

/// What is written, and what names it beside the number it gets.
pub(super) struct New {
    nonce: Nonce,
    change: u64,
    bytes: Vec<u8>,
}

impl New {
    /// A value.
    pub(super) fn value(key: &Key, value: &Envelope) -> Result<Self, StoreError> {
        let bytes = value.to_bytes().map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
        Ok(Self { nonce: value.nonce.clone(), change: value.change, bytes })
    }

    /// A deletion. The value that comes after it is the first.
    pub(super) fn tombstone(key: &Key) -> Result<Self, StoreError> {
        let nonce = fresh_nonce()?;
        let bytes = tombstone(&nonce).map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
        Ok(Self { nonce, change: 0, bytes })
    }

    fn revision(&self, number: u64) -> Revision {
        Revision { engine: number.to_string(), nonce: self.nonce.clone(), change: self.change }
    }
}

/// The revision that a write follows.
struct Base {
    /// 0: none.
    number: u64,
    nonce: Option<Nonce>,
}

/// What link(2) did.
enum Linked {
    Won,
    Lost,
    Refused(io::Error),
    Unknown(String),
}

impl Directory {
    /// Writes `new` if what is there is as expected.
    pub(super) fn write(&self, key: &Key, new: &New, expect: &Expect) -> Result<Put, StoreError> {
        let place = Place::of(key);
        let dir = self.key_dir(&place);
        let Some(base) = follow(&look(self.calls.as_ref(), &dir)?.head, expect) else { return Ok(Put::Conflict) };
        let number = base.number.checked_add(1).ok_or_else(|| no_more_numbers(&dir))?;
        if base.number == 0 {
            self.make_key_dir(&place, key)?;
        }
        let temp = Temp::write(self, &dir, &new.bytes)?;
        let linked = self.link(&temp.path, &dir.join(revision_name(number)));
        let stamp = temp.mtime;
        // Gone before anything is answered: what is not linked now never will be, also if a server has our request still lying about.
        drop(temp);
        match linked {
            Linked::Lost => Ok(Put::Conflict),
            Linked::Refused(e) => Err(fault(LINK, &dir, &e)),
            Linked::Unknown(why) => Ok(Put::Unknown(why)),
            Linked::Won => self.settle(key, &place, &base, new, stamp),
        }
    }

    /// Writes a tombstone.
    pub(super) fn delete(&self, key: &Key, grave: &New, expect: &Expect) -> Result<Put, StoreError> {
        let put = self.write(key, grave, expect)?;
        if matches!(put, Put::Done(_)) {
            self.purge_if_throw_away(key);
        }
        Ok(put)
    }

    fn make_key_dir(&self, place: &Place, key: &Key) -> Result<(), StoreError> {
        self.still_there()?;
        let (shard, dir) = (self.shard_dir(place), self.key_dir(place));
        make_dir(&shard).map_err(|e| fault("make", &shard, &e))?;
        make_dir(&dir).map_err(|e| fault("make", &dir, &e))?;
        if place.hashed {
            let path = dir.join(KEY_FILE);
            write_once(&path, key.as_str().as_bytes(), self.calls.as_ref()).map_err(|e| fault("write", &path, &e))?;
        }
        Ok(())
    }

    fn link(&self, temp: &Path, target: &Path) -> Linked {
        use io::ErrorKind as K;
        let Err(error) = self.calls.link(temp, target) else { return Linked::Won };
        // A network file system may have done it and lost the answer, or have been asked twice. Two names mean that we won.
        match names_of(temp) {
            Ok(2..) => Linked::Won,
            Ok(_) if error.kind() == K::AlreadyExists => Linked::Lost,
            Ok(_) if is_definite(&error) => Linked::Refused(error),
            _ => Linked::Unknown(format!("link to {} gave: {error}", target.display())),
        }
    }

    /// After link: makes it last, then finds out whether it counts. A writer that slept may have linked a number that others had used and
    /// cleaned away.
    fn settle(&self, key: &Key, place: &Place, base: &Base, new: &New, stamp: i64) -> Result<Put, StoreError> {
        let (dir, number) = (self.key_dir(place), base.number + 1);
        self.sync(place, base).map_err(|e| StoreError::NotDurable { key: key.clone(), why: fault("sync", &dir, &e).to_string() })?;
        self.announce(place);
        let entries = match Entries::of(&dir) {
            Ok(entries) => entries,
            Err(e) => return Ok(Put::Unknown(fault("list", &dir, &e).to_string())),
        };
        let highest = entries.highest();
        let counts = highest == number || (highest > number && still_follows(&dir, base));
        self.clean(&dir, &entries, KEPT_REVISIONS, stamp);
        if counts {
            return Ok(Put::Done(new.revision(number)));
        }
        Ok(Put::Unknown(format!("revision {number} of `{key}` was written, and revision {highest} is there")))
    }

    /// Makes the new entry durable, and for a key's first revision the directories that others may have made and not synced.
    fn sync(&self, place: &Place, base: &Base) -> io::Result<()> {
        self.calls.sync_dir(&self.key_dir(place))?;
        if base.number == 0 {
            self.calls.sync_dir(&self.shard_dir(place))?;
            self.calls.sync_dir(&self.data_dir())?;
        }
        Ok(())
    }

    /// Tells the watchers: inotify sees the key's directory, pollers the shard's. By the file system's clock, not this machine's.
    fn announce(&self, place: &Place) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        for dir in [self.key_dir(place), self.shard_dir(place)] {
            if let Err(error) = utimensat(CWD, &dir, &times, AtFlags::empty()) {
                // Watchers will find the change when they look at everything.
                tracing::debug!(dir = %dir.display(), %error, "change could not be announced");
            }
        }
    }
}

/// The revision to follow, if what is there is as expected.
fn follow(head: &Head, expect: &Expect) -> Option<Base> {
    is_expected(head.revision(), expect).then(|| Base { number: head.number(), nonce: head.nonce().cloned() })
}

/// Someone else gave a file the highest number there is: ours never come that far.
fn no_more_numbers(dir: &Path) -> StoreError {
    let what = format!("the newest file in {} has the last possible number, so nothing can be written after it", dir.display());
    StoreError::NeedsOperator { what, remedy: "certfleet did not write that file; move it out of the way".into() }
}

/// Whether the revision that ours follows is still there. Revisions are removed in rising order, so ours was then never used before; others
/// have written after it.
fn still_follows(dir: &Path, base: &Base) -> bool {
    matches!(read(dir, base.number), Ok(Some(found)) if found.nonce() == base.nonce.as_ref())
}

/// How many names a file has; opened first, since NFS answers from its cache otherwise.
fn names_of(path: &Path) -> io::Result<u64> {
    Ok(fs::File::open(path)?.metadata()?.nlink())
}

/// Errors after which a local or remote file system has certainly done nothing.
fn is_definite(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::StorageFull | K::QuotaExceeded | K::ReadOnlyFilesystem | K::PermissionDenied | K::Unsupported)
}

/// A value on its way; its name goes when this is dropped.
struct Temp {
    path: PathBuf,
    /// Seconds, by the file system's clock.
    mtime: i64,
}

impl Temp {
    fn write(directory: &Directory, dir: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let path = dir.join(format!("{TEMP_PREFIX}{}", fresh_nonce()?.as_str()));
        let failed = |e: &io::Error| fault("write", &path, e);
        let mut file = new_file(&path).map_err(|e| failed(&e))?;
        let mut temp = Self { path: path.clone(), mtime: 0 };
        file.write_all(bytes).map_err(|e| failed(&e))?;
        directory.calls.sync_file(&file, &path).map_err(|e| failed(&e))?;
        temp.mtime = file.metadata().map_err(|e| failed(&e))?.mtime();
        Ok(temp)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "left for the cleaning");
        }
    }
}
