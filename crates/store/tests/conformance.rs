//! The suite, for every engine.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_store::backends::file::{FileStore, WatchMode};
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::{Pair, Plant};
use certfleet_store::{Envelope, Expect, Key, Put, Store, fresh_nonce};

mod memory {
    use super::*;

    async fn pair() -> (Pair, ()) {
        let store = MemoryStore::new();
        let plant = PlantInMemory(store.clone());
        (Pair { one: store.clone(), other: store, plant: Some(Arc::new(plant)) }, ())
    }

    #[derive(Debug)]
    struct PlantInMemory(Arc<MemoryStore>);

    #[async_trait]
    impl Plant for PlantInMemory {
        async fn plant(&self, key: &Key, bytes: &[u8]) {
            self.0.plant(key, bytes);
        }
    }

    certfleet_store::conformance!(pair);
}

async fn file_pair(watch: WatchMode) -> (Pair, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("new/store");
    let one = FileStore::open_or_create(&root, watch).await.expect("made");
    let other = FileStore::open(&root, watch).await.expect("opened");
    let plant = PlantFile { root, store: one.clone() };
    (Pair { one, other, plant: Some(Arc::new(plant)) }, dir)
}

/// Writes the next revision of a key by hand.
#[derive(Debug)]
struct PlantFile {
    root: PathBuf,
    store: Arc<FileStore>,
}

#[async_trait]
impl Plant for PlantFile {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        if self.dir_of(key).is_none() {
            let value = Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), &0).expect("json");
            assert!(matches!(self.store.put(key, &value, &Expect::Absent).await, Ok(Put::Done(_))));
        }
        let dir = self.dir_of(key).expect("the key was written");
        let numbers =
            fs::read_dir(&dir).expect("listed").filter_map(|entry| entry.expect("entry").file_name().to_str()?.parse::<u64>().ok());
        let next = numbers.max().expect("a revision") + 1;
        fs::write(dir.join(format!("{next:010}")), bytes).expect("written");
    }
}

impl PlantFile {
    /// The directory of a key that is plain but for its slashes.
    fn dir_of(&self, key: &Key) -> Option<PathBuf> {
        let name = key.as_str().replace('/', "+");
        let shards = fs::read_dir(self.root.join("data")).expect("listed").map(|shard| shard.expect("entry").path());
        shards.map(|shard| shard.join(&name)).find(|dir| dir.is_dir())
    }
}

mod file {
    use super::*;

    async fn pair() -> (Pair, tempfile::TempDir) {
        file_pair(WatchMode::Auto).await
    }

    certfleet_store::conformance!(pair);
}

mod file_polled {
    use super::*;

    async fn pair() -> (Pair, tempfile::TempDir) {
        file_pair(WatchMode::Poll).await
    }

    certfleet_store::conformance!(pair);
}
