//! The suite, for every engine.

use certfleet_store::backends::file::{FileStore, WatchMode};
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::Pair;

mod memory {
    use super::*;

    async fn pair() -> (Pair, ()) {
        let store = MemoryStore::new();
        (Pair { one: store.clone(), other: store }, ())
    }

    certfleet_store::conformance!(pair);
}

async fn file_pair(watch: WatchMode) -> (Pair, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("new/store");
    let one = FileStore::open_or_create(&root, watch).await.expect("made");
    let other = FileStore::open(&root, watch).await.expect("opened");
    (Pair { one, other }, dir)
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
