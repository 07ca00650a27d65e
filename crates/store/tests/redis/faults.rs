//! Lost answers, lost questions, servers that are killed, hang or are away.

use certfleet_store::{Change, ErrorKind, Expect, Put, Settled, StoreError, delete_settled, put_settled};
use certfleet_testkit::eventually;
use certfleet_testkit::proxy::{Mode, Proxy};
use certfleet_testkit::redis::Redis;
use serde_json::json;

use super::{LIMIT, done, key, made, next, opened, read_again, server, value};

/// An answer that is lost is `Unknown`, whether the write took place or not; one's own nonce settles it.
#[tokio::test]
async fn lost_answers_are_unknown_and_settled() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (store, direct, at) = (made(proxy.address()).await, opened(server.address()).await, key("certs/a"));
    // So that the server knows the script: else what is lost is its saying that it does not.
    done(&direct, &key("fleet"), &value(0), &Expect::Absent).await;
    let mut expect = Expect::Absent;
    for (mode, took_place) in [(Mode::LoseAnswer, true), (Mode::LoseQuestion, false)] {
        let lost = value(format!("{mode:?}"));
        proxy.set(mode);
        let put = store.put(&at, &lost, &expect).await;
        assert!(matches!(&put, Ok(Put::Unknown(why)) if why.contains(&proxy.address().to_string())), "{mode:?}: {put:?}");
        let there = direct.get(&at).await.expect("read");
        assert_eq!(there.is_some_and(|stored| stored.envelope.nonce == lost.nonce), took_place, "{mode:?}");
        if took_place {
            expect = Expect::Revision(direct.get(&at).await.expect("read").expect("there").revision);
        }
        // The same once more, settled.
        let settled = value(format!("{mode:?} settled"));
        assert_eq!(read_again(&store, &at).await.is_some(), expect != Expect::Absent);
        proxy.set(mode);
        let answer = put_settled(&*store, &at, &settled, &expect).await;
        let there = direct.get(&at).await.expect("read").expect("there");
        assert_eq!((answer, there.envelope.nonce), (Ok(Settled::Done(there.revision.clone())), settled.nonce), "{mode:?}");
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        expect = Expect::Revision(there.revision);
    }
}

/// The same for deletions.
#[tokio::test]
async fn lost_deletions_are_settled() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (store, direct, at) = (made(proxy.address()).await, opened(server.address()).await, key("certs/a"));
    for mode in [Mode::LoseAnswer, Mode::LoseQuestion] {
        let revision = done(&direct, &at, &value(1), &Expect::Absent).await;
        read_again(&store, &at).await;
        proxy.set(mode);
        assert!(matches!(store.delete(&at, &revision).await, Ok(Put::Unknown(_))), "{mode:?}");
        read_again(&store, &at).await;
        assert!(matches!(delete_settled(&*store, &at, &revision).await, Ok(Settled::Done(_) | Settled::Conflict)), "{mode:?}");
        assert_eq!(direct.get(&at).await, Ok(None), "{mode:?}");
        let revision = done(&direct, &at, &value(2), &Expect::Absent).await;
        read_again(&store, &at).await;
        proxy.set(mode);
        assert!(matches!(delete_settled(&*store, &at, &revision).await, Ok(Settled::Done(_))), "{mode:?}");
        assert_eq!(direct.get(&at).await, Ok(None), "{mode:?}");
    }
}

/// Someone else's write after a lost one: a conflict, told for certain.
#[tokio::test]
async fn a_lost_write_that_was_overtaken_is_a_conflict() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (store, direct, at) = (made(proxy.address()).await, opened(server.address()).await, key("certs/a"));
    read_again(&store, &at).await;
    let other = done(&direct, &at, &value("other"), &Expect::Absent).await;
    proxy.set(Mode::LoseQuestion);
    assert_eq!(put_settled(&*store, &at, &value("mine"), &Expect::Absent).await, Ok(Settled::Conflict));
    assert_eq!(direct.get(&at).await.expect("read").expect("there").revision, other);
}

/// Killed and started again: the handle works by itself, what was acknowledged is there, and watchers list again.
#[tokio::test]
async fn a_killed_server_comes_back() {
    let Some(mut server) = server().await else { return };
    let (store, at) = (made(server.address()).await, key("certs/a"));
    let mut watch = store.watch("certs").await.expect("watched");
    let revision = done(&store, &at, &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]));
    server.kill();
    let gone = || async { store.put(&at, &value(2), &Expect::Revision(revision.clone())).await.err() };
    let error = eventually("the handle sees that it is gone", LIMIT, gone).await;
    let text = error.to_string();
    assert!(
        error.kind() == ErrorKind::Retry && text.contains(&server.address().to_string()) && text.contains("see that it runs"),
        "{text}"
    );
    assert!(matches!(store.get(&at).await, Err(StoreError::Away { .. })));
    assert!(matches!(store.list("").await, Err(StoreError::Away { .. })));
    assert!(matches!(store.watch("").await, Err(StoreError::Away { .. })));
    server.restart().await;
    assert_eq!(next(&mut watch).await, Change::Reset, "without a call");
    assert_eq!(read_again(&store, &at).await, Some(json!(1)));
    let revision = done(&store, &at, &value(2), &Expect::Revision(revision)).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]), "it is subscribed again");
    // A server that has forgotten the scripts is given them again.
    server.cli(&["SCRIPT", "FLUSH"]);
    done(&store, &at, &value(3), &Expect::Revision(revision)).await;
}

/// A node that is cut from the store alone: what the others write meanwhile is not missed.
#[tokio::test]
async fn a_cut_node_lists_again() {
    let Some(server) = server().await else { return };
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (store, direct) = (made(proxy.address()).await, opened(server.address()).await);
    let mut watch = store.watch("").await.expect("watched");
    proxy.set(Mode::Away);
    let away = || async { store.get(&key("certs/a")).await.err() };
    assert_eq!(eventually("it is away", LIMIT, away).await.kind(), ErrorKind::Retry);
    done(&direct, &key("certs/a"), &value(1), &Expect::Absent).await;
    proxy.set(Mode::Pass);
    assert_eq!(next(&mut watch).await, Change::Reset);
    assert_eq!(read_again(&store, &key("certs/a")).await, Some(json!(1)));
}

/// A server that hangs: calls end, a write that was sent is `Unknown`, and is settled when the server goes on.
#[tokio::test]
async fn a_server_that_hangs_does_not_hang_the_node() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address()).await, key("certs/a"));
    let (lost, begin) = (value(1), std::time::Instant::now());
    server.pause();
    let answer = store.put(&at, &lost, &Expect::Absent).await;
    assert!(matches!(&answer, Ok(Put::Unknown(why)) if why.contains("no answer in time")), "{answer:?}");
    assert!(matches!(store.get(&at).await, Err(StoreError::Away { .. })));
    assert!(begin.elapsed() < LIMIT);
    server.resume();
    read_again(&store, &at).await;
    let settled = put_settled(&*store, &at, &lost, &Expect::Absent).await;
    let there = store.get(&at).await.expect("read").expect("there");
    assert_eq!(there.envelope.nonce, lost.nonce);
    // What was sent took place when the server went on, so this one comes second; or it never arrived, and this one does it.
    assert!(matches!(settled, Ok(Settled::Done(_) | Settled::Conflict)), "{settled:?}");
}

/// A server that was never there: told at once, with where and what to do.
#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], certfleet_testkit::free_port([127, 0, 0, 1].into())));
    let error = certfleet_store::open(&format!("redis://{at}")).await.expect_err("nobody listens");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(text.contains(&at.to_string()) && text.contains("refused") && text.contains("see that it runs"), "{text}");
    let error = certfleet_store::open(&format!("redis+sentinel://{at}/prod")).await.expect_err("nobody listens");
    assert!(error.kind() == ErrorKind::Retry && error.to_string().contains(&at.to_string()), "{error}");
}

/// A full server says so; nothing took place.
#[tokio::test]
async fn a_full_server_is_told() {
    let Some(server) = Redis::start(&["maxmemory-policy noeviction"]).await else { return };
    let (store, at) = (made(server.address()).await, key("certs/a"));
    done(&store, &key("fleet"), &value(1), &Expect::Absent).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = store.put(&at, &value(1), &Expect::Absent).await.expect_err("refused");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("more memory"), "{error}");
    assert_eq!(store.get(&at).await, Ok(None));
    assert!(store.get(&key("fleet")).await.expect("read").is_some());
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    done(&store, &at, &value(1), &Expect::Absent).await;
}
