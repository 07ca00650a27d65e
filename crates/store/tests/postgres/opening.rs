//! Opening, making, and refusing.

use certfleet_store::{ErrorKind, Expect, OpenError, open, open_or_create};
use certfleet_testkit::postgres::PostgresOptions;
use tokio::task::JoinSet;

use super::server::{body, create, key, made, opened, shared, value};

/// Nodes that start at once on an empty database make one store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_make_one_store() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let url = server.url(&database);
    let mut nodes = JoinSet::new();
    for _ in 0..12 {
        let url = url.clone();
        nodes.spawn(async move { made(&url).await });
    }
    let stores = nodes.join_all().await;
    create(&stores[0], "fleet", "one").await;
    for store in &stores {
        assert_eq!(body(store, "fleet").await, "one");
    }
    assert_eq!(server.sql(&database, "SELECT count(*) FROM certfleet.store").await, "1");
}

/// An empty database is not a store: only `init` makes one.
#[tokio::test]
async fn an_empty_database_is_refused() {
    let Some(server) = shared().await else { return };
    let url = server.url(&server.new_database().await);
    let refused = open(&url).await.expect_err("refused");
    assert!(matches!(refused, OpenError::Missing { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(refused.to_string().contains("schema `certfleet`") && !refused.to_string().contains(server.password()), "{refused}");
}

/// A schema in which other things are is left alone; another one in the same database is fine, and is another store.
#[tokio::test]
async fn schemas_are_stores_of_their_own() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    server.sql(&database, "CREATE SCHEMA shop; CREATE TABLE shop.orders (n int)").await;
    let url = |schema: &str| format!("{}&schema={schema}", server.url(&database));
    let refused = open_or_create(&url("shop")).await.expect_err("refused");
    assert!(refused.to_string().contains("holds other things (`orders`)"), "{refused}");
    let (one, other) = (made(&url("one")).await, made(&url("other")).await);
    let mut watch = other.watch("").await.expect("watched");
    create(&one, "fleet", "one").await;
    create(&other, "fleet", "other").await;
    assert_eq!((body(&one, "fleet").await, body(&other, "fleet").await), ("one".into(), "other".into()));
    assert_eq!(watch.next().await, Some(certfleet_store::Change::Keys(vec![key("fleet")])));
}

/// A store of a later version is not touched.
#[tokio::test]
async fn a_later_layout_is_refused() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let url = server.url(&database);
    drop(made(&url).await);
    server.sql(&database, "UPDATE certfleet.store SET layout = 99").await;
    for refused in [open(&url).await.expect_err("refused"), open_or_create(&url).await.expect_err("refused")] {
        assert!(matches!(refused, OpenError::TooNew { found: 99, .. }), "{refused}");
    }
}

/// The privileges that the page lists are enough, and it is said where they are lacking.
#[tokio::test]
async fn least_privileges_are_enough() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let role = format!("fleet_{database}");
    server.sql(&database, &format!("CREATE ROLE {role} LOGIN PASSWORD 'its own'; REVOKE ALL ON SCHEMA public FROM PUBLIC")).await;
    let url = format!("postgres://{role}:its%20own@{}/{database}?sslmode=disable", server.address());
    let refused = open_or_create(&url).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
    assert!(refused.to_string().contains("permission denied") && refused.to_string().contains("grant the role"), "{refused}");
    server.sql(&database, &format!("CREATE SCHEMA certfleet AUTHORIZATION {role}")).await;
    let store = made(&url).await;
    create(&store, "fleet", 1).await;
    assert_eq!(body(&opened(&url).await, "fleet").await, 1);

    // Whoever may use the tables and not change them.
    server
        .sql(&database, &format!("CREATE ROLE user_{role} LOGIN PASSWORD 'its own'; {}", GRANTS.replace("ROLE", &format!("user_{role}"))))
        .await;
    let store = opened(&url.replace(&format!("//{role}:"), &format!("//user_{role}:"))).await;
    assert_eq!(certfleet_store::probe(&*store).await, Ok(()));
    let mut watch = store.watch("").await.expect("watched");
    create(&store, "certs/a", 2).await;
    assert!(watch.next().await.is_some());
    assert_eq!(store.list("").await.expect("listed").entries.len(), 2);
}

/// As the page has them.
const GRANTS: &str = "GRANT USAGE ON SCHEMA certfleet TO ROLE; GRANT SELECT ON certfleet.store TO ROLE; \
    GRANT SELECT, INSERT, UPDATE, DELETE ON certfleet.records TO ROLE; GRANT USAGE ON SEQUENCE certfleet.revisions TO ROLE";

/// What is wrong with the way in is said, without the password.
#[tokio::test]
async fn wrong_logins_are_named() {
    let Some(server) = shared().await else { return };
    let address = server.address();
    let cases = [
        (format!("postgres://postgres:hunter2@{address}/postgres?sslmode=disable"), "pg_hba.conf agree"),
        (format!("postgres://nobody-there:hunter2@{address}/postgres?sslmode=disable"), "pg_hba.conf agree"),
        (server.url("no-such-database"), "create the database"),
        (
            format!("postgres://postgres@{address}/postgres?sslmode=disable&password_file=/no/such/hunter"),
            "cannot be read from /no/such/hunter",
        ),
    ];
    for (url, told) in cases {
        let refused = open(&url).await.expect_err("refused");
        let text = refused.to_string();
        assert!(text.contains(told) && !text.contains("hunter2") && !text.contains(server.password()), "{text}");
        assert_eq!(refused.kind(), ErrorKind::NeedsOperator, "{text}");
    }
}

/// The password may stand in a file, and be changed there.
#[tokio::test]
async fn passwords_are_read_from_files() {
    let Some(server) = shared().await else { return };
    let database = server.new_database().await;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("password");
    std::fs::write(&file, "wrong\n").expect("written");
    let url = format!("postgres://postgres@{}/{database}?sslmode=disable&password_file={}", server.address(), file.display());
    assert_eq!(open_or_create(&url).await.expect_err("refused").kind(), ErrorKind::NeedsOperator);
    std::fs::write(&file, format!("{}\n", server.password())).expect("written");
    let store = made(&url).await;
    create(&store, "fleet", 1).await;
    assert!(!format!("{store:?}").contains(server.password()));
}

/// A server on the same machine may be reached without TCP.
#[tokio::test]
async fn unix_sockets_lead_to_it() {
    let options = PostgresOptions { hba: vec!["local all all trust".into()], ..Default::default() };
    let Some(server) = certfleet_testkit::postgres::Postgres::start(options).await else { return };
    let dir = server.socket_dir().display().to_string().replace('/', "%2F");
    let store = made(&format!("postgres://postgres@{dir}:{}/postgres", server.address().port())).await;
    create(&store, "fleet", 1).await;
    assert_eq!(store.put(&key("fleet"), &value(2), &Expect::Absent).await, Ok(certfleet_store::Put::Conflict));
}
