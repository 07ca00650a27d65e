//! Answers and questions that are lost on the way: a proxy of ours cuts the connection after, or before, the server hears a write.

use std::sync::Arc;
use std::time::Duration;

use certfleet_store::{Change, Expect, Put, Settled, Store, delete_settled, put_settled};
use certfleet_testkit::postgres::Postgres;
use certfleet_testkit::proxy::{Mode, Proxy};

use super::server::{body, create, key, made, opened, shared, value};

/// A store behind a proxy, and the same store without.
async fn behind_proxy() -> Option<(Arc<Postgres>, Proxy, Arc<dyn Store>, Arc<dyn Store>)> {
    let server = shared().await?;
    let database = server.new_database().await;
    let direct = made(&server.url(&database)).await;
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let behind = opened(&server.url_at(proxy.address(), &database)).await;
    Some((server, proxy, behind, direct))
}

/// What the store is asked next goes wrong. (It has a connection by then, so that this is the statement.)
async fn lose(proxy: &Proxy, store: &Arc<dyn Store>, mode: Mode) {
    store.get(&key("nothing")).await.expect("read");
    proxy.set(mode);
}

/// A write that took place, and one that did not, look the same.
#[tokio::test]
async fn lost_writes_are_unknown() {
    let Some((_server, proxy, store, direct)) = behind_proxy().await else { return };
    for (loss, took_place) in [(Mode::LoseAnswer, true), (Mode::LoseQuestion, false)] {
        let at = key(&format!("certs/{took_place}"));
        let written = value(1);
        lose(&proxy, &store, loss).await;
        let answer = store.put(&at, &written, &Expect::Absent).await;
        assert!(matches!(&answer, Ok(Put::Unknown(why)) if why.contains(&proxy.address().to_string())), "{answer:?}");
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        let there = direct.get(&at).await.expect("read").map(|stored| stored.revision.nonce);
        assert_eq!(there, took_place.then_some(written.nonce));
    }
}

/// Read back and look for one's own nonce.
#[tokio::test]
async fn lost_writes_are_settled() {
    let Some((_server, proxy, store, direct)) = behind_proxy().await else { return };
    let at = key("certs/a");
    for loss in [Mode::LoseAnswer, Mode::LoseQuestion] {
        let (first, second) = (value(1), value(2));
        lose(&proxy, &store, loss).await;
        let Ok(Settled::Done(revision)) = put_settled(&*store, &at, &first, &Expect::Absent).await else { panic!("{loss:?}: created") };
        assert_eq!(revision.nonce, first.nonce);
        lose(&proxy, &store, loss).await;
        let settled = put_settled(&*store, &at, &second, &Expect::Revision(revision)).await;
        let Ok(Settled::Done(revision)) = settled else { panic!("{loss:?}: {settled:?}") };
        assert_eq!(direct.get(&at).await.expect("read").expect("there").revision, revision);
        lose(&proxy, &store, loss).await;
        assert!(matches!(delete_settled(&*store, &at, &revision).await, Ok(Settled::Done(_))), "{loss:?}");
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        assert_eq!(direct.get(&at).await, Ok(None));
    }
}

/// Who lost the answer and was replaced meanwhile, and who never wrote because another did, get a conflict.
#[tokio::test]
async fn lost_writes_that_another_overtook_are_conflicts() {
    let Some((_server, proxy, store, direct)) = behind_proxy().await else { return };
    let (at, mine) = (key("certs/a"), value("mine"));
    lose(&proxy, &store, Mode::LoseAnswer).await;
    assert!(matches!(store.put(&at, &mine, &Expect::Absent).await, Ok(Put::Unknown(_))));
    let there = direct.get(&at).await.expect("read").expect("there").revision;
    assert!(matches!(direct.put(&at, &value("another"), &Expect::Revision(there)).await, Ok(Put::Done(_))));
    assert_eq!(put_settled(&*store, &at, &mine, &Expect::Absent).await, Ok(Settled::Conflict));
    assert_eq!(body(&store, "certs/a").await, "another");
}

/// A read that is lost is asked again.
#[tokio::test]
async fn lost_reads_are_asked_again() {
    let Some((_server, proxy, store, direct)) = behind_proxy().await else { return };
    create(&direct, "certs/a", 1).await;
    for loss in [Mode::LoseAnswer, Mode::LoseQuestion] {
        lose(&proxy, &store, loss).await;
        assert_eq!(body(&store, "certs/a").await, 1);
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
    }
}

/// Connections that were cut while nobody looked are not used: nothing is in doubt.
#[tokio::test]
async fn idle_connections_that_were_cut_are_not_used() {
    let Some((_server, proxy, store, _)) = behind_proxy().await else { return };
    create(&store, "certs/a", 1).await;
    proxy.set(Mode::Away);
    // The cut is seen when the socket says so.
    tokio::time::sleep(Duration::from_millis(200)).await;
    proxy.set(Mode::Pass);
    create(&store, "certs/b", 1).await;
}

/// After a lost connection the watch is told that it may have missed something, and goes on.
#[tokio::test]
async fn a_watch_that_was_cut_is_reset() {
    let Some((_server, proxy, store, direct)) = behind_proxy().await else { return };
    let mut watch = store.watch("").await.expect("watched");
    create(&direct, "certs/a", 1).await;
    assert_eq!(watch.next().await, Some(Change::Keys(vec![key("certs/a")])));
    proxy.set(Mode::Away);
    create(&direct, "certs/b", 1).await;
    proxy.set(Mode::Pass);
    assert_eq!(watch.next().await, Some(Change::Reset));
    create(&direct, "certs/c", 1).await;
    assert_eq!(watch.next().await, Some(Change::Keys(vec![key("certs/c")])));
}

/// A server that is silent is given up; what was sent to it is in doubt.
#[tokio::test]
async fn silence_has_an_end() {
    let Some((_server, proxy, store, direct)) = behind_proxy().await else { return };
    create(&store, "certs/a", 1).await;
    proxy.set(Mode::Hang);
    let (written, at) = (value(1), key("certs/b"));
    let answer = store.put(&at, &written, &Expect::Absent).await;
    assert!(matches!(&answer, Ok(Put::Unknown(why)) if why.contains("has not answered for")), "{answer:?}");
    assert_eq!(direct.get(&at).await, Ok(None), "the proxy has it");
    proxy.set(Mode::Pass);
    // It may have arrived meanwhile: then the second is refused, and the first is there.
    put_settled(&*store, &at, &written, &Expect::Absent).await.expect("the server answers again");
    assert_eq!(direct.get(&at).await.expect("read").expect("there").revision.nonce, written.nonce);
}
