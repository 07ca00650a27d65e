//! What makes the file store sound, one rule at a time. Each test fails without its rule.

mod foreign;
mod opening;
mod tidying;
mod watching;
mod writers;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;
use tempfile::TempDir;

use super::names::{Place, revision_name};
use super::root::DATA_DIR;
use super::syscalls::{Calls, RealCalls};
use super::{FileStore, WatchMode};
use crate::contract::{Put, Store};
use crate::nonce::fresh_nonce;

/// A new store in a directory of its own.
struct Fixture {
    dir: TempDir,
    store: Arc<FileStore>,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = FileStore::open_or_create(&dir.path().join("store"), WatchMode::Auto).await.expect("made");
        Self { dir, store }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// A further handle, whose calls are ours.
    async fn with(&self, calls: Arc<dyn Calls>) -> Arc<FileStore> {
        FileStore::open_with(&self.root(), WatchMode::Auto, false, calls).await.expect("opened")
    }

    /// Where the revisions of a key are.
    fn dir_of(&self, key: &Key) -> PathBuf {
        let place = Place::of(key);
        self.root().join(DATA_DIR).join(place.shard).join(place.name)
    }

    /// Writes `count` further values.
    async fn go_on(&self, key: &Key, count: usize) {
        for _ in 0..count {
            let expect = match self.store.get(key).await.expect("read") {
                Some(stored) => Expect::Revision(stored.revision),
                None => Expect::Absent,
            };
            done(self.store.put(key, &value("others"), &expect).await);
        }
    }

    async fn body(&self, key: &Key) -> Option<serde_json::Value> {
        self.store.get(key).await.expect("read").map(|stored| stored.envelope.body)
    }
}

fn key(text: &str) -> Key {
    text.parse().expect("key")
}

fn value(body: impl serde::Serialize) -> Envelope {
    Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), &body).expect("json")
}

#[track_caller]
fn done(put: Result<Put, crate::StoreError>) -> Revision {
    match put {
        Ok(Put::Done(revision)) => revision,
        other => panic!("wanted Done, got {other:?}"),
    }
}

/// The names in a directory, sorted.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).expect("listed").map(|e| e.expect("entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

/// Sets the modification time of a file or directory, in seconds from now.
fn age(path: &Path, seconds: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
    File::open(path).expect("opened").set_modified(then).expect("set");
}
