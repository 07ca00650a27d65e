//! One key's directory: which revisions are there, and what the highest says.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Nonce, Revision};
use certfleet_core::key::Key;
use serde::{Deserialize, Serialize};

use super::names::{KEY_FILE, TEMP_PREFIX, revision_name, revision_number};
use super::root::{bounded, fault};
use super::syscalls::Calls;
use crate::contract::Stored;
use crate::error::StoreError;
use crate::revision::garbage_revision;

/// How often a directory is listed again because what it listed was gone.
const LIST_AGAIN_MAX: u32 = 20;
/// Listings without a wait; later ones wait for a network file system to see its own changes.
const LIST_AT_ONCE: u32 = 5;
const LIST_WAIT_MS: u64 = 10;

/// How a tombstone begins; no envelope does.
const TOMBSTONE_START: &[u8] = b"{\"tombstone\":";

#[derive(Debug, Serialize, Deserialize)]
struct Tombstone {
    tombstone: Nonce,
}

/// What stands in a tombstone revision.
pub(super) fn tombstone(nonce: &Nonce) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(&Tombstone { tombstone: nonce.clone() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The entries of a key's directory.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Numbers of the revisions, rising.
    pub(super) numbers: Vec<u64>,
    /// Values on their way.
    pub(super) temps: Vec<String>,
    /// What is not ours.
    pub(super) foreign: Vec<String>,
}

impl Entries {
    /// Lists `dir`.
    pub(super) fn of(dir: &Path) -> io::Result<Self> {
        let mut entries = Self::default();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            match revision_number(&name) {
                Some(number) => entries.numbers.push(number),
                None if name.starts_with(TEMP_PREFIX) => entries.temps.push(name.into_owned()),
                // NFS keeps deleted files that are open as `.nfs…`.
                None if name == KEY_FILE || name.starts_with(".nfs") => {}
                None => entries.foreign.push(name.into_owned()),
            }
        }
        entries.numbers.sort_unstable();
        Ok(entries)
    }

    /// The number that counts; 0 if there is none.
    pub(super) fn highest(&self) -> u64 {
        self.numbers.last().copied().unwrap_or(0)
    }
}

/// What the highest revision says.
#[derive(Debug)]
pub(super) enum Head {
    /// There never was one.
    Absent,
    /// A value.
    Value(u64, Box<Stored>),
    /// Neither a value nor a tombstone: why not, and what names it.
    Garbage(u64, String, Revision),
    /// Deleted.
    Tombstone(u64, Nonce),
}

impl Head {
    /// The number that the next one follows.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::Value(number, _) | Self::Garbage(number, ..) | Self::Tombstone(number, _) => *number,
        }
    }

    /// What a write has to name; `None` where it has to expect absence.
    pub(super) fn revision(&self) -> Option<&Revision> {
        match self {
            Self::Absent | Self::Tombstone(..) => None,
            Self::Value(_, stored) => Some(&stored.revision),
            Self::Garbage(.., revision) => Some(revision),
        }
    }

    /// What tells this revision from another one of the same number.
    pub(super) fn nonce(&self) -> Option<&Nonce> {
        match self {
            Self::Tombstone(_, nonce) => Some(nonce),
            other => other.revision().map(|revision| &revision.nonce),
        }
    }

    /// What the key reads as.
    pub(super) fn answer(self, key: &Key) -> Result<Option<Stored>, StoreError> {
        match self {
            Self::Absent | Self::Tombstone(..) => Ok(None),
            Self::Value(_, stored) => Ok(Some(*stored)),
            Self::Garbage(_, why, revision) => Err(StoreError::Corrupt { key: key.clone(), why, revision }),
        }
    }
}

/// A look at a key.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) head: Head,
    pub(super) foreign: Vec<String>,
}

/// Looks at the key whose revisions are in `dir`. What cannot be read is an answer too.
pub(super) fn look(calls: &dyn Calls, dir: &Path) -> Result<Look, StoreError> {
    for attempt in 0..LIST_AGAIN_MAX {
        if attempt >= LIST_AT_ONCE {
            thread::sleep(Duration::from_millis(LIST_WAIT_MS));
        }
        let entries = match Entries::of(dir) {
            Err(e) if is_gone(&e) => Entries::default(),
            other => other.map_err(|e| fault("list", dir, &e))?,
        };
        let number = entries.highest();
        if number == 0 {
            return Ok(Look { head: Head::Absent, foreign: entries.foreign });
        }
        calls.listed(dir);
        // The highest is never removed: if it is gone, a higher one is there.
        if let Some(head) = read(dir, number)? {
            return Ok(Look { head, foreign: entries.foreign });
        }
    }
    Err(StoreError::Away { why: format!("{} lists revisions that cannot be opened, {LIST_AGAIN_MAX} times", dir.display()) })
}

/// Reads one revision; `None` if it is not there (any more).
pub(super) fn read(dir: &Path, number: u64) -> Result<Option<Head>, StoreError> {
    let path = dir.join(revision_name(number));
    let (bytes, length) = match read_file(&path) {
        Err(e) if is_gone(&e) => return Ok(None),
        // Named as a revision, and none of ours: as a value it is empty.
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => (Vec::new(), 0),
        other => other.map_err(|e| fault("read", &path, &e))?,
    };
    let garbage =
        |why: String| Head::Garbage(number, format!("{} is {why}", path.display()), garbage_revision(number.to_string(), &bytes, length));
    if bytes.starts_with(TOMBSTONE_START) {
        let grave = serde_json::from_slice(&bytes);
        return Ok(Some(
            grave.map_or_else(|e| garbage(format!("not a tombstone: {e}")), |Tombstone { tombstone }| Head::Tombstone(number, tombstone)),
        ));
    }
    let head = Envelope::from_bytes(&bytes).map_or_else(
        |e| garbage(e.to_string()),
        |envelope| {
            let revision = envelope.revision(number.to_string());
            Head::Value(number, Box::new(Stored { envelope, revision }))
        },
    );
    Ok(Some(head))
}

/// What can be a value of a file, or more; and the file's length.
fn read_file(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((bounded(file, ENVELOPE_BYTES_MAX as u64)?, length))
}

/// Whether an error says that another writer removed it.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}
