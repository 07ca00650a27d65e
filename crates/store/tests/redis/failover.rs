//! A master that dies with the last writes on it alone, and replicas that take its place.

use certfleet_store::{Change, ErrorKind, Expect, Put, StoreError};
use certfleet_testkit::eventually;
use certfleet_testkit::redis::Redis;
use serde_json::json;

use super::{LIMIT, done, key, made, next, read_again, server, value};

const SERVICE: &str = "prod";

/// A master with a replica and a Sentinel.
async fn group() -> Option<(Redis, Redis, Redis)> {
    let master = server().await?;
    let replica = master.replica().await?;
    let sentinel = master.sentinel(SERVICE).await?;
    Some((master, replica, sentinel))
}

fn url(sentinel: &Redis) -> String {
    format!("redis+sentinel://127.0.0.1:1,{}/{SERVICE}", sentinel.address())
}

/// Waits until the replica has all that the master has.
async fn in_step(master: &Redis, replica: &Redis) {
    let offset = |server: &Redis, field: &str| {
        let info = server.cli(&["INFO", "replication"]);
        info.lines().find_map(|line| line.strip_prefix(field).map(|rest| rest.trim().to_owned())).expect("a field")
    };
    let same = || async { (offset(master, "master_repl_offset:") == offset(replica, "slave_repl_offset:")).then_some(()) };
    eventually("the replica is in step", LIMIT, same).await;
}

/// The handle goes on with the new master and reads what that has. The revisions of what was lost fit nothing, though their numbers are given
/// again; those of what was kept fit.
#[tokio::test]
async fn a_failover_that_loses_the_last_writes() {
    let Some((mut master, replica, sentinel)) = group().await else { return };
    let store = certfleet_store::open_or_create(&url(&sentinel)).await.expect("made");
    let mut watch = store.watch("").await.expect("watched");
    let (kept, lost) = (key("certs/kept"), key("certs/lost"));
    let revision = done(&store, &kept, &value("kept"), &Expect::Absent).await;
    let before = done(&store, &lost, &value("before"), &Expect::Absent).await;
    in_step(&master, &replica).await;
    // The replica gets nothing more: what is written now is on the master alone.
    replica.pause();
    assert_eq!(master.cli(&["CLIENT", "KILL", "TYPE", "replica"]), "1");
    let gone = done(&store, &lost, &value("gone"), &Expect::Revision(before.clone())).await;
    let new = done(&store, &key("certs/new"), &value("gone, too"), &Expect::Absent).await;
    master.kill();
    replica.resume();
    let reset = || async { store.get(&kept).await.ok() };
    let there = eventually("the new master answers", LIMIT, reset).await.expect("kept");
    assert_eq!(there.revision, revision);
    assert_eq!(read_again(&store, &lost).await, Some(json!("before")));
    assert_eq!(read_again(&store, &key("certs/new")).await, None);
    let mut seen = next(&mut watch).await;
    while seen != Change::Reset {
        seen = next(&mut watch).await;
    }
    // What was lost is no ground to write on …
    for stale in [&gone, &new] {
        assert_eq!(store.put(&lost, &value("on lost ground"), &Expect::Revision(stale.clone())).await, Ok(Put::Conflict));
        assert_eq!(store.put(&key("certs/new"), &value("on lost ground"), &Expect::Revision(stale.clone())).await, Ok(Put::Conflict));
    }
    // … and its number is given again, to another value: it still is none.
    let again = done(&store, &lost, &value("again"), &Expect::Revision(before)).await;
    let number = |engine: &str| engine.split('.').next().map(str::to_owned);
    assert_eq!(number(&again.engine), number(&gone.engine), "the counter was lost, too");
    assert_ne!(again, gone);
    assert_eq!(store.put(&lost, &value("on lost ground"), &Expect::Revision(gone)).await, Ok(Put::Conflict));
    assert_eq!(read_again(&store, &lost).await, Some(json!("again")));
    assert_eq!(certfleet_store::probe(&*store).await, Ok(()));
    // The old master comes back, and for some time believes that it still is one: its lost writes do not come back with it.
    master.restart().await;
    assert!(master.cli(&["HGET", "certfleet:data/certs/lost", "value"]).contains("gone"));
    let other = certfleet_store::open(&url(&sentinel)).await.expect("opened");
    for store in [&store, &other] {
        assert_eq!(read_again(store, &lost).await, Some(json!("again")));
        assert_eq!(read_again(store, &key("certs/new")).await, None);
    }
}

/// A master that is made a replica while it is used takes no write, and the handle finds the new one.
#[tokio::test]
async fn a_planned_failover_loses_nothing() {
    let Some((master, replica, sentinel)) = group().await else { return };
    let store = certfleet_store::open_or_create(&url(&sentinel)).await.expect("made");
    let mut revision = done(&store, &key("certs/a"), &value(0), &Expect::Absent).await;
    in_step(&master, &replica).await;
    let begun = || async { (sentinel.cli(&["SENTINEL", "FAILOVER", SERVICE]) == "OK").then_some(()) };
    eventually("the Sentinel takes the replica for a good one", LIMIT, begun).await;
    let demoted = || async { master.cli(&["ROLE"]).starts_with("slave").then_some(()) };
    eventually("the old master is a replica", LIMIT, demoted).await;
    assert_eq!(read_again(&store, &key("certs/a")).await, Some(json!(0)));
    revision = done(&store, &key("certs/a"), &value(1), &Expect::Revision(revision)).await;
    let there =
        || async { replica.cli(&["HGET", "certfleet:meta", "revision"]).contains(revision.engine.split('.').next()?).then_some(()) };
    eventually("the new master has it", LIMIT, there).await;
}

/// Without Sentinels, a server that became a replica is not written to, nor believed for long.
#[tokio::test]
async fn a_replica_is_not_used() {
    let Some(master) = server().await else { return };
    let store = made(master.address()).await;
    let revision = done(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    let Some(replica) = master.replica().await else { return };
    let error = certfleet_store::open(&format!("redis://{}", replica.address())).await.expect_err("a replica");
    assert!(
        error.kind() == ErrorKind::Retry && error.to_string().contains(&format!("it is a replica (of {})", master.address())),
        "{error}"
    );
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    master.cli(&["REPLICAOF", "127.0.0.1", &replica.address().port().to_string()]);
    let error = store.put(&key("certs/a"), &value(2), &Expect::Revision(revision)).await.expect_err("read-only");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    let refused =
        || async { matches!(store.get(&key("certs/a")).await, Err(StoreError::Away { why }) if why.contains("replica")).then_some(()) };
    eventually("the handle sees what it is connected to", LIMIT, refused).await;
}

/// With `wait`, a write that no replica has is said to be in danger.
#[tokio::test]
async fn writes_wait_for_replicas() {
    let Some(master) = server().await else { return };
    let Some(replica) = master.replica().await else { return };
    let store = certfleet_store::open_or_create(&format!("redis://{}?wait=1", master.address())).await.expect("made");
    let revision = done(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    replica.pause();
    let written = store.put(&key("certs/a"), &value(2), &Expect::Revision(revision)).await;
    assert!(matches!(&written, Err(StoreError::NotDurable { why, .. }) if why.contains("0 of 1 replicas")), "{written:?}");
    let there = store.get(&key("certs/a")).await.expect("read").expect("there");
    assert_eq!(there.envelope.body, json!(2));
    replica.resume();
    done(&store, &key("certs/a"), &value(3), &Expect::Revision(there.revision)).await;
}
