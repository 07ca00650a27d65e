//! What others wrote into the same Redis.

use certfleet_store::{ErrorKind, Expect, Put, StoreError};

use super::{done, key, made, opened, server, value};

/// Whatever type of value stands under a key: it is named, and replaced or deleted by who names it.
#[tokio::test]
async fn any_type_of_value_can_be_replaced() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address()).await, key("certs/a"));
    let name = "certfleet:data/certs/a";
    let plants: [&[&str]; 8] = [
        &["SET", name, "garbage"],
        &["SET", name, ""],
        &["RPUSH", name, "a", "b"],
        &["SADD", name, "a"],
        &["ZADD", name, "1", "a"],
        &["HSET", name, "field", "x"],
        &["HSET", name, "revision", "7"],
        &["HSET", name, "value", "no number"],
    ];
    for plant in plants {
        for delete in [false, true] {
            server.cli(&["DEL", name]);
            server.cli(plant);
            let Err(StoreError::Corrupt { revision, .. }) = store.get(&at).await else { panic!("{plant:?} is garbage") };
            let [seen] = &store.list("certs").await.expect("listed").unreadable[..] else { panic!("{plant:?} is listed") };
            assert_eq!((&seen.key, seen.revision.as_ref()), (&at, Some(&revision)));
            assert_eq!(store.put(&at, &value(0), &Expect::Absent).await, Ok(Put::Conflict), "{plant:?}");
            server.cli(&["EXPIRE", name, "1000"]);
            match delete {
                true => assert!(matches!(store.delete(&at, &revision).await, Ok(Put::Done(_))), "{plant:?}"),
                false => {
                    done(&store, &at, &value(1), &Expect::Revision(revision.clone())).await;
                    assert_eq!(server.cli(&["TTL", name]), "-1", "{plant:?}: it would vanish");
                }
            }
            assert_eq!(store.put(&at, &value(2), &Expect::Revision(revision)).await, Ok(Put::Conflict), "{plant:?}");
        }
    }
}

/// Bytes that were changed under a number that stayed: another value.
#[tokio::test]
async fn a_value_changed_in_place_is_another_value() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address()).await, key("certs/a"));
    let first = done(&store, &at, &value(1), &Expect::Absent).await;
    let other = String::from_utf8(value(2).to_bytes().expect("encodes")).expect("JSON");
    server.cli(&["HSET", "certfleet:data/certs/a", "value", &other]);
    assert_eq!(store.put(&at, &value(3), &Expect::Revision(first)).await, Ok(Put::Conflict));
    let there = store.get(&at).await.expect("read").expect("there");
    assert_eq!(there.envelope.body, serde_json::json!(2));
    done(&store, &at, &value(3), &Expect::Revision(there.revision)).await;
}

/// Names that are no keys are shown and hide nothing; other prefixes are another's.
#[tokio::test]
async fn foreign_names_are_shown() {
    let Some(server) = server().await else { return };
    let store = made(server.address()).await;
    done(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    for name in ["certfleet:data/", "certfleet:data/a b", "certfleet:data//x", "certfleet:other", "certfleet:datax", "else"] {
        server.cli(&["SET", name, "x"]);
    }
    let listing = store.list("").await.expect("listed");
    assert_eq!((listing.entries.len(), listing.unreadable.len()), (1, 3), "{listing:?}");
    assert!(listing.unreadable.iter().all(|unreadable| unreadable.revision.is_none()));
    assert_eq!(store.list("certs").await.expect("listed").unreadable, []);
    let other = certfleet_store::open_or_create(&format!("redis://{}/0?prefix=[x]*:", server.address())).await.expect("made");
    done(&other, &key("certs/a"), &value(2), &Expect::Absent).await;
    assert_eq!(store.list("").await.expect("listed").entries.len(), 1);
    assert_eq!(other.list("").await.expect("listed").entries[0].1.envelope.body, serde_json::json!(2));
}

/// An emptied Redis is no empty store; another store under the same names is not this one.
#[tokio::test]
async fn an_emptied_server_is_not_an_empty_store() {
    let Some(server) = server().await else { return };
    let store = made(server.address()).await;
    let revision = done(&store, &key("fleet"), &value(1), &Expect::Absent).await;
    server.cli(&["FLUSHALL"]);
    let is_away = |error: StoreError| {
        assert_eq!(error.kind(), ErrorKind::Retry);
        assert!(error.to_string().contains(&server.address().to_string()) && error.to_string().contains("recover"), "{error}");
    };
    is_away(store.get(&key("fleet")).await.expect_err("not absent"));
    is_away(store.list("").await.expect_err("not empty"));
    is_away(store.put(&key("fleet"), &value(2), &Expect::Absent).await.expect_err("not written"));
    is_away(store.delete(&key("fleet"), &revision).await.expect_err("not deleted"));
    let missing = certfleet_store::open(&format!("redis://{}", server.address())).await.expect_err("no store");
    assert_eq!(missing.kind(), ErrorKind::NeedsOperator);
    assert!(missing.to_string().contains("certfleet init"), "{missing}");
    let other = made(server.address()).await;
    let error = store.get(&key("fleet")).await.expect_err("another store");
    assert_eq!(error.kind(), ErrorKind::NeedsOperator);
    assert_eq!(other.get(&key("fleet")).await, Ok(None));
    assert_eq!(opened(server.address()).await.get(&key("fleet")).await, Ok(None));
    server.cli(&["HSET", "certfleet:meta", "layout", "2"]);
    let newer = certfleet_store::open(&format!("redis://{}", server.address())).await.expect_err("too new");
    assert!(newer.to_string().contains("upgrade certfleet"), "{newer}");
}
