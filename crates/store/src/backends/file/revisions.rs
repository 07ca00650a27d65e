//! One key's directory: which revisions are there, and what the highest says.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Nonce, Revision};
use certfleet_core::key::Key;
use serde::{Deserialize, Serialize};

use super::names::{KEY_FILE, TEMP_PREFIX, revision_name, revision_number};
use super::root::{fault, read_bounded};
use super::syscalls::Calls;
use crate::contract::Stored;
use crate::error::StoreError;

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
    /// Deleted.
    Tombstone(u64, Nonce),
}

/// A look at a key.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) head: Head,
    pub(super) foreign: Vec<String>,
}

/// Looks at the key whose revisions are in `dir`.
pub(super) fn look(calls: &dyn Calls, dir: &Path, key: &Key) -> Result<Look, StoreError> {
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
        if let Some(head) = read(dir, key, number)? {
            return Ok(Look { head, foreign: entries.foreign });
        }
    }
    Err(StoreError::Away { why: format!("{} lists revisions that cannot be opened, {LIST_AGAIN_MAX} times", dir.display()) })
}

/// Reads one revision; `None` if it is not there (any more).
pub(super) fn read(dir: &Path, key: &Key, number: u64) -> Result<Option<Head>, StoreError> {
    let path = dir.join(revision_name(number));
    let bytes = match read_bounded(&path, ENVELOPE_BYTES_MAX as u64) {
        Err(e) if is_gone(&e) => return Ok(None),
        other => other.map_err(|e| fault("read", &path, &e))?,
    };
    let corrupt = |why: String| StoreError::Corrupt { key: key.clone(), why: format!("{} is {why}", path.display()) };
    if bytes.starts_with(TOMBSTONE_START) {
        let Tombstone { tombstone } = serde_json::from_slice(&bytes).map_err(|e| corrupt(format!("not a tombstone: {e}")))?;
        return Ok(Some(Head::Tombstone(number, tombstone)));
    }
    let envelope = Envelope::from_bytes(&bytes).map_err(|e| corrupt(e.to_string()))?;
    let revision = revision(number, &envelope.nonce);
    Ok(Some(Head::Value(number, Box::new(Stored { envelope, revision }))))
}

/// A revision as the callers know it.
pub(super) fn revision(number: u64, nonce: &Nonce) -> Revision {
    Revision { engine: number.to_string(), nonce: nonce.clone() }
}

/// Whether an error says that another writer removed it.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle)
}
