//! The store's directory: made, recognised, and recognised again later.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Directory;
use super::names::{Place, TEMP_PREFIX};
use super::syscalls::Calls;
use crate::error::{OpenError, StoreError};
use crate::nonce::fresh_nonce;

/// The layout that this version reads and writes.
const LAYOUT: u32 = 1;
/// The file by which a store is known.
const MARKER_FILE: &str = "certfleet-store.json";
/// Below it are the keys.
pub(super) const DATA_DIR: &str = "data";
/// Largest marker that is read, in bytes.
const MARKER_BYTES_MAX: u64 = 4096;
/// Only the user certfleet runs as.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const ABOUT: &str = "certfleet keeps its fleet's state here, private keys included; one directory per key, the highest number is the value";

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    layout: u32,
    id: String,
    about: String,
}

/// Recognises the store in `root` and gives its id.
pub(super) fn open(root: &Path) -> Result<String, OpenError> {
    let missing = |why: &str| OpenError::Missing { path: root.to_owned(), why: why.to_owned() };
    let bytes = match read_bounded(&root.join(MARKER_FILE), MARKER_BYTES_MAX) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && !root.exists() => {
            return Err(missing("the directory does not exist; mount its file system, or run `certfleet init` to make a new fleet"));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let why = "the directory has no store in it; if it is a mount point, mount its file system, else run `certfleet init` to make a new fleet";
            return Err(missing(why));
        }
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Err(missing("it is not a directory; give the path of one")),
        other => other.map_err(|e| fault("read", &root.join(MARKER_FILE), &e))?,
    };
    let marker: Marker = serde_json::from_slice(&bytes)
        .map_err(|e| missing(&format!("{MARKER_FILE} cannot be read ({e}); restore the store from a backup")))?;
    if marker.layout > LAYOUT {
        return Err(OpenError::TooNew { path: root.to_owned(), found: marker.layout, known: LAYOUT });
    }
    Ok(marker.id)
}

/// Makes the store in `root` unless there is one, and gives its id. Several may do so at once; one store comes of it.
pub(super) fn create(root: &Path, calls: &dyn Calls) -> Result<String, OpenError> {
    make_dirs(root, calls).map_err(|e| fault("make", root, &e))?;
    match open(root) {
        Err(OpenError::Missing { .. }) => {}
        other => return other,
    }
    refuse_other_contents(root)?;
    let data = root.join(DATA_DIR);
    make_dir(&data).map_err(|e| fault("make", &data, &e))?;
    let marker = Marker { layout: LAYOUT, id: fresh_nonce()?.as_str().to_owned(), about: ABOUT.to_owned() };
    let marker = serde_json::to_vec_pretty(&marker).map_err(|e| StoreError::Away { why: e.to_string() })?;
    write_once(&root.join(MARKER_FILE), &marker, calls).map_err(|e| fault("write", &root.join(MARKER_FILE), &e))?;
    calls.sync_dir(root).map_err(|e| fault("sync", root, &e))?;
    open(root)
}

/// A directory in which people keep other things is not taken.
fn refuse_other_contents(root: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(root).map_err(|e| fault("list", root, &e))? {
        let name = entry.map_err(|e| fault("list", root, &e))?.file_name();
        let known = name == DATA_DIR || name == MARKER_FILE || name == "lost+found" || name.as_encoded_bytes().starts_with(b".");
        if !known {
            let why = format!("the directory holds other things (`{}`); give an empty one", name.to_string_lossy().escape_default());
            return Err(OpenError::Missing { path: root.to_owned(), why });
        }
    }
    Ok(())
}

impl Directory {
    /// Fails if the directory is not the store that was opened: unmounted, or another one.
    pub(super) fn still_there(&self) -> Result<(), StoreError> {
        match open(&self.root) {
            Ok(id) if id == self.id => Ok(()),
            Ok(_) => Err(StoreError::NeedsOperator {
                what: format!("{} is another store than the one that was opened", self.root.display()),
                remedy: "mount the right file system, or restart certfleet if this is intended".into(),
            }),
            Err(OpenError::Store(error)) => Err(error),
            Err(other) => Err(StoreError::Away { why: other.to_string() }),
        }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.root.join(DATA_DIR)
    }

    pub(super) fn shard_dir(&self, place: &Place) -> PathBuf {
        self.data_dir().join(&place.shard)
    }

    pub(super) fn key_dir(&self, place: &Place) -> PathBuf {
        self.shard_dir(place).join(&place.name)
    }
}

/// Makes a private directory; one that is there is fine.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        other => other,
    }
}

/// Makes a directory and what is missing above it, each entry made durable.
fn make_dirs(dir: &Path, calls: &dyn Calls) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let Some(parent) = dir.parent() else { return Ok(()) };
    make_dirs(parent, calls)?;
    make_dir(dir)?;
    calls.sync_dir(parent)
}

/// Makes a new private file.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Writes a file that comes into being whole; one that is there stays.
pub(super) fn write_once(path: &Path, bytes: &[u8], calls: &dyn Calls) -> io::Result<()> {
    let nonce = fresh_nonce().map_err(io::Error::other)?;
    let temp = path.with_file_name(format!("{TEMP_PREFIX}{}", nonce.as_str()));
    let mut file = new_file(&temp)?;
    let written = file.write_all(bytes).and_then(|()| calls.sync_file(&file, &temp));
    drop(file);
    let linked = written.and_then(|()| fs::hard_link(&temp, path));
    let removed = fs::remove_file(&temp);
    match linked {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => removed,
        other => other.and(removed),
    }
}

/// Reads a file of at most `bytes_max` bytes; one more byte is given if it is longer, so that the reader can tell.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, bytes_max)
}

/// As [`read_bounded`], of an open file.
pub(super) fn bounded(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What link(2) is called in errors.
pub(super) const LINK: &str = "link a revision in";

/// An error of the file system as an error of the store.
pub(super) fn fault(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind as K;
    let what = format!("cannot {doing} {}: {error}", path.display());
    let no_links = "the file system has no hard links; choose another one for the store";
    let remedy = match error.kind() {
        _ if doing == LINK && error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => no_links,
        K::PermissionDenied => "let the user that certfleet runs as own the store's directory; machines that share it use one user id",
        K::StorageFull | K::QuotaExceeded => "free space on that file system",
        K::ReadOnlyFilesystem => "mount it read-write",
        K::Unsupported => no_links,
        _ => return StoreError::Away { why: what },
    };
    StoreError::NeedsOperator { what, remedy: remedy.into() }
}
