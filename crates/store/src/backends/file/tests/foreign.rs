//! Things that certfleet did not put there, or cannot read.

use super::*;
use crate::backends::file::clean::KEPT_REVISIONS;
use crate::error::{ErrorKind, StoreError};
use crate::revision::garbage_revision;
use certfleet_core::envelope::ENVELOPE_BYTES_MAX;
use serde_json::json;

/// They are said, and hide nothing.
#[tokio::test]
async fn foreign_files_are_reported_and_passed_over() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    fixture.go_on(&at, 2).await;
    let (data, dir) = (fixture.root().join(DATA_DIR), fixture.dir_of(&at));
    let shard = dir.parent().expect("a shard").to_owned();
    fs::write(dir.join("0000000002~"), "an editor's").expect("written");
    fs::write(dir.join("99"), "not how a revision is named").expect("written");
    fs::create_dir(dir.join("aaa")).expect("made");
    fs::write(shard.join("notes.txt"), "mine").expect("written");
    fs::create_dir(shard.join("certs+b c")).expect("made");
    fs::write(data.join("README"), "mine").expect("written");
    // In a shard that is not its own it would hide from `get`.
    let wrong = if Place::of(&key("certs/b")).shard == "00" { "01" } else { "00" };
    fs::create_dir_all(data.join(wrong).join("certs+b")).expect("made");

    let listing = fixture.store.list("").await.expect("listed");
    assert_eq!(listing.entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["certs/a"]);
    let reported: Vec<&str> = listing.unreadable.iter().map(|found| found.key.as_str()).collect();
    let of = |path: &Path, name: &str| path.strip_prefix(fixture.root()).expect("below").join(name).to_str().expect("text").to_owned();
    let mut wanted = vec![of(&dir, "0000000002~"), of(&dir, "99"), of(&dir, "aaa"), of(&shard, "notes.txt"), of(&shard, "certs+b?c")];
    wanted.extend([of(&data, "README"), of(&data.join(wrong), "certs+b")]);
    wanted.sort();
    assert_eq!(reported, wanted);
    assert!(listing.unreadable.iter().all(|found| found.revision.is_none()), "they are no values: {listing:?}");

    fixture.go_on(&at, 1).await;
    assert_eq!(fixture.body(&at).await, Some(json!("others")));
    assert_eq!(
        fixture.store.list("certs").await.expect("listed").unreadable.len(),
        3,
        "those beside the revisions of a key below the prefix"
    );
}

/// The highest revision of a key, as a path.
fn newest(fixture: &Fixture, at: &Key) -> PathBuf {
    let dir = fixture.dir_of(at);
    names(&dir).pop().map(|name| dir.join(name)).expect("a revision")
}

/// What `get` says of garbage: its revision.
async fn named(fixture: &Fixture, at: &Key) -> Revision {
    match fixture.store.get(at).await {
        Err(StoreError::Corrupt { key, revision, .. }) if key == *at => revision,
        other => panic!("garbage reads as {other:?}"),
    }
}

/// A value that became garbage in its file is named by that file, is not taken for absent, is written over only by who names it as it is now,
/// and hides no other.
#[tokio::test]
async fn values_that_became_garbage_are_named_and_replaced() {
    let fixture = Fixture::new().await;
    let (at, good) = (key("certs/a"), key("certs/b"));
    fixture.go_on(&good, 1).await;
    fixture.go_on(&at, 1).await;
    let too_large = "x".repeat(ENVELOPE_BYTES_MAX + 9);
    let newer = "{\"format\":99,\"writer\":\"a\",\"nonce\":\"n\",\"change\":1,\"body\":1}";
    for garbage in ["", "{", "{\"tombstone\":", "\u{0}\u{0}", newer, &too_large] {
        let whole = fixture.store.get(&at).await.expect("read").expect("there").revision;
        let path = newest(&fixture, &at);
        fs::write(&path, garbage).expect("written");
        let told = fixture.store.get(&at).await.expect_err("corrupt");
        assert!(told.to_string().contains(path.to_str().expect("text")), "{told}");
        let revision = named(&fixture, &at).await;
        assert_eq!(revision, garbage_revision(whole.engine.clone(), garbage.as_bytes(), garbage.len() as u64));
        let listing = fixture.store.list("certs").await.expect("listed");
        assert!(listing.entries.iter().map(|(key, _)| key).eq([&good]), "{listing:?}");
        assert!(listing.unreadable.iter().map(|found| (&found.key, found.revision.as_ref())).eq([(&at, Some(&revision))]), "{listing:?}");
        for expect in [Expect::Absent, Expect::Revision(whole)] {
            assert_eq!(fixture.store.put(&at, &value(2), &expect).await, Ok(Put::Conflict));
        }
        fs::write(&path, format!("{garbage}!")).expect("written");
        assert_eq!(fixture.store.put(&at, &value(2), &Expect::Revision(revision)).await, Ok(Put::Conflict), "it is other garbage now");
        let revision = named(&fixture, &at).await;
        done(fixture.store.put(&at, &value("whole"), &Expect::Revision(revision)).await);
        assert_eq!(fixture.body(&at).await, Some(json!("whole")));
    }
    assert_eq!(names(&fixture.dir_of(&at)).len(), KEPT_REVISIONS, "garbage is cleaned away as any revision");
}

/// A directory in the place of a revision does not hide the other keys, and is written past.
#[tokio::test]
async fn a_directory_named_as_a_revision_is_garbage() {
    let fixture = Fixture::new().await;
    let (at, good) = (key("certs/a"), key("certs/b"));
    fixture.go_on(&good, 1).await;
    fixture.go_on(&at, 1).await;
    fs::create_dir(fixture.dir_of(&at).join(revision_name(2))).expect("made");
    let listing = fixture.store.list("").await.expect("listed");
    assert_eq!((listing.entries.len(), listing.unreadable.len()), (1, 1), "{listing:?}");
    let revision = named(&fixture, &at).await;
    done(fixture.store.put(&at, &value("whole"), &Expect::Revision(revision)).await);
    assert_eq!(fixture.body(&at).await, Some(json!("whole")));
}

/// The last number leaves none for the next revision: a person has to move that file.
#[tokio::test]
async fn the_last_number_is_for_the_operator() {
    let fixture = Fixture::new().await;
    let at = key("certs/a");
    fixture.go_on(&at, 1).await;
    fs::write(fixture.dir_of(&at).join(revision_name(u64::MAX)), "").expect("written");
    let revision = named(&fixture, &at).await;
    let refused = fixture.store.put(&at, &value(1), &Expect::Revision(revision)).await.expect_err("no number is left");
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(refused.to_string().contains(fixture.dir_of(&at).to_str().expect("text")), "{refused}");
}

/// Nobody else may look: from the first byte on, whatever the umask.
#[tokio::test]
async fn everything_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new().await;
    fixture.go_on(&key("certs/a"), 2).await;
    fixture.go_on(&key(&format!("certs/{}", "a".repeat(300))), 1).await;
    let mut paths = vec![fixture.root()];
    while let Some(path) = paths.pop() {
        let mode = fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if path.is_dir() {
            paths.extend(names(&path).into_iter().map(|name| path.join(name)));
        }
    }
}
