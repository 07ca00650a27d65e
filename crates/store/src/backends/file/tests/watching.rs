//! How changes are found.

use std::time::{Duration, Instant};

use super::*;
use crate::backends::file::watch::snapshot::{Depth, Snapshot};
use crate::watch::Change;

/// Writes, for the median.
const WRITES: usize = 15;
/// Polling would take 125 ms in the median, inotify takes a few.
const TOLD_MS_MAX: u128 = 60;

/// As a writer that dies right after its link.
fn link_silently(dir: &Path, number: u64) {
    fs::write(dir.join(revision_name(number)), value("silent").to_bytes().expect("bytes")).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn inotify_tells_at_once() {
    let fixture = Fixture::new().await;
    let mut watch = fixture.store.watch("certs").await.expect("watched");
    let mut took = Vec::new();
    for _ in 0..WRITES {
        fixture.go_on(&key("certs/a"), 1).await;
        let start = Instant::now();
        let told = tokio::time::timeout(Duration::from_secs(10), watch.next()).await.expect("told");
        assert_eq!(told, Some(Change::Keys(vec![key("certs/a")])));
        took.push(start.elapsed().as_millis());
    }
    took.sort_unstable();
    assert!(took[WRITES / 2] < TOLD_MS_MAX, "{took:?} ms");
}

/// The slow look finds what was not announced.
#[tokio::test]
async fn a_full_look_finds_what_a_dead_writer_did_not_announce() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    fixture.go_on(&at, 1).await;
    let dir = fixture.dir_of(&at);
    age(&dir, 60);
    age(dir.parent().expect("shard"), 60);
    let mut snapshot = Snapshot::take(fixture.store.directory.clone()).expect("taken");
    link_silently(&dir, 2);
    assert_eq!(snapshot.look(Depth::Announced, Instant::now()), Ok(vec![]));
    assert_eq!(snapshot.look(Depth::All, Instant::now()), Ok(vec![at]));
    assert_eq!(snapshot.look(Depth::All, Instant::now()), Ok(vec![]));
}

/// Two changes within one tick of the file system's clock leave the same stamp.
#[tokio::test]
async fn a_change_with_the_stamp_of_the_last_one_is_found() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    fixture.go_on(&at, 1).await;
    let dir = fixture.dir_of(&at);
    let shard = dir.parent().expect("shard").to_owned();
    for first_look_sees_it in [true, false] {
        let mut snapshot = Snapshot::take(fixture.store.directory.clone()).expect("taken");
        if !first_look_sees_it {
            fixture.go_on(&at, 1).await;
            assert_eq!(snapshot.look(Depth::Announced, Instant::now()), Ok(vec![at.clone()]));
        }
        let stamps = [&dir, &shard].map(|dir| fs::metadata(dir).and_then(|m| m.modified()).expect("stamp"));
        fixture.go_on(&at, 1).await;
        for (dir, stamp) in [&dir, &shard].iter().zip(stamps) {
            File::open(dir).and_then(|dir| dir.set_modified(stamp)).expect("set");
        }
        assert_eq!(snapshot.look(Depth::Announced, Instant::now()), Ok(vec![at.clone()]));
        assert_eq!(snapshot.look(Depth::Announced, Instant::now()), Ok(vec![]), "and once only");
    }
}

/// What did not move is not looked at again, so that a poll costs one look per shard.
#[tokio::test]
async fn what_stands_still_is_not_looked_at() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    fixture.go_on(&at, 1).await;
    let mut snapshot = Snapshot::take(fixture.store.directory.clone()).expect("taken");
    let later = Instant::now() + Duration::from_secs(3600);
    let dir = fixture.dir_of(&at);
    let stamps = [&dir, dir.parent().expect("shard")].map(|dir| fs::metadata(dir).and_then(|m| m.modified()).expect("stamp"));
    link_silently(&dir, 2);
    File::open(&dir).and_then(|dir| dir.set_modified(stamps[0])).expect("set");
    assert_eq!(snapshot.look(Depth::Announced, later), Ok(vec![]), "cooled down");
}
