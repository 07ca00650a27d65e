//! Servers that stop, crash, and are replaced.

use std::sync::Arc;

use certfleet_store::{Change, ErrorKind, Expect, Settled, Store, Watch, open, put_settled};
use certfleet_testkit::eventually;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::server::{LIMIT, body, create, key, made, opened, own, value};

/// Everything that was told, until a reset is.
async fn until_reset(watch: &mut Watch) {
    let reset = async { while watch.next().await.expect("the watch goes on") != Change::Reset {} };
    timeout(LIMIT, reset).await.expect("a reset is told after an outage");
}

/// While it is away this is said, with where and what to do; when it is back the handle and the watch work again by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_servers_are_found_again() {
    let Some(mut server) = own(&[]).await else { return };
    let url = server.url("postgres");
    let store = made(&url).await;
    let mut watch = store.watch("certs").await.expect("watched");
    let revision = create(&store, "certs/a", 1).await;
    for crash in [false, true] {
        if crash {
            server.crash().await
        } else {
            server.stop().await
        }
        let answers = [
            store.get(&key("certs/a")).await.expect_err("get"),
            store.list("").await.expect_err("list"),
            store.put(&key("certs/b"), &value(1), &Expect::Absent).await.expect_err("put"),
            store.delete(&key("certs/a"), &revision).await.expect_err("delete"),
        ];
        for error in answers {
            let text = error.to_string();
            assert_eq!(error.kind(), ErrorKind::Retry, "{text}");
            assert!(text.contains(&server.address().to_string()) && text.contains("see that PostgreSQL runs there"), "{text}");
            assert!(!text.contains(server.password()), "{text}");
        }
        assert_eq!(open(&url).await.expect_err("away").kind(), ErrorKind::Retry);
        server.run().await;
        assert_eq!(body(&store, "certs/a").await, 1, "the handle works again at once");
        until_reset(&mut watch).await;
        let at = format!("certs/new{crash}");
        create(&store, &at, 1).await;
        assert_eq!(watch.next().await, Some(Change::Keys(vec![key(&at)])));
    }
}

/// A watch that begins while the server is away fails, and one that begins when it is back does not have to wait.
#[tokio::test]
async fn watches_begin_when_the_server_is_back() {
    let Some(mut server) = own(&[]).await else { return };
    let store = made(&server.url("postgres")).await;
    server.stop().await;
    assert_eq!(store.watch("").await.expect_err("away").kind(), ErrorKind::Retry);
    server.run().await;
    let mut watch = store.watch("").await.expect("watched");
    create(&store, "certs/a", 1).await;
    assert!(watch.next().await.is_some());
}

/// Writers that go on through crashes: what was acknowledged is there, each step counted once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_a_crash() {
    const STEPS: u64 = 200;
    let Some(mut server) = own(&[]).await else { return };
    let store = made(&server.url("postgres")).await;
    let mut writers = JoinSet::new();
    for n in 0..4 {
        let store = store.clone();
        writers.spawn(async move { count_to(&store, &format!("certs/{n}"), STEPS).await });
    }
    for _ in 0..3 {
        let before = body_sum(&store).await;
        let goes_on = || async { (body_sum(&store).await > before + 4).then_some(()) };
        eventually("the writers write", LIMIT, goes_on).await;
        server.crash().await;
        server.run().await;
    }
    writers.join_all().await;
    for n in 0..4 {
        assert_eq!(body(&store, &format!("certs/{n}")).await, STEPS);
    }
}

/// How far the writers came together.
async fn body_sum(store: &Arc<dyn Store>) -> u64 {
    let listed = store.list("certs").await.expect("listed").entries;
    listed.iter().filter_map(|(_, stored)| stored.envelope.body.as_u64()).sum()
}

/// Counts in steps of one, through outages: a settled write is followed by the next number, and by no other.
async fn count_to(store: &Arc<dyn Store>, at: &str, steps: u64) {
    let at = key(at);
    let (mut expect, mut reached) = (Expect::Absent, 0);
    while reached < steps {
        let next = value(reached + 1).following(&expect);
        match put_settled(&**store, &at, &next, &expect).await {
            Ok(Settled::Done(revision)) => (expect, reached) = (Expect::Revision(revision), reached + 1),
            Ok(Settled::Conflict) => panic!("the only writer of `{at}` had a conflict at {reached}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                // Not known whether it took place: what is there says it.
                let there = eventually("the store answers", LIMIT, || async { store.get(&at).await.ok() }).await;
                if let Some(there) = there.filter(|there| there.revision.nonce == next.nonce) {
                    (expect, reached) = (Expect::Revision(there.revision), reached + 1);
                }
            }
        }
    }
}

/// A standby is told from a primary; with both in the URL the primary is found, also after a fail-over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn primaries_are_found() {
    let Some(mut primary) = own(&["wal_level = replica"]).await else { return };
    let store = made(&primary.url("postgres")).await;
    create(&store, "certs/a", 1).await;
    let standby = primary.standby().await;
    let refused = open(&standby.url("postgres")).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::Retry);
    assert!(refused.to_string().contains(&format!("{} is a read-only standby; name the primary", standby.address())), "{refused}");

    let hosts = format!("{},{}", standby.address(), primary.address());
    let both = primary.url("postgres").replace(&primary.address().to_string(), &hosts);
    let store = opened(&both).await;
    let mut watch = store.watch("").await.expect("watched");
    create(&store, "certs/b", 1).await;
    assert_eq!(watch.next().await, Some(Change::Keys(vec![key("certs/b")])));
    let position = primary.sql("postgres", "SELECT pg_current_wal_lsn()").await;
    let caught_up =
        || async { (standby.sql("postgres", &format!("SELECT pg_last_wal_replay_lsn() >= '{position}'")).await == "t").then_some(()) };
    eventually("the standby has everything", LIMIT, caught_up).await;
    primary.stop().await;
    assert_eq!(store.get(&key("certs/b")).await.expect_err("no primary").kind(), ErrorKind::Retry);
    standby.promote().await;
    assert_eq!(body(&store, "certs/b").await, 1);
    until_reset(&mut watch).await;
    create(&store, "certs/c", 1).await;
}
