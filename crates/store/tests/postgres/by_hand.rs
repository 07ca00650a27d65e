//! What people do with psql.

use certfleet_store::{Change, ErrorKind, Expect, Put, Revision, Settled, StoreError, put_settled};

use super::server::{body, create, key, made, shared, value};

/// A row that is changed by hand is another value: nobody writes over it unseen, everybody is told.
#[tokio::test]
async fn rows_changed_by_hand_are_new_values() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let store = made(&server.url(&database)).await;
    let before = create(&store, "certs/a", 1).await;
    let mut watch = store.watch("certs").await.expect("watched");
    server.sql(&database, "UPDATE certfleet.records SET value = value").await;
    assert_eq!(watch.next().await, Some(Change::Keys(vec![key("certs/a")])));
    assert_eq!(store.put(&key("certs/a"), &value(2), &Expect::Revision(before)).await, Ok(Put::Conflict));
    let there = store.get(&key("certs/a")).await.expect("read").expect("there").revision;
    assert!(matches!(store.put(&key("certs/a"), &value(3), &Expect::Revision(there)).await, Ok(Put::Done(_))));
    assert_eq!(body(&store, "certs/a").await, 3);
}

/// A copied envelope, written anew with other spaces, is a value like any other.
#[tokio::test]
async fn rows_written_by_hand_can_be_replaced_and_deleted() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let store = made(&server.url(&database)).await;
    let copy = String::from_utf8(value("by hand").to_bytes().expect("encodes")).expect("UTF-8").replace(':', ": ");
    server
        .sql(
            &database,
            &format!(
                "INSERT INTO certfleet.records (key, value) VALUES ('a', convert_to('{copy}', 'UTF8')), ('b', convert_to('{copy}', 'UTF8'))"
            ),
        )
        .await;
    assert_eq!(body(&store, "a").await, "by hand");
    let there = |at: &'static str| {
        let store = store.clone();
        async move { store.get(&key(at)).await.expect("read").expect("there").revision }
    };
    let expect = Expect::Revision(there("a").await);
    assert!(matches!(put_settled(&*store, &key("a"), &value(1), &expect).await, Ok(Settled::Done(_))));
    assert!(matches!(store.delete(&key("b"), &there("b").await).await, Ok(Put::Done(_))));
    assert_eq!(store.get(&key("b")).await, Ok(None));
}

/// Numbers that come again (a restored backup, a fail-over) fit only with the nonce.
#[tokio::test]
async fn numbers_that_come_again_do_not_fit() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let store = made(&server.url(&database)).await;
    let old = create(&store, "certs/a", "old").await;
    server.sql(&database, "DELETE FROM certfleet.records; SELECT setval('certfleet.revisions', 1, false)").await;
    let new = create(&store, "certs/a", "new").await;
    assert_eq!(new.engine, old.engine);
    assert_eq!(store.put(&key("certs/a"), &value("late"), &Expect::Revision(old.clone())).await, Ok(Put::Conflict));
    assert_eq!(store.delete(&key("certs/a"), &old).await, Ok(Put::Conflict));
    for engine in ["", "x", "-0", "01", "99999999999999999999"] {
        let foreign = Revision { engine: engine.into(), ..new.clone() };
        assert_eq!(store.put(&key("certs/a"), &value("late"), &Expect::Revision(foreign)).await, Ok(Put::Conflict), "{engine}");
    }
    assert_eq!(body(&store, "certs/a").await, "new");
}

/// Rows whose key is none are reported once, and hide nothing.
#[tokio::test]
async fn foreign_rows_are_reported() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let store = made(&server.url(&database)).await;
    create(&store, "certs/a", 1).await;
    server.sql(&database, "INSERT INTO certfleet.records (key, value) VALUES ('ü b', ''), ('//', '')").await;
    let listing = store.list("").await.expect("listed");
    assert_eq!((listing.entries.len(), listing.unreadable.len()), (1, 2));
    assert!(listing.unreadable.iter().all(|foreign| foreign.revision.is_none()), "{:?}", listing.unreadable);
    assert_eq!(store.list("certs").await.expect("listed").unreadable, []);
}

/// An emptied table is told as a reset.
#[tokio::test]
async fn an_emptied_table_is_told() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let store = made(&server.url(&database)).await;
    create(&store, "certs/a", 1).await;
    let mut watch = store.watch("").await.expect("watched");
    server.sql(&database, "TRUNCATE certfleet.records").await;
    assert_eq!(watch.next().await, Some(Change::Reset));
    assert_eq!(store.get(&key("certs/a")).await, Ok(None));
}

/// Another store in its place, or none, is never taken for an empty one, and nothing is written to it.
#[tokio::test]
async fn another_store_is_not_taken_for_an_empty_one() {
    let Some(server) = shared().await else { return };
    for (change, told) in [
        ("UPDATE certfleet.store SET id = 'another'", "is another store than the one that was opened"),
        ("DELETE FROM certfleet.store", "holds no store any more"),
        ("DROP SCHEMA certfleet CASCADE", "does not exist"),
    ] {
        let database = server.new_database().await;
        let store = made(&server.url(&database)).await;
        let revision = create(&store, "certs/a", 1).await;
        server.sql(&database, change).await;
        let refused = [
            store.get(&key("certs/b")).await.expect_err("get"),
            store.list("nothing").await.expect_err("list"),
            store.put(&key("certs/b"), &value(1), &Expect::Absent).await.expect_err("put"),
            store.delete(&key("certs/a"), &revision).await.expect_err("delete"),
        ];
        for error in refused {
            assert!(error.to_string().contains(told) && error.kind() == ErrorKind::NeedsOperator, "{change}: {error}");
        }
        if !change.starts_with("DROP") {
            assert_eq!(server.sql(&database, "SELECT string_agg(key, ' ') FROM certfleet.records").await, "certs/a");
        }
    }
}

/// The view shows what is there, also what is no text.
#[tokio::test]
async fn the_view_shows_all() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let store = made(&server.url(&database)).await;
    create(&store, "certs/a", "ü").await;
    server.sql(&database, r"INSERT INTO certfleet.records (key, value) VALUES ('bad', '\xff00')").await;
    assert!(matches!(store.get(&key("bad")).await, Err(StoreError::Corrupt { .. })));
    let shown = server.sql(&database, "SELECT value FROM certfleet.readable ORDER BY key").await;
    assert!(shown.contains("\"body\":\"ü\"") && shown.starts_with(r"\377\000"), "{shown}");
}
