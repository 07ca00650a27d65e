//! The node's own files: written whole, private from the first byte.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Largest file of the state directory that is read, in bytes.
pub const STATE_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Room for a value as JSON, in bytes: what has a secret in the clear fits, so that no copy is left behind by growing.
const JSON_BYTES: usize = 16 * 1024;
/// Writers of one file take turns, since they have one temporary file; most writers of different files do not meet.
static TURNS: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];
/// Directories whose disk is taken for full.
static FULL: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
pub(crate) const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIR: u32 = 0o700;

/// A file of this node that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be {doing}: {source}", path.display())]
pub struct DiskError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was tried, as a participle.
    pub doing: &'static str,
    /// What came of it.
    pub source: io::Error,
}

/// For simulators and tests: while it lives, nothing can be written below a directory, as if its disk were full. Nobody else makes one.
#[derive(Debug)]
pub struct Full(PathBuf);

impl Full {
    /// The disk with this directory.
    pub fn of(dir: &Path) -> Self {
        full().insert(dir.to_owned());
        Self(dir.to_owned())
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        full().remove(&self.0);
    }
}

fn full() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    FULL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asked before a file is written.
pub(crate) fn has_room(path: &Path) -> io::Result<()> {
    let is_full = full().iter().any(|dir| path.starts_with(dir));
    if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

pub(crate) fn at(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError { path, doing, source }
}

/// Makes a directory (and those above it) that only this user can enter.
pub fn make_private_dir(dir: &Path) -> Result<(), DiskError> {
    std::fs::DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir).map_err(at(dir, "created"))
}

/// Writes a file whole: a temporary file beside it, synced, then renamed over it. 0600 from the first byte.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), DiskError> {
    write_whole(path, content, true)
}

fn write_whole(path: &Path, content: &[u8], synced: bool) -> Result<(), DiskError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_private_dir(dir)?;
    let _turn = turn(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let written = write_new(&temporary, content, synced).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(at(path, "written"))?;
    if !synced {
        return Ok(());
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir, "synced"))
}

fn turn(path: &Path) -> MutexGuard<'static, ()> {
    let draw = certfleet_core::hash::draw(&[&path.to_string_lossy()]);
    TURNS[draw as usize % TURNS.len()].lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an earlier process with this number left is removed; nothing is written through a link that somebody laid.
fn write_new(path: &Path, content: &[u8], synced: bool) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    has_room(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path)?;
    file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
    file.write_all(content)?;
    if synced { file.sync_all() } else { Ok(()) }
}

/// The file's bytes, wiped after use; `None` if it does not exist.
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
    read_up_to(path, STATE_FILE_BYTES_MAX)
}

/// The same of a file that may be larger.
pub(crate) fn read_up_to(path: &Path, bytes_max: u64) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, "opened")(error)),
    };
    // Sized first, so that no copy is left behind by growing.
    let size = file.metadata().map_or(0, |meta| meta.len()).min(bytes_max) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default()));
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(at(path, "read"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(at(path, "read")(io::Error::other(format!("it is larger than {bytes_max} bytes"))));
    }
    Ok(Some(bytes))
}

/// Reads [`write_json`]; `None` if it does not exist.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DiskError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| at(path, "understood")(io::Error::other(error)))
}

/// [`write_private`] of a value as JSON.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    write_whole(path, &json(path, value)?, true)
}

/// The same, of what need not outlive a loss of power; whole all the same.
pub fn write_json_unsynced<T: Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    write_whole(path, &json(path, value)?, false)
}

pub(crate) fn not_understood(path: &Path, error: serde_json::Error) -> DiskError {
    at(path, "understood")(io::Error::other(error))
}

fn json<T: Serialize>(path: &Path, value: &T) -> Result<Zeroizing<Vec<u8>>, DiskError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(JSON_BYTES));
    serde_json::to_writer_pretty(&mut *bytes, value).map_err(|error| at(path, "written")(io::Error::other(error)))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_and_whole() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("a/b/file");
        write_private(&path, b"one").expect("writes");
        write_private(&path, b"two").expect("overwrites");
        assert_eq!(read(&path).expect("reads").as_ref().map(|bytes| bytes.as_slice()), Some(b"two".as_slice()));
        let mode = |p: &Path| std::fs::metadata(p).expect("exists").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("has one"))), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().expect("has one")).expect("lists").count(), 1);
        assert!(read(&dir.path().join("none")).expect("reads").is_none());
    }

    /// Two targets of one certificate keep the same key and chain at the same moment.
    #[test]
    fn a_file_that_many_write_at_once_is_one_of_theirs() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = &path;
                scope.spawn(move || (0..50).for_each(|_| write_json_unsynced(path, &vec![writer; 1000]).expect("writes")));
            }
        });
        let read: Vec<u8> = read_json(&path).expect("whole").expect("there");
        assert_eq!(read, vec![read[0]; 1000]);
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1);
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("x.json");
        std::fs::write(&path, "{").expect("writes");
        let error = read_json::<u32>(&path).expect_err("it is broken").to_string();
        assert!(error.contains("x.json cannot be understood"), "{error}");
    }
}
