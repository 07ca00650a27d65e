//! Finding the store, and noticing that it is gone.

use super::*;
use crate::error::{OpenError, StoreError};

async fn why_not(root: &Path) -> String {
    let error = FileStore::open(root, WatchMode::Auto).await.expect_err("no store");
    assert!(matches!(error, OpenError::Missing { .. } | OpenError::TooNew { .. }), "{error}");
    error.to_string()
}

/// Opening makes nothing, and says what to do.
#[tokio::test]
async fn an_empty_directory_is_no_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("store");
    assert!(why_not(&root).await.contains("does not exist; mount its file system, or run `certfleet init`"));
    fs::create_dir(&root).expect("made");
    assert!(why_not(&root).await.contains("mount point"));
    assert_eq!(names(&root), Vec::<String>::new());
    fs::write(root.join("thesis.tex"), "").expect("written");
    let refused = FileStore::open_or_create(&root, WatchMode::Auto).await.expect_err("not ours").to_string();
    assert!(refused.contains("`thesis.tex`"), "{refused}");
    assert!(why_not(&root.join("thesis.tex")).await.contains("not a directory"));
}

/// A later version's layout is left alone.
#[tokio::test]
async fn a_later_layout_is_refused() {
    let fixture = Fixture::new().await;
    let marker = fixture.root().join("certfleet-store.json");
    let later = fs::read_to_string(&marker).expect("read").replace("\"layout\": 1", "\"layout\": 2");
    fs::write(&marker, later).expect("written");
    assert!(why_not(&fixture.root()).await.contains("upgrade certfleet"));
    fs::write(&marker, "{").expect("written");
    assert!(why_not(&fixture.root()).await.contains("restore"));
}

/// Several at once make one store.
#[tokio::test(flavor = "multi_thread")]
async fn one_store_comes_of_many_creators() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut creators = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let root = dir.path().join("a/b/store");
        creators.spawn(async move { FileStore::open_or_create(&root, WatchMode::Auto).await.expect("made").directory.id.clone() });
    }
    let ids = creators.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

/// The entries of new directories are synced, up to the first that was there.
#[tokio::test]
async fn new_parents_are_durable() {
    #[derive(Debug, Default)]
    struct Synced(std::sync::Mutex<Vec<PathBuf>>);
    impl Calls for Synced {
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.0.lock().expect("lock").push(dir.to_owned());
            RealCalls.sync_dir(dir)
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let calls = Arc::new(Synced::default());
    let root = dir.path().join("a/store");
    FileStore::open_with(&root, WatchMode::Auto, true, calls.clone()).await.expect("made");
    assert_eq!(*calls.0.lock().expect("lock"), [dir.path().to_owned(), dir.path().join("a"), root]);
}

/// An unmounted file system leaves an empty directory: nothing in it is "absent", and nothing is written there.
#[tokio::test]
async fn an_unmounted_store_is_away_and_not_empty() {
    let fixture = Fixture::new().await;
    let at = key("fleet");
    let revision = done(fixture.store.put(&at, &value(1), &Expect::Absent).await);
    let aside = fixture.dir.path().join("aside");
    fs::rename(fixture.root(), &aside).expect("renamed");
    fs::create_dir(fixture.root()).expect("made");
    assert!(matches!(fixture.store.get(&at).await, Err(StoreError::Away { .. })));
    assert!(matches!(fixture.store.list("").await, Err(StoreError::Away { .. })));
    assert!(matches!(fixture.store.put(&key("certs/a"), &value(1), &Expect::Absent).await, Err(StoreError::Away { .. })));
    assert_eq!(names(&fixture.root()), Vec::<String>::new());

    fs::remove_dir(fixture.root()).expect("removed");
    FileStore::open_or_create(&fixture.root(), WatchMode::Auto).await.expect("another");
    assert!(matches!(fixture.store.get(&at).await, Err(StoreError::NeedsOperator { .. })), "another store is there");
    assert!(matches!(fixture.store.put(&at, &value(1), &Expect::Absent).await, Err(StoreError::NeedsOperator { .. })));

    fs::remove_dir_all(fixture.root()).expect("removed");
    fs::rename(&aside, fixture.root()).expect("renamed");
    assert_eq!(fixture.store.get(&at).await.expect("back").expect("there").revision, revision);
}
