//! What others put into the bucket.

use std::sync::Arc;

use certfleet_store::{Change, ErrorKind, Expect, Put, Revision, Store, StoreError};
use serde_json::json;

use super::{BUCKET, done, key, made, next, opened, prefix, shared, url, value};

/// Names that no key has are told, hide nothing and break nothing: such a folder as consoles make, empty segments, control characters.
#[tokio::test]
async fn foreign_names_hide_nothing() {
    let Some(server) = shared().await else { return };
    let (prefix, at) = (prefix(), key("certs/a"));
    let store = made(server.address(), &prefix).await;
    let mut watch = store.watch("").await.expect("watched");
    done(&store, &at, &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]));
    for name in ["data/", "data//x", "data/certs/a%20b", "data/certs/a%01", "data/certs/%C3%BC", "data/certs/a=2b", "elsewhere"] {
        server.put(BUCKET, &format!("{prefix}/{name}"), b"?").await;
    }
    let listing = store.list("").await.expect("listed");
    assert_eq!(listing.entries.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&at]);
    let mut shown: Vec<String> = listing.unreadable.iter().map(|found| found.key.to_string().replace(&prefix, "")).collect();
    shown.sort();
    assert_eq!(shown, ["/data/?", "/data/?/x", "/data/certs/?", "/data/certs/a=2b", "/data/certs/a?", "/data/certs/a?b"]);
    assert!(listing.unreadable.iter().all(|found| found.revision.is_none()));
    assert_eq!(store.list("certs").await.expect("listed").unreadable, []);
    done(&store, &key("certs/b"), &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![key("certs/b")]));
}

/// What somebody writes there by hand is garbage under a revision, and told to watchers.
#[tokio::test]
async fn what_is_written_by_hand_is_named() {
    let Some(server) = shared().await else { return };
    let (prefix, at) = (prefix(), key("certs/a"));
    let store = made(server.address(), &prefix).await;
    let name = format!("{prefix}/data/certs/a");
    let mut watch = store.watch("certs").await.expect("watched");
    for bytes in [&b""[..], b"hello", b"{\"revision\":\"x\"}\n{}"] {
        server.put(BUCKET, &name, bytes).await;
        assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]));
        let Err(StoreError::Corrupt { revision, .. }) = store.get(&at).await else { panic!("{bytes:?}") };
        assert_eq!(store.put(&at, &value(0), &Expect::Absent).await, Ok(Put::Conflict));
        let whole = done(&store, &at, &value("whole"), &Expect::Revision(revision)).await;
        assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]), "one's own writes are told at once");
        remove(&store, &whole).await;
        assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]));
    }
}

async fn remove(store: &Arc<dyn Store>, revision: &Revision) {
    assert!(matches!(store.delete(&key("certs/a"), revision).await, Ok(Put::Done(_))));
}

/// A deleted key is an object still, which says so; whoever removes it by hand makes the key as one that never was.
#[tokio::test]
async fn deleted_keys_are_objects() {
    let Some(server) = shared().await else { return };
    let (prefix, at) = (prefix(), key("certs/a"));
    let (store, other) = (made(server.address(), &prefix).await, opened(server.address(), &prefix).await);
    let name = format!("{prefix}/data/certs/a");
    let first = done(&store, &at, &value(1), &Expect::Absent).await;
    let written = server.get(BUCKET, &name).await.expect("there");
    assert!(written.starts_with("{\"revision\":1}\n{\"format\":1,"), "{written}");
    remove(&store, &first).await;
    let grave = server.get(BUCKET, &name).await.expect("there");
    assert!(grave.starts_with("{\"revision\":2,\"deleted\":\""), "{grave}");
    let second = done(&other, &at, &value(2), &Expect::Absent).await;
    assert!(server.get(BUCKET, &name).await.expect("there").starts_with("{\"revision\":3}\n"));
    remove(&other, &second).await;
    // The other handle knows the tombstone that was there, and finds out.
    server.delete(BUCKET, &name).await;
    done(&other, &at, &value(3), &Expect::Absent).await;
    assert_eq!(store.get(&at).await.expect("read").expect("there").envelope.body, json!(3));
}

/// A prefix below which others keep things is not taken, nor one whose store is of a later version or not ours.
#[tokio::test]
async fn other_contents_are_not_taken() {
    let Some(server) = shared().await else { return };
    let at = server.address();
    let (used, later, odd, folder) = (prefix(), prefix(), prefix(), prefix());
    server.put(BUCKET, &format!("{used}/photo"), b"x").await;
    server.put(BUCKET, &format!("{later}/store"), b"{\"layout\":2,\"id\":\"x\",\"about\":\"\"}").await;
    server.put(BUCKET, &format!("{odd}/store"), b"x").await;
    for (prefix, why) in [(&used, "other things at this prefix"), (&later, "has layout 2"), (&odd, "is not certfleet's")] {
        let error = certfleet_store::open_or_create(&url(at, prefix)).await.expect_err(why);
        assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains(why), "{error}");
    }
    // A folder that a console made is nothing.
    server.put(BUCKET, &format!("{folder}/"), b"").await;
    made(at, &folder).await;
    // Two fleets in one bucket.
    let beside = prefix();
    done(&made(at, &beside).await, &key("fleet"), &value(1), &Expect::Absent).await;
    assert_eq!(opened(at, &folder).await.get(&key("fleet")).await, Ok(None));
}

/// Several nodes that make a store at once make one.
#[tokio::test]
async fn a_store_is_made_once() {
    let Some(server) = shared().await else { return };
    let (at, prefix) = (server.address(), prefix());
    let stores = tokio::join!(made(at, &prefix), made(at, &prefix), made(at, &prefix));
    done(&stores.0, &key("fleet"), &value(1), &Expect::Absent).await;
    for store in [&stores.1, &stores.2] {
        assert!(store.get(&key("fleet")).await.expect("read").is_some());
    }
}
