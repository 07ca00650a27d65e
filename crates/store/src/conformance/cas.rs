//! One key: read, written, deleted.

use certfleet_core::envelope::{ENVELOPE_BYTES_MAX, Envelope, Expect, Revision};
use serde_json::json;

use super::{Pair, create, key, must_delete, must_put, put, read, value};
use crate::contract::Put;
use crate::error::{ErrorKind, StoreError};
use crate::settle::{Settled, delete_settled, put_settled};

/// Nothing is there at first.
pub async fn absent_keys_read_as_none(pair: Pair) {
    assert_eq!(read(&pair.one, &key("certs/a")).await, None);
    assert_eq!(pair.one.list("").await.expect("listed"), Default::default());
}

/// What one handle wrote, both read, whole.
pub async fn values_read_back(pair: Pair) {
    let (at, written) = (key("certs/example.com"), value(json!({"a": [1, null, "ü\n\u{0}"]})));
    let revision = must_put(&pair.one, &at, &written, &Expect::Absent).await;
    for store in [&pair.one, &pair.other] {
        let stored = read(store, &at).await.expect("there");
        assert_eq!((&stored.envelope, &stored.revision), (&written, &revision));
    }
}

/// `Absent` fits no key that is there.
pub async fn create_wants_absence(pair: Pair) {
    let at = key("fleet");
    let revision = create(&pair.one, &at, 1).await;
    assert_eq!(put(&pair.other, &at, &value(2), &Expect::Absent).await, Put::Conflict);
    assert_eq!(read(&pair.one, &at).await.expect("there").revision, revision);
}

/// A revision fits the value that has it, and only as long as it is there.
pub async fn replace_wants_the_very_value(pair: Pair) {
    let at = key("certs/a");
    let nowhere = value(0).revision("1");
    assert_eq!(put(&pair.one, &at, &value(0), &Expect::Revision(nowhere)).await, Put::Conflict);
    let mut revision = create(&pair.one, &at, 0).await;
    for n in 1..8 {
        let store = if n % 2 == 0 { &pair.one } else { &pair.other };
        let next = must_put(store, &at, &value(n), &Expect::Revision(revision.clone())).await;
        assert_ne!(next.engine, revision.engine);
        revision = next;
    }
    assert_eq!(read(&pair.one, &at).await.expect("there").envelope.body, json!(7));
}

/// What `Done` gives is what `get` and `list` give.
pub async fn revisions_carry_the_nonce(pair: Pair) {
    let (at, written) = (key("certs/a"), value(1));
    let revision = must_put(&pair.one, &at, &written, &Expect::Absent).await;
    assert_eq!(revision.nonce, written.nonce);
    let listed = pair.other.list("certs").await.expect("listed").entries;
    assert_eq!(listed.into_iter().map(|(_, stored)| stored.revision).collect::<Vec<_>>(), [revision]);
}

/// Revisions of values that were replaced fit nothing.
pub async fn stale_revisions_conflict(pair: Pair) {
    let at = key("certs/a");
    let mut revisions = vec![create(&pair.one, &at, 0).await];
    for n in 1..12 {
        let last = revisions[revisions.len() - 1].clone();
        revisions.push(must_put(&pair.one, &at, &value(n), &Expect::Revision(last)).await);
    }
    for stale in &revisions[..revisions.len() - 1] {
        assert_eq!(put(&pair.other, &at, &value("stale"), &Expect::Revision(stale.clone())).await, Put::Conflict, "{stale}");
        assert_eq!(pair.other.delete(&at, stale).await, Ok(Put::Conflict), "{stale}");
    }
    assert_eq!(read(&pair.one, &at).await.expect("there").envelope.body, json!(11));
}

/// The engine's number alone is not enough: it may repeat after a fail-over or a restored backup.
pub async fn wrong_nonces_conflict(pair: Pair) {
    let at = key("certs/a");
    let revision = create(&pair.one, &at, 0).await;
    let forged = Revision { nonce: value(0).nonce, ..revision };
    assert_eq!(put(&pair.one, &at, &value(1), &Expect::Revision(forged.clone())).await, Put::Conflict);
    assert_eq!(pair.one.delete(&at, &forged).await, Ok(Put::Conflict));
    assert_eq!(read(&pair.one, &at).await.expect("there").envelope.body, json!(0));
}

/// A deleted key is as one that never was, for everybody.
pub async fn deleted_keys_are_absent_and_can_be_made_again(pair: Pair) {
    let at = key("certs/a");
    for n in 0..5 {
        let revision = create(&pair.one, &at, n).await;
        let grave = must_delete(&pair.other, &at, &revision).await;
        assert_eq!(read(&pair.one, &at).await, None);
        assert_eq!(pair.one.delete(&at, &revision).await, Ok(Put::Conflict));
        assert_eq!(put(&pair.one, &at, &value(n), &Expect::Revision(grave)).await, Put::Conflict, "a tombstone's revision fits nothing");
    }
    create(&pair.other, &at, "again").await;
    assert_eq!(read(&pair.one, &at).await.expect("there").envelope.body, json!("again"));
}

/// As `put` does.
pub async fn delete_wants_the_very_value(pair: Pair) {
    let at = key("certs/a");
    let first = create(&pair.one, &at, 0).await;
    assert_eq!(pair.one.delete(&key("certs/b"), &first).await, Ok(Put::Conflict));
    let second = must_put(&pair.other, &at, &value(1), &Expect::Revision(first.clone())).await;
    assert_eq!(pair.one.delete(&at, &first).await, Ok(Put::Conflict));
    must_delete(&pair.one, &at, &second).await;
}

/// Delete and create leave nothing that an old expectation fits.
pub async fn old_revisions_do_not_fit_a_key_made_again(pair: Pair) {
    let at = key("certs/a");
    let old = create(&pair.one, &at, 0).await;
    must_delete(&pair.other, &at, &old).await;
    let new = create(&pair.other, &at, 1).await;
    assert_ne!(old, new);
    assert_eq!(put(&pair.one, &at, &value(2), &Expect::Revision(old)).await, Put::Conflict);
    must_put(&pair.one, &at, &value(3), &Expect::Revision(new)).await;
}

/// A key above, below or beside another is another key.
pub async fn keys_are_independent(pair: Pair) {
    let keys = ["certs", "certs/a", "certs/a/b", "certs/ab", "keys/a"].map(key);
    for (n, at) in keys.iter().enumerate() {
        create(&pair.one, at, n).await;
    }
    let gone = read(&pair.one, &keys[1]).await.expect("there").revision;
    must_delete(&pair.one, &keys[1], &gone).await;
    for (n, at) in keys.iter().enumerate() {
        let body = read(&pair.other, at).await.map(|stored| stored.envelope.body);
        assert_eq!(body, (n != 1).then(|| json!(n)), "{at}");
    }
}

/// Whatever a key may hold, two keys are never one.
pub async fn odd_keys_are_kept_apart(pair: Pair) {
    let long = format!("versions/{}", "a".repeat(900));
    let odd = [
        "a/*.example.com@lb1",
        "a/A",
        "a/a",
        "a/+",
        "a/%2b",
        "a/.b",
        "a/b.",
        "a/~",
        "a/-",
        "a/\\",
        "a/\"'`$",
        "con",
        "a/:x",
        "key",
        "a@b",
        "a%40b",
    ];
    let keys: Vec<_> = odd.iter().map(|text| key(text)).chain([key(&long), key(&format!("{long}b"))]).collect();
    for at in &keys {
        create(&pair.one, at, at.as_str()).await;
    }
    for at in &keys {
        assert_eq!(read(&pair.other, at).await.expect("there").envelope.body, json!(at.as_str()));
    }
    let mut sorted = keys;
    sorted.sort();
    let listing = pair.other.list("").await.expect("listed");
    assert_eq!(listing.entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), sorted);
    assert_eq!(listing.unreadable, []);
}

/// Near the limit, in one piece.
pub async fn large_values_are_whole(pair: Pair) {
    let (at, text) = (key("versions/a/1"), "x".repeat(ENVELOPE_BYTES_MAX - 1024));
    create(&pair.one, &at, &text).await;
    assert_eq!(read(&pair.other, &at).await.expect("there").envelope.body, json!(text));
}

/// Too large is said, and changes nothing.
pub async fn oversized_values_are_refused(pair: Pair) {
    let at = key("versions/a/1");
    let refused = pair.one.put(&at, &value("x".repeat(ENVELOPE_BYTES_MAX)), &Expect::Absent).await;
    assert!(matches!(&refused, Err(e @ StoreError::Unfit { .. }) if e.kind() == ErrorKind::Terminal), "{refused:?}");
    assert_eq!(read(&pair.one, &at).await, None);
}

/// The value's `change` is written as it is and given with its revision. A writer may name a higher one than it saw: that fits too.
pub async fn change_is_carried_and_not_compared(pair: Pair) {
    let at = key("certs/a");
    let written = Envelope { change: 7, ..value("seventh") };
    let first = must_put(&pair.one, &at, &written, &Expect::Absent).await;
    let stored = read(&pair.other, &at).await.expect("there");
    let listed = pair.other.list("").await.expect("listed").entries;
    assert_eq!((first.change, &stored.envelope, &stored.revision), (7, &written, &first));
    assert_eq!(listed, [(at.clone(), stored)]);
    let mut revision = first;
    for change in [9, 3, u64::MAX] {
        let expect = Expect::Revision(Revision { change, ..revision.clone() });
        let next = value(change).following(&expect);
        revision = must_put(&pair.other, &at, &next, &expect).await;
        assert_eq!(revision.change, change.saturating_add(1));
    }
    for change in [0, 9] {
        let expect = Expect::Revision(Revision { change, ..revision.clone() });
        let Ok(Settled::Done(next)) = put_settled(&*pair.one, &at, &value(change), &expect).await else { panic!("the only writer won") };
        revision = next;
    }
    must_delete(&pair.one, &at, &Revision { change: revision.change + 1, ..revision.clone() }).await;
    assert_eq!(read(&pair.other, &at).await, None);
}

/// A node of an older version must not lose what a newer one wrote.
pub async fn unknown_fields_of_the_body_are_kept(pair: Pair) {
    let at = key("certs/a");
    let body = json!({"known": 1, "from a later version": {"deep": [1, 2.5, "x"]}});
    create(&pair.one, &at, &body).await;
    assert_eq!(read(&pair.other, &at).await.expect("there").envelope.body, body);
}

/// [`put_settled`] and [`delete_settled`] never leave a doubt.
pub async fn settled_writes_say_what_happened(pair: Pair) {
    let (at, first, second) = (key("certs/a"), value(1), value(2));
    let Ok(Settled::Done(revision)) = put_settled(&*pair.one, &at, &first, &Expect::Absent).await else { panic!("the only writer won") };
    assert_eq!(put_settled(&*pair.other, &at, &second, &Expect::Absent).await, Ok(Settled::Conflict));
    let stale = Revision { nonce: second.nonce.clone(), ..revision.clone() };
    assert_eq!(delete_settled(&*pair.other, &at, &stale).await, Ok(Settled::Conflict));
    assert!(matches!(delete_settled(&*pair.other, &at, &revision).await, Ok(Settled::Done(_))));
    assert_eq!(read(&pair.one, &at).await, None);
}
