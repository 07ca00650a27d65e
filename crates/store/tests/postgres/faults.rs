//! Servers that are full, crowded, locked or read-only.

use std::sync::Arc;

use certfleet_store::{ErrorKind, Expect, Put, Store, StoreError, open};
use certfleet_testkit::disk::SmallDisk;
use certfleet_testkit::eventually;
use certfleet_testkit::postgres::Postgres;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;

use super::server::{LIMIT, body, create, key, made, opened, own, shared, value};

/// How many ask at the same time, and how often.
const CALLERS: usize = 16;
const ROUNDS: usize = 40;

/// A session of somebody else's; it ends when this is dropped.
struct Session {
    client: tokio_postgres::Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Session {
    async fn open(url: &str) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        Ok(Self { client, driver: tokio::spawn(async move { _ = connection.await }) })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A role that does not get the superuser's reserved connections.
async fn plain_role(server: &Postgres) -> String {
    server.sql("postgres", "CREATE ROLE fleet LOGIN PASSWORD 'fleet'; CREATE SCHEMA certfleet AUTHORIZATION fleet").await;
    format!("postgres://fleet:fleet@{}/postgres?sslmode=disable", server.address())
}

/// A node that has a connection goes on with it; one that has none says what is full, and tries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowded_servers_are_borne() {
    let Some(server) = own(&["max_connections = 10"]).await else { return };
    let url = plain_role(&server).await;
    let store = made(&url).await;
    create(&store, "certs/a", 1).await;
    let mut crowd = Vec::new();
    while let Ok(session) = Session::open(&url).await {
        crowd.push(session);
    }
    assert!(crowd.len() > 3, "{} sessions", crowd.len());
    let refused = open(&url).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Retry);
    assert!(
        refused.to_string().contains("raise `max_connections`") && refused.to_string().contains(&server.address().to_string()),
        "{refused}"
    );
    // Whoever looks for a connection just when another takes or returns the only one must not think that there is none.
    for round in 0..ROUNDS {
        let mut calls = JoinSet::new();
        for n in 0..CALLERS {
            let store = store.clone();
            calls.spawn(async move { create(&store, &format!("certs/crowded{round}-{n}"), n).await });
        }
        calls.join_all().await;
    }
    assert_eq!(store.watch("").await.expect_err("no connection to listen on").kind(), ErrorKind::Retry);
    drop(crowd);
    let other = eventually("the server has room again", LIMIT, || async { open(&url).await.ok() }).await;
    assert_eq!(other.list("certs").await.expect("listed").entries.len(), 1 + ROUNDS * CALLERS);
    eventually("watches begin", LIMIT, || async { store.watch("").await.ok() }).await;
}

/// A row that another session holds makes a write wait, not for ever; what is refused then did not take place.
#[tokio::test]
async fn locked_rows_are_not_waited_for_without_end() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let url = server.url(&database);
    let store = made(&url).await;
    let revision = create(&store, "certs/a", 1).await;
    let holder = Session::open(&url).await.expect("connected");
    holder.client.batch_execute("BEGIN; SELECT * FROM certfleet.records FOR UPDATE").await.expect("locked");
    let refused = store.put(&key("certs/a"), &value(2), &Expect::Revision(revision.clone())).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Retry);
    assert!(refused.to_string().contains("another session holds the row"), "{refused}");
    assert_eq!(body(&store, "certs/a").await, 1);
    drop(holder);
    let written = || async {
        matches!(store.put(&key("certs/a"), &value(2), &Expect::Revision(revision.clone())).await, Ok(Put::Done(_))).then_some(())
    };
    eventually("the row is free", LIMIT, written).await;
}

/// A database that may only be read says so.
#[tokio::test]
async fn read_only_databases_are_named() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let url = server.url(&database);
    drop(made(&url).await);
    server.sql(&database, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).await;
    let store = opened(&url).await;
    assert_eq!(store.get(&key("certs/a")).await, Ok(None));
    let refused = store.put(&key("certs/a"), &value(1), &Expect::Absent).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(
        refused.to_string().contains("read-only transaction") && refused.to_string().contains("default_transaction_read_only"),
        "{refused}"
    );
}

/// Commits are on the disk, whatever the role's own settings say.
#[tokio::test]
async fn commits_are_synchronous() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let url = server.url(&database);
    drop(made(&url).await);
    // A trigger sees the settings of the session that writes.
    let witness = "CREATE TABLE seen (commit text, statements text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO seen VALUES (current_setting('synchronous_commit'), current_setting('statement_timeout')); RETURN NULL; END $$; \
        CREATE TRIGGER see AFTER INSERT ON certfleet.records EXECUTE FUNCTION see()";
    server.sql(&database, witness).await;
    for setting in ["synchronous_commit = off", "statement_timeout = '1h'"] {
        server.sql("postgres", &format!("ALTER DATABASE {database} SET {setting}")).await;
    }
    create(&opened(&url).await, "certs/a", 1).await;
    assert_eq!(server.sql(&database, "SELECT * FROM seen").await, "on|0");
}

/// A commit whose wait for the standbys was cancelled is not said to be done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_no_standby_has_may_not_last() {
    let Some(server) = own(&[]).await else { return };
    let store = made(&server.url("postgres")).await;
    server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    server.sql("postgres", "SELECT pg_reload_conf()").await;
    let writer = tokio::spawn({
        let store = store.clone();
        async move { store.put(&key("certs/a"), &value(1), &Expect::Absent).await }
    });
    let cancelled = || async {
        let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        (server.sql("postgres", cancel).await == "t").then_some(())
    };
    eventually("the commit waits for its standby", LIMIT, cancelled).await;
    let answer = writer.await.expect("it ran");
    assert!(matches!(&answer, Err(StoreError::NotDurable { .. })), "{answer:?}");
    assert_eq!(body(&store, "certs/a").await, 1);
}

/// A full disk is named; what was there can be read, and written again when there is room.
#[tokio::test]
async fn full_disks_are_named() {
    let Some(server) = own(&[]).await else { return };
    let Some(disk) = SmallDisk::mount(&server.socket_dir().join("small"), 4) else { return };
    let store = made(&server.url("postgres")).await;
    std::os::unix::fs::chown(disk.path(), Some(server.uid()), None).expect("root may give it away");
    server.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display())).await;
    server.sql("postgres", "ALTER TABLE certfleet.records SET TABLESPACE small").await;
    let first = create(&store, "certs/a", 1).await;
    let refused = fill(&store).await;
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(
        refused.to_string().contains("No space left on device") && refused.to_string().contains("free space on the database server"),
        "{refused}"
    );
    assert_eq!(store.get(&key("certs/a")).await.expect("read").expect("there").revision, first);
    disk.grow(64);
    create(&store, "certs/b", incompressible()).await;
}

/// Writes until that is refused.
async fn fill(store: &Arc<dyn Store>) -> StoreError {
    for n in 0..200 {
        let at = key(&format!("full/{n}"));
        match store.put(&at, &value(incompressible()), &Expect::Absent).await {
            Ok(Put::Done(_)) => {}
            Ok(other) => panic!("the only writer of `{at}` got {other:?}"),
            Err(error) => {
                assert_eq!(store.get(&at).await, Ok(None), "what was refused did not take place");
                return error;
            }
        }
    }
    panic!("the disk of 4 MiB took 200 values of 100 KiB");
}

/// 100 KiB that take as much on the disk.
fn incompressible() -> String {
    (0..3200).map(|_| certfleet_store::fresh_nonce().expect("random").as_str().to_owned()).collect()
}
