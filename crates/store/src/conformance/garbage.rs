//! Values that are no envelopes: someone wrote past certfleet. They are named, and replaced by who names them.
//!
//! An engine without a [`Plant`](super::Plant) skips these, and says so.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Expect, FORMAT, Revision};
use certfleet_core::key::Key;
use serde_json::json;

use super::racing::{WRITERS, race, raced_key};
use super::{Pair, create, key, must_delete, must_put, put, read, value};
use crate::contract::{Put, Store, Unreadable};
use crate::error::{ErrorKind, StoreError};
use crate::revision::garbage_revision;
use crate::settle::{Settled, delete_settled, put_settled};

/// One of each kind: nothing, not JSON, torn, JSON of something else, of a later format, too large.
fn garbage() -> Vec<Vec<u8>> {
    let whole = value("x".repeat(500)).to_bytes().expect("encodes");
    let mut later = value(1);
    later.format = FORMAT + 1;
    vec![
        Vec::new(),
        vec![0; 8192],
        whole[..whole.len() / 2].to_vec(),
        b"[{}]\n".to_vec(),
        later.to_bytes().expect("encodes"),
        vec![b'x'; ENVELOPE_BYTES_MAX + 1],
        vec![b'x'; ENVELOPE_BYTES_MAX + 2],
    ]
}

/// The revision of what cannot be read.
async fn named(store: &dyn Store, at: &Key) -> Revision {
    match store.get(at).await {
        Err(e @ StoreError::Corrupt { .. }) if e.kind() != ErrorKind::NeedsOperator => panic!("{e} is {:?}", e.kind()),
        Err(StoreError::Corrupt { key, revision, .. }) if key == *at => revision,
        other => panic!("`{at}` is garbage, and reads as {other:?}"),
    }
}

/// Plants; `None` where the engine has no way to.
async fn planted(pair: &Pair, at: &Key, bytes: &[u8]) -> Option<Revision> {
    let Some(plant) = &pair.plant else {
        eprintln!("SKIPPED: garbage cannot be planted in this {} store", pair.one.kind());
        return None;
    };
    plant.plant(at, bytes).await;
    Some(named(&*pair.one, at).await)
}

/// Under a revision that the bytes give, on every engine alike, by `get` and by `list`; and it hides nothing.
pub async fn garbage_is_reported_with_a_revision(pair: Pair) {
    let (at, good) = (key("certs/a"), key("certs/b"));
    create(&pair.one, &good, "good").await;
    let mut seen = Vec::new();
    for bytes in garbage() {
        let Some(revision) = planted(&pair, &at, &bytes).await else { return };
        assert_eq!(revision, garbage_revision(revision.engine.clone(), &bytes, bytes.len() as u64));
        assert_eq!(named(&*pair.other, &at).await, revision);
        let listing = pair.other.list("certs").await.expect("listed");
        assert_eq!(listing.entries.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&good]);
        let [Unreadable { key, revision: Some(listed), .. }] = &listing.unreadable[..] else { panic!("{:?}", listing.unreadable) };
        assert_eq!((key, listed), (&at, &revision));
        seen.push(revision.nonce);
    }
    assert!((1..seen.len()).all(|n| !seen[..n].contains(&seen[n])), "{seen:?}");
}

/// By a compare-and-swap as any other value: once, and by nobody who expects something else.
pub async fn garbage_is_replaced_by_who_names_it(pair: Pair) {
    let at = key("certs/a");
    let mut before = create(&pair.one, &at, "good").await;
    for bytes in garbage() {
        let Some(revision) = planted(&pair, &at, &bytes).await else { return };
        let forged = Revision { nonce: value(0).nonce, ..revision.clone() };
        let others = [Expect::Absent, Expect::Revision(before.clone()), Expect::Revision(forged)];
        for other in others {
            assert_eq!(put(&pair.one, &at, &value(0), &other).await, Put::Conflict, "{other:?}");
        }
        assert_eq!(pair.other.delete(&at, &before).await, Ok(Put::Conflict));
        assert_eq!(named(&*pair.other, &at).await, revision, "nothing of all that took place");
        let whole = value("whole").following(&Expect::Revision(revision.clone()));
        before = must_put(&pair.other, &at, &whole, &Expect::Revision(revision.clone())).await;
        assert_eq!(put(&pair.one, &at, &value("late"), &Expect::Revision(revision.clone())).await, Put::Conflict);
        assert_eq!(pair.one.delete(&at, &revision).await, Ok(Put::Conflict));
        let stored = read(&pair.one, &at).await.expect("there");
        assert_eq!((stored.envelope, stored.revision), (whole, before.clone()));
    }
    assert_eq!(pair.one.list("").await.expect("listed").unreadable, []);
}

/// Garbage in the place of other garbage is another value, also if it is the same bytes again.
pub async fn other_garbage_is_another_value(pair: Pair) {
    let at = key("certs/a");
    let Some(first) = planted(&pair, &at, b"{").await else { return };
    for bytes in [b"}", b"{"] {
        let Some(second) = planted(&pair, &at, bytes).await else { return };
        assert_eq!(put(&pair.one, &at, &value(1), &Expect::Revision(first.clone())).await, Put::Conflict);
        assert_eq!(pair.one.delete(&at, &first).await, Ok(Put::Conflict));
        assert_eq!(named(&*pair.other, &at).await, second);
    }
}

/// Deleted garbage leaves the key as one that never was.
pub async fn garbage_can_be_deleted(pair: Pair) {
    let at = key("certs/a");
    for bytes in garbage() {
        let Some(revision) = planted(&pair, &at, &bytes).await else { return };
        must_delete(&pair.other, &at, &revision).await;
        assert_eq!(read(&pair.one, &at).await, None);
        assert_eq!(pair.one.list("").await.expect("listed"), Default::default());
        assert_eq!(pair.one.delete(&at, &revision).await, Ok(Put::Conflict));
        let again = create(&pair.one, &at, "again").await;
        assert_eq!(put(&pair.other, &at, &value("late"), &Expect::Revision(revision)).await, Put::Conflict);
        must_delete(&pair.one, &at, &again).await;
    }
}

/// Of those that name the same garbage one wins, and its value is there.
pub async fn one_of_many_writers_replaces_garbage(pair: Pair) {
    for n in 0..WRITERS {
        let Some(before) = planted(&pair, &raced_key(), format!("garbage {n}").as_bytes()).await else { return };
        let (won, unknown) = race(&pair, &Expect::Revision(before)).await;
        let after = read(&pair.other, &raced_key()).await.expect("there").revision;
        assert!(won == [after] || (won.is_empty() && unknown), "{won:?}");
    }
}

/// [`put_settled`] and [`delete_settled`] go over garbage as over a value.
pub async fn settled_writes_replace_garbage(pair: Pair) {
    let at = key("certs/a");
    for bytes in garbage() {
        let Some(first) = planted(&pair, &at, &bytes).await else { return };
        let expect = Expect::Revision(first.clone());
        assert_eq!(put_settled(&*pair.one, &at, &value(0), &Expect::Absent).await, Ok(Settled::Conflict));
        assert!(matches!(put_settled(&*pair.one, &at, &value("whole"), &expect).await, Ok(Settled::Done(_))));
        assert_eq!(put_settled(&*pair.other, &at, &value("late"), &expect).await, Ok(Settled::Conflict));
        assert_eq!(read(&pair.other, &at).await.expect("there").envelope.body, json!("whole"));
        let Some(second) = planted(&pair, &at, &bytes).await else { return };
        assert_eq!(delete_settled(&*pair.one, &at, &first).await, Ok(Settled::Conflict));
        assert!(matches!(delete_settled(&*pair.one, &at, &second).await, Ok(Settled::Done(_))));
        assert_eq!(read(&pair.other, &at).await, None);
    }
}
