//! Lost answers, lost questions, servers that are slow, in trouble, killed, emptied or away.

use std::time::{Duration, Instant};

use certfleet_store::{Change, ErrorKind, Expect, Put, Settled, StoreError, delete_settled, put_settled};
use certfleet_testkit::eventually;
use certfleet_testkit::proxy::{Mode, Proxy};
use serde_json::json;

use super::{BUCKET, LIMIT, done, key, made, next, opened, prefix, server, shared, value};

/// An answer that is lost is `Unknown`, whether the write took place or not; one's own nonce settles it.
#[tokio::test]
async fn lost_answers_are_unknown_and_settled() {
    let Some(server) = shared().await else { return };
    let (proxy, prefix) = (Proxy::start(server.address()).await.expect("a proxy"), prefix());
    let (store, direct, at) = (made(proxy.address(), &prefix).await, opened(server.address(), &prefix).await, key("certs/a"));
    let mut expect = Expect::Revision(done(&direct, &at, &value(0), &Expect::Absent).await);
    for (mode, took_place) in [(Mode::LoseAnswer, true), (Mode::LoseQuestion, false)] {
        let lost = value(format!("{mode:?}"));
        proxy.set(mode);
        let put = store.put(&at, &lost, &expect).await;
        assert!(matches!(&put, Ok(Put::Unknown(why)) if why.contains(&proxy.address().to_string())), "{mode:?}: {put:?}");
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        let there = direct.get(&at).await.expect("read").expect("there");
        assert_eq!(there.envelope.nonce == lost.nonce, took_place, "{mode:?}");
        expect = Expect::Revision(there.revision);
        // The same once more, settled.
        let settled = value(format!("{mode:?} settled"));
        proxy.set(mode);
        let answer = put_settled(&*store, &at, &settled, &expect).await;
        let there = direct.get(&at).await.expect("read").expect("there");
        assert_eq!((answer, &there.envelope.nonce), (Ok(Settled::Done(there.revision.clone())), &settled.nonce), "{mode:?}");
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        expect = Expect::Revision(there.revision);
    }
}

/// The same for deletions, and for the creation of a key that was deleted.
#[tokio::test]
async fn lost_deletions_and_creations_are_settled() {
    let Some(server) = shared().await else { return };
    let (proxy, prefix) = (Proxy::start(server.address()).await.expect("a proxy"), prefix());
    let (store, direct, at) = (made(proxy.address(), &prefix).await, opened(server.address(), &prefix).await, key("certs/a"));
    let mut revision = done(&direct, &at, &value(1), &Expect::Absent).await;
    for mode in [Mode::LoseAnswer, Mode::LoseQuestion] {
        proxy.set(mode);
        assert!(matches!(store.delete(&at, &revision).await, Ok(Put::Unknown(_))), "{mode:?}");
        assert!(matches!(delete_settled(&*store, &at, &revision).await, Ok(Settled::Done(_) | Settled::Conflict)), "{mode:?}");
        assert_eq!(direct.get(&at).await, Ok(None), "{mode:?}");
        // This handle knows the tombstone, and asks nothing before it writes.
        assert_eq!(store.get(&at).await, Ok(None));
        let created = value(format!("{mode:?}"));
        proxy.set(mode);
        let answer = put_settled(&*store, &at, &created, &Expect::Absent).await;
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        let there = direct.get(&at).await.expect("read").expect("there");
        assert_eq!((answer, &there.envelope.nonce), (Ok(Settled::Done(there.revision.clone())), &created.nonce), "{mode:?}");
        proxy.set(mode);
        assert!(matches!(delete_settled(&*store, &at, &there.revision).await, Ok(Settled::Done(_))), "{mode:?}");
        assert_eq!(direct.get(&at).await, Ok(None), "{mode:?}");
        revision = done(&direct, &at, &value(2), &Expect::Absent).await;
    }
}

/// 503 and its kin may come after the write took place: `Unknown`, and settled either way; for creations, changes and deletions.
#[tokio::test]
async fn a_server_in_trouble_leaves_no_doubt() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address(), &prefix()).await, key("certs/a"));
    for (wrong, is_done, why) in [
        (r#""status": 503, "code": "SlowDown""#, false, "503 SlowDown"),
        (r#""status": 503, "code": "SlowDown""#, true, "503 SlowDown"),
        (r#""status": 500, "code": "InternalError""#, true, "500 InternalError"),
        (r#""status": 502"#, false, "502"),
        (r#""drop": true"#, true, "connection"),
        (r#""drop": true"#, false, "connection"),
    ] {
        let once = format!(r#"{{{wrong}, "done": {is_done}, "methods": ["PUT"], "times": 1}}"#);
        let mut expect = Expect::Absent;
        for n in 0..2 {
            server.fail(&once);
            let lost = value(n);
            let put = store.put(&at, &lost, &expect).await;
            assert!(matches!(&put, Ok(Put::Unknown(told)) if told.contains(why)), "{put:?}");
            assert_eq!(store.get(&at).await.expect("read").is_some_and(|there| there.envelope.nonce == lost.nonce), is_done);
            let expected = store.get(&at).await.expect("read").map_or(Expect::Absent, |there| Expect::Revision(there.revision));
            server.fail(&once);
            let settled = value("settled");
            let answer = put_settled(&*store, &at, &settled, &expected).await;
            let there = store.get(&at).await.expect("read").expect("there");
            assert_eq!((answer, there.envelope.nonce), (Ok(Settled::Done(there.revision.clone())), settled.nonce), "{once}");
            expect = Expect::Revision(there.revision);
        }
        let Expect::Revision(revision) = expect else { panic!("it is there") };
        server.fail(&once);
        assert!(matches!(delete_settled(&*store, &at, &revision).await, Ok(Settled::Done(_))), "{once}");
        assert_eq!(store.get(&at).await, Ok(None), "{once}");
    }
}

/// What S3 put off because another conditional write was under way was not written: it is sent again, and not too often.
#[tokio::test]
async fn a_write_that_was_put_off_is_sent_again() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address(), &prefix()).await, key("certs/a"));
    let busy = |times| format!(r#"{{"status": 409, "code": "ConditionalRequestConflict", "methods": ["PUT"], "times": {times}}}"#);
    server.fail(&busy(2));
    let first = done(&store, &at, &value(1), &Expect::Absent).await;
    server.fail(&busy(1000));
    let error = store.put(&at, &value(2), &Expect::Revision(first.clone())).await.expect_err("put off all the time");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    server.heal();
    assert_eq!(store.get(&at).await.expect("read").expect("there").revision, first, "nothing took place");
}

/// Reads are tried a few times, and then told as what they are.
#[tokio::test]
async fn reads_outlast_a_short_trouble() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address(), &prefix()).await, key("certs/a"));
    done(&store, &at, &value(1), &Expect::Absent).await;
    server.fail(r#"{"status": 503, "code": "SlowDown", "methods": ["GET"], "times": 2}"#);
    assert!(store.get(&at).await.expect("read").is_some());
    server.fail(r#"{"status": 503, "code": "SlowDown", "methods": ["GET"], "times": 2}"#);
    assert_eq!(store.list("").await.expect("listed").entries.len(), 1);
    server.fail(r#"{"status": 503, "methods": ["GET"]}"#);
    for error in [store.get(&at).await.expect_err("refused"), store.list("").await.expect_err("refused")] {
        let text = error.to_string();
        assert!(error.kind() == ErrorKind::Retry && text.contains("503") && text.contains(&server.address().to_string()), "{text}");
    }
}

/// A slow server: calls end, a write is `Unknown`, and is settled when the server is itself again.
#[tokio::test]
async fn a_slow_server_does_not_hang_the_node() {
    let Some(server) = server().await else { return };
    let (store, at) = (made(server.address(), &prefix()).await, key("certs/a"));
    let first = done(&store, &at, &value(0), &Expect::Absent).await;
    server.fail(r#"{"delay_ms": 15000, "methods": ["PUT"], "times": 1}"#);
    let (lost, expect, begin) = (value(1), Expect::Revision(first), Instant::now());
    let answer = store.put(&at, &lost, &expect).await;
    assert!(matches!(&answer, Ok(Put::Unknown(why)) if why.contains("no answer within 10 s")), "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(14), "{:?}", begin.elapsed());
    let settled = put_settled(&*store, &at, &lost, &expect).await;
    let there = store.get(&at).await.expect("read").expect("there");
    assert_eq!((settled, there.envelope.nonce), (Ok(Settled::Done(there.revision)), lost.nonce));
}

/// Someone else's write after a lost one: a conflict, told for certain.
#[tokio::test]
async fn a_lost_write_that_was_overtaken_is_a_conflict() {
    let Some(server) = shared().await else { return };
    let (proxy, prefix) = (Proxy::start(server.address()).await.expect("a proxy"), prefix());
    let (store, direct, at) = (made(proxy.address(), &prefix).await, opened(server.address(), &prefix).await, key("certs/a"));
    let first = done(&direct, &at, &value("first"), &Expect::Absent).await;
    let other = done(&direct, &at, &value("other"), &Expect::Revision(first.clone())).await;
    proxy.set(Mode::LoseQuestion);
    assert_eq!(put_settled(&*store, &at, &value("mine"), &Expect::Revision(first)).await, Ok(Settled::Conflict));
    assert_eq!(direct.get(&at).await.expect("read").expect("there").revision, other);
}

/// A node that is cut from the store alone: errors name the place, and what the others write meanwhile is told when it is back.
#[tokio::test]
async fn a_cut_node_misses_nothing() {
    let Some(server) = shared().await else { return };
    let (proxy, prefix) = (Proxy::start(server.address()).await.expect("a proxy"), prefix());
    let (store, direct) = (made(proxy.address(), &prefix).await, opened(server.address(), &prefix).await);
    let (at, mine) = (key("certs/a"), key("certs/b"));
    let mut watch = store.watch("certs").await.expect("watched");
    proxy.set(Mode::Away);
    let error = store.get(&at).await.expect_err("it is away");
    assert!(error.kind() == ErrorKind::Retry && error.to_string().contains(&proxy.address().to_string()), "{error}");
    assert!(matches!(store.list("").await, Err(StoreError::Away { .. })));
    assert!(matches!(store.put(&mine, &value(1), &Expect::Absent).await, Err(StoreError::Away { .. })), "it asks before it creates");
    done(&direct, &at, &value(1), &Expect::Absent).await;
    proxy.set(Mode::Pass);
    assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]), "without a call");
    assert_eq!(store.get(&at).await.expect("read").expect("there").envelope.body, json!(1));
    done(&store, &mine, &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![mine]));
}

/// A server that hangs: reads end.
#[tokio::test]
async fn a_server_that_hangs_does_not_hang_reads() {
    let Some(server) = shared().await else { return };
    let proxy = Proxy::start(server.address()).await.expect("a proxy");
    let (store, begin) = (made(proxy.address(), &prefix()).await, Instant::now());
    proxy.set(Mode::Hang);
    let error = store.get(&key("certs/a")).await.expect_err("no answer");
    assert!(error.kind() == ErrorKind::Retry && error.to_string().contains("no answer within"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    proxy.heal();
    assert_eq!(store.get(&key("certs/a")).await, Ok(None), "the handle works again by itself");
}

/// Killed, and back without its data: never taken for an empty store, neither by readers nor by writers; nothing is written there.
#[tokio::test]
async fn a_server_that_lost_its_data_is_no_empty_store() {
    let Some(mut server) = server().await else { return };
    let (prefix, at) = (prefix(), key("certs/a"));
    let store = made(server.address(), &prefix).await;
    let mut watch = store.watch("").await.expect("watched");
    let revision = done(&store, &at, &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]));
    server.kill();
    let error = store.put(&at, &value(2), &Expect::Revision(revision.clone())).await;
    let Err(error) = error else { panic!("{error:?}") };
    let text = error.to_string();
    assert!(
        error.kind() == ErrorKind::Retry && text.contains(&server.address().to_string()) && text.contains("see that it runs"),
        "{text}"
    );
    server.restart().await;
    let error = store.get(&at).await.expect_err("without a bucket");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("create-bucket --bucket fleets"), "{error}");
    server.make_bucket(BUCKET).await;
    let gone = |error: StoreError| assert!(matches!(&error, StoreError::Away { why } if why.contains("not there any more")), "{error}");
    gone(store.get(&at).await.expect_err("empty"));
    gone(store.list("certs").await.expect_err("empty"));
    gone(store.put(&key("certs/b"), &value(1), &Expect::Absent).await.expect_err("empty"));
    gone(store.put(&at, &value(2), &Expect::Revision(revision.clone())).await.expect_err("empty"));
    gone(store.delete(&at, &revision).await.expect_err("empty"));
    assert_eq!(next(&mut watch).await, Change::Keys(vec![at.clone()]), "it is gone, and told");
    let error = certfleet_store::open(&super::url(server.address(), &prefix)).await.expect_err("empty");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("certfleet init"), "{error}");
    // Somebody makes another store in its place.
    made(server.address(), &prefix).await;
    let error = store.get(&at).await.expect_err("another store");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("another store"), "{error}");
    assert!(store.put(&at, &value(1), &Expect::Absent).await.is_err());
}

/// A server that was never there: told at once, with where and what to do.
#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], certfleet_testkit::free_port([127, 0, 0, 1].into())));
    let error = certfleet_store::open(&super::url(at, "fleet")).await.expect_err("nobody listens");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(text.contains(&at.to_string()) && text.contains("refused") && text.contains("see that it runs"), "{text}");
}

/// A watcher that goes away ends the looking; a new one starts it again.
#[tokio::test]
async fn watching_ends_and_begins_again() {
    let Some(server) = server().await else { return };
    let (store, lists) = (made(server.address(), &prefix()).await, || lists(&server));
    let watch = store.watch("certs").await.expect("watched");
    let before = lists();
    eventually("it is looked for changes", LIMIT, || async { (lists() > before).then_some(()) }).await;
    drop(watch);
    let mut last = (lists(), Instant::now());
    eventually("nobody is told, and nothing looked for", LIMIT, || {
        let now = lists();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let is_still = last.1.elapsed() > Duration::from_secs(3);
        async move { is_still.then_some(()) }
    })
    .await;
    let mut watch = store.watch("").await.expect("watched");
    done(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Change::Keys(vec![key("certs/a")]));
}

fn lists(server: &certfleet_testkit::moto::Moto) -> usize {
    server.requests().iter().filter(|request| request.contains("list-type=2")).count()
}
