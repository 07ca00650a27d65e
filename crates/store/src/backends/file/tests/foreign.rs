//! Things that certfleet did not put there, or cannot read.

use super::*;
use crate::error::{ErrorKind, StoreError};
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
    let reported: Vec<&str> = listing.unreadable.iter().map(|(key, _)| key.as_str()).collect();
    let of = |path: &Path, name: &str| path.strip_prefix(fixture.root()).expect("below").join(name).to_str().expect("text").to_owned();
    let mut wanted = vec![of(&dir, "0000000002~"), of(&dir, "99"), of(&dir, "aaa"), of(&shard, "notes.txt"), of(&shard, "certs+b?c")];
    wanted.extend([of(&data, "README"), of(&data.join(wrong), "certs+b")]);
    wanted.sort();
    assert_eq!(reported, wanted);

    fixture.go_on(&at, 1).await;
    assert_eq!(fixture.body(&at).await, Some(json!("others")));
    assert_eq!(
        fixture.store.list("certs").await.expect("listed").unreadable.len(),
        3,
        "those beside the revisions of a key below the prefix"
    );
}

/// A value that cannot be read is named, is not taken for absent, is not written over, and hides no other.
#[tokio::test]
async fn corrupt_values_are_named() {
    let fixture = Fixture::new().await;
    let (at, good) = (key("certs/a"), key("certs/b"));
    fixture.go_on(&good, 1).await;
    for garbage in ["", "{", "{\"tombstone\":", "\u{0}\u{0}", "{\"format\":99,\"writer\":\"a\",\"nonce\":\"n\",\"body\":1}"] {
        let revision = fixture.store.get(&at).await.expect("read").map(|stored| stored.revision);
        let expect = revision.map_or(Expect::Absent, Expect::Revision);
        let written = done(fixture.store.put(&at, &value(1), &expect).await);
        let path = fixture.dir_of(&at).join(revision_name(written.engine.parse().expect("a number")));
        let whole = fs::read(&path).expect("read");
        fs::write(&path, garbage).expect("written");
        let told = fixture.store.get(&at).await.expect_err("corrupt");
        assert!(matches!(&told, StoreError::Corrupt { key, .. } if *key == at), "{told}");
        assert_eq!(told.kind(), ErrorKind::NeedsOperator);
        assert!(told.to_string().contains(path.to_str().expect("text")), "{told}");
        for expect in [Expect::Absent, Expect::Revision(written)] {
            assert!(matches!(fixture.store.put(&at, &value(2), &expect).await, Err(StoreError::Corrupt { .. })));
        }
        let listing = fixture.store.list("certs").await.expect("listed");
        assert!(listing.entries.iter().map(|(key, _)| key).eq([&good]), "{listing:?}");
        assert!(listing.unreadable.iter().map(|(key, _)| key).eq([&at]), "{listing:?}");
        fs::write(&path, whole).expect("written");
    }
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
