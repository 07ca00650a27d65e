//! `file:`: a directory, local or on a network file system that several machines mount.
//!
//! ```text
//! <root>/certfleet-store.json                the store's identity
//! <root>/data/<shard>/<key>/0000000007       revision 7 of a key: an envelope, or a tombstone
//! <root>/data/<shard>/<key>/.new-<random>    a value on its way
//! ```
//!
//! Always holds:
//! * a revision comes into being by `link(2)`, whole and synced, and its content never changes;
//! * the highest revision of a key is its value, and is never removed (a deleted key ends in a tombstone), so a number above the highest was
//!   never used;
//! * revisions are removed in rising order;
//! * an absent answer is given only after the store's identity was read, so an unmounted directory is never taken for an empty store.
//!
//! Deliberately not here: lock files and leases (nothing can go stale), and clocks of other machines (ages are differences of the file
//! system's own stamps).

mod clean;
mod mount;
mod names;
mod pool;
mod read;
mod revisions;
mod root;
mod syscalls;
mod watch;
mod write;

#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::{OpenError, StoreError};
use crate::watch::Watch;
use mount::Mount;
use pool::Pool;
use syscalls::{Calls, RealCalls};
use write::New;

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchMode {
    /// By inotify where the file system is this machine's own, else by polling.
    Auto,
    /// By polling.
    Poll,
}

/// A store in a directory.
pub struct FileStore {
    directory: Arc<Directory>,
    watch: WatchMode,
    pool: Pool,
}

/// What the blocking parts share.
pub(crate) struct Directory {
    root: PathBuf,
    /// From the marker file; drawn when the store was made.
    id: String,
    mount: Mount,
    calls: Arc<dyn Calls>,
}

impl FileStore {
    /// Opens the store in `root`.
    pub async fn open(root: &Path, watch: WatchMode) -> Result<Arc<Self>, OpenError> {
        Self::open_with(root, watch, false, Arc::new(RealCalls)).await
    }

    /// Opens the store in `root`, and makes it first if there is nothing yet.
    pub async fn open_or_create(root: &Path, watch: WatchMode) -> Result<Arc<Self>, OpenError> {
        Self::open_with(root, watch, true, Arc::new(RealCalls)).await
    }

    async fn open_with(root: &Path, watch: WatchMode, create: bool, calls: Arc<dyn Calls>) -> Result<Arc<Self>, OpenError> {
        let pool = Pool::default();
        let root = root.to_owned();
        let opened = pool.run(move || -> Result<Directory, OpenError> {
            let id = if create { root::create(&root, calls.as_ref())? } else { root::open(&root)? };
            let mount = Mount::of(&root);
            Ok(Directory { root, id, mount, calls })
        });
        let directory = Arc::new(opened.await.map_err(|why| StoreError::Away { why })??);
        clean::sweep_in_background(directory.clone());
        Ok(Arc::new(Self { directory, watch, pool }))
    }

    /// Runs blocking work on the directory.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Result<T, StoreError>, String> {
        let directory = self.directory.clone();
        self.pool.run(move || work(&directory)).await
    }
}

/// A read that does not come back changes nothing.
fn answered<T>(answer: Result<Result<T, StoreError>, String>) -> Result<T, StoreError> {
    answer.unwrap_or_else(|why| Err(StoreError::Away { why }))
}

#[async_trait]
impl Store for FileStore {
    fn kind(&self) -> &'static str {
        "file"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let key = key.clone();
        answered(self.run(move |directory| directory.read(&key)).await)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let prefix = prefix.to_owned();
        answered(self.run(move |directory| directory.list(&prefix)).await)
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let new = New::value(key, value)?;
        let (key, expect) = (key.clone(), expect.clone());
        let answer = self.run(move |directory| directory.write(&key, &new, &expect)).await;
        answer.unwrap_or_else(|why| Ok(Put::Unknown(why)))
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let grave = New::tombstone(key)?;
        let (key, expect) = (key.clone(), Expect::Revision(expect.clone()));
        let answer = self.run(move |directory| directory.delete(&key, &grave, &expect)).await;
        answer.unwrap_or_else(|why| Ok(Put::Unknown(why)))
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let polls = self.watch == WatchMode::Poll || !self.directory.mount.is_local;
        let prefix = prefix.to_owned();
        let start = {
            let directory = self.directory.clone();
            self.pool.run(move || watch::start(directory, &prefix, polls)).await
        };
        answered(start)
    }

    fn visibility_delay(&self) -> Duration {
        self.directory.mount.visibility_delay
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("root", &self.directory.root).field("mount", &self.directory.mount).finish_non_exhaustive()
    }
}
