//! What is removed, and what never is.

use super::*;
use serde_json::json;

const DAY_SECONDS: u64 = 24 * 3600;

/// The highest and a few for readers on their way.
#[tokio::test]
async fn old_revisions_go_and_the_highest_stays() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    fixture.go_on(&at, 10).await;
    assert_eq!(names(&fixture.dir_of(&at)), ["0000000008", "0000000009", "0000000010"]);
    let last = fixture.store.get(&at).await.expect("read").expect("there").revision;
    done(fixture.store.delete(&at, &last).await);
    age(&fixture.dir_of(&at).join(revision_name(11)), 365 * DAY_SECONDS);
    fixture.store.directory.sweep().expect("swept");
    assert_eq!(names(&fixture.dir_of(&at)), ["0000000009", "0000000010", "0000000011"], "a tombstone is a revision, and the highest");
}

/// Values whose writer died go by age; a living writer's stays.
#[tokio::test]
async fn temporary_files_go_by_age() {
    let fixture = Fixture::new().await;
    let (at, other) = (key("certs/a"), key("certs/b"));
    fixture.go_on(&at, 1).await;
    fixture.go_on(&other, 1).await;
    for dir in [fixture.dir_of(&at), fixture.dir_of(&other)] {
        for (name, seconds) in [(".new-dead", 2 * 3600), (".new-alive", 60)] {
            fs::write(dir.join(name), "half").expect("written");
            age(&dir.join(name), seconds);
        }
    }
    fixture.go_on(&at, 1).await;
    assert_eq!(names(&fixture.dir_of(&at)), [".new-alive", "0000000001", "0000000002"], "by the next write");
    fixture.store.directory.sweep().expect("swept");
    assert_eq!(names(&fixture.dir_of(&other)), [".new-alive", "0000000001"], "by the sweep");
    assert_eq!(names(&fixture.root()), ["certfleet-store.json", "data"]);
}

/// Only keys that are created once and never again are unlinked, a day after they were deleted.
#[tokio::test]
async fn deleted_keys_that_never_come_back_are_unlinked() {
    let fixture = Fixture::new().await;
    let cases = [("certs/a", DAY_SECONDS * 2, true), ("versions/a/1", DAY_SECONDS * 2, false), ("versions/a/2", DAY_SECONDS / 2, true)];
    for (name, seconds, _) in cases {
        let revision = done(fixture.store.put(&key(name), &value(0), &Expect::Absent).await);
        done(fixture.store.delete(&key(name), &revision).await);
        age(&fixture.dir_of(&key(name)).join(revision_name(2)), seconds);
    }
    fixture.go_on(&key("versions/a/3"), 1).await;
    age(&fixture.dir_of(&key("versions/a/3")).join(revision_name(1)), DAY_SECONDS * 365);
    fixture.store.directory.sweep().expect("swept");
    for (name, _, stays) in cases {
        assert_eq!(fixture.dir_of(&key(name)).exists(), stays, "{name}");
    }
    assert_eq!(fixture.body(&key("versions/a/3")).await, Some(json!("others")));
}

/// A probe at every start would else leave a directory each.
#[tokio::test]
async fn the_probe_leaves_no_directory() {
    let fixture = Fixture::new().await;
    crate::probe(&*fixture.store).await.expect("content");
    let shards = names(&fixture.root().join(DATA_DIR));
    assert!(shards.iter().all(|shard| names(&fixture.root().join(DATA_DIR).join(shard)).is_empty()));
}
