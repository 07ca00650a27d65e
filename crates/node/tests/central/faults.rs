//! Lost answers, lost questions, servers that are killed, hang, are away or are others.

use certfleet_store::{Change, ErrorKind, Expect, OpenError, Put, Settled, StoreError, delete_settled, put_settled};
use certfleet_testkit::eventually;
use certfleet_testkit::proxy::{Mode, Proxy};

use super::{LIMIT, SERVER, Server, credentials, done, key, next, open_at, signing, value};

/// An answer that is lost is `Unknown`, whether the write took place or not; one's own nonce settles it.
#[tokio::test]
async fn lost_answers_are_unknown_and_settled() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address).await.expect("a proxy");
    let (store, direct, at) = (open_at(proxy.address(), 2).await.expect("opened"), server.open(3).await, key("certs/a"));
    let mut expect = Expect::Absent;
    for (mode, took_place) in [(Mode::LoseAnswer, true), (Mode::LoseQuestion, false)] {
        let lost = value(format!("{mode:?}"));
        // So that a connection is there, and what is lost is the question or its answer.
        store.get(&at).await.expect("read");
        proxy.set(mode);
        let put = store.put(&at, &lost, &expect).await;
        assert!(matches!(&put, Ok(Put::Unknown(why)) if why.contains(&proxy.address().to_string())), "{mode:?}: {put:?}");
        assert_eq!(proxy.mode(), Mode::Pass, "it was lost");
        let there = direct.get(&at).await.expect("read");
        assert_eq!(there.as_ref().is_some_and(|stored| stored.envelope.nonce == lost.nonce), took_place, "{mode:?}");
        if let Some(there) = there.filter(|_| took_place) {
            expect = Expect::Revision(there.revision);
        }
        // The same once more, settled.
        let settled = value(format!("{mode:?} settled"));
        store.get(&at).await.expect("read");
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
    let server = Server::start().await;
    let proxy = Proxy::start(server.address).await.expect("a proxy");
    let (store, direct, at) = (open_at(proxy.address(), 2).await.expect("opened"), server.open(3).await, key("presence/a"));
    for mode in [Mode::LoseAnswer, Mode::LoseQuestion] {
        let revision = done(&*direct, &at, &value(1), &Expect::Absent).await;
        store.get(&at).await.expect("read");
        proxy.set(mode);
        assert!(matches!(store.delete(&at, &revision).await, Ok(Put::Unknown(_))), "{mode:?}");
        assert!(matches!(delete_settled(&*store, &at, &revision).await, Ok(Settled::Done(_) | Settled::Conflict)), "{mode:?}");
        assert_eq!(direct.get(&at).await, Ok(None), "{mode:?}");
    }
}

/// A read whose answer is lost is asked again; nobody needs to know.
#[tokio::test]
async fn lost_reads_are_asked_again() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address).await.expect("a proxy");
    let (store, at) = (open_at(proxy.address(), 2).await.expect("opened"), key("certs/a"));
    done(&*store, &at, &value(1), &Expect::Absent).await;
    for mode in [Mode::LoseAnswer, Mode::LoseQuestion] {
        proxy.set(mode);
        assert!(store.get(&at).await.expect("read").is_some(), "{mode:?}");
        proxy.set(mode);
        assert_eq!(store.list("certs").await.expect("listed").entries.len(), 1, "{mode:?}");
    }
}

/// Killed and started again: the handle works by itself, and watchers list again.
#[tokio::test]
async fn a_server_that_died_comes_back() {
    let mut server = Server::start().await;
    let (store, at) = (server.open(2).await, key("certs/a"));
    let mut watch = store.watch("certs").await.expect("watched");
    let revision = done(&*store, &at, &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut watch).await, Some(Change::Keys(vec![at.clone()])));
    server.kill().await;
    assert_eq!(next(&mut watch).await, Some(Change::Reset), "who lists again sees that it is away");
    let error = eventually("it is away", LIMIT, || async { store.get(&at).await.err() }).await;
    let text = error.to_string();
    assert!(
        error.kind() == ErrorKind::Retry && text.contains(&server.address.to_string()) && text.contains("see that certfleet runs there"),
        "{text}"
    );
    assert!(matches!(store.list("").await, Err(StoreError::Away { .. })));
    assert!(matches!(store.watch("").await, Err(StoreError::Away { .. })));
    // A question that cannot be put is no loss.
    assert!(matches!(store.put(&at, &value(2), &Expect::Revision(revision.clone())).await, Err(StoreError::Away { .. })));
    server.listen_as(SERVER).await;
    assert_eq!(next(&mut watch).await, Some(Change::Reset), "without a call");
    let revision = done(&*store, &at, &value(2), &Expect::Revision(revision)).await;
    assert_eq!(next(&mut watch).await, Some(Change::Keys(vec![at.clone()])), "it watches again");
    assert_eq!(store.get(&at).await.expect("read").expect("there").revision, revision);
}

/// A server that is silent: calls end, and a write that was sent is `Unknown`.
#[tokio::test]
async fn a_server_that_hangs_does_not_hang_the_node() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.address).await.expect("a proxy");
    let (store, at, lost) = (open_at(proxy.address(), 2).await.expect("opened"), key("certs/a"), value(1));
    store.get(&at).await.expect("read");
    proxy.set(Mode::Hang);
    let answer = tokio::time::timeout(LIMIT, store.put(&at, &lost, &Expect::Absent)).await.expect("it ends");
    assert!(matches!(&answer, Ok(Put::Unknown(why)) if why.contains("no answer within")), "{answer:?}");
    proxy.set(Mode::Pass);
    let settled = put_settled(&*store, &at, &lost, &Expect::Absent).await;
    assert!(matches!(settled, Ok(Settled::Done(_) | Settled::Conflict)), "{settled:?}");
    assert_eq!(store.get(&at).await.expect("read").expect("there").envelope.nonce, lost.nonce);
}

/// A server with another key gets nothing but the handshake, and the error says what to compare and what to do.
#[tokio::test]
async fn another_server_is_not_taken_for_ours() {
    let mut server = Server::start().await;
    let store = server.open(2).await;
    server.kill().await;
    server.listen_as(9).await;
    let is_ours = |error: &StoreError| {
        let (text, known, shown) = (error.to_string(), signing(SERVER).verifying_key(), signing(9).verifying_key());
        let tells = [server.address.to_string(), known.fingerprint(), shown.fingerprint(), "certfleet join".into()];
        error.kind() == ErrorKind::NeedsOperator && tells.iter().all(|part| text.contains(part.as_str()))
    };
    let error = eventually("the handle sees it", LIMIT, || async { store.get(&key("fleet")).await.err() }).await;
    assert!(is_ours(&error), "{error}");
    match open_at(server.address, 2).await {
        Err(OpenError::Store(error)) => assert!(is_ours(&error), "{error}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(store.put(&key("certs/a"), &value(1), &Expect::Absent).await, Err(error) if is_ours(&error)), "it was never asked");
}

/// What the door refuses is told with its reason, and has not happened.
#[tokio::test]
async fn what_is_refused_has_not_happened_and_says_why() {
    let server = Server::start().await;
    let (store, at) = (server.open(2).await, key("forbidden/a"));
    let error = store.put(&at, &value(1), &Expect::Absent).await.expect_err("refused");
    assert!(error.kind() == ErrorKind::NeedsOperator, "{error}");
    assert!(["forbidden/a", "it is forbidden", &server.address.to_string()].iter().all(|part| error.to_string().contains(part)), "{error}");
    assert_eq!(store.get(&at).await, Ok(None));
    // The connection is as good as before.
    done(&*store, &key("certs/a"), &value(1), &Expect::Absent).await;
}

/// A member that is removed is cut off in the middle of what it does.
#[tokio::test]
async fn a_removed_member_is_cut_off() {
    let server = Server::start().await;
    let (going, staying) = (server.open(2).await, server.open(3).await);
    let (mut watch, mut other) = (going.watch("").await.expect("watched"), staying.watch("").await.expect("watched"));
    server.remove(2);
    let over = async { while watch.next().await.is_some() {} };
    tokio::time::timeout(LIMIT, over).await.expect("its watch ends");
    let error = going.get(&key("fleet")).await.expect_err("refused");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("it was removed"), "{error}");
    done(&*staying, &key("certs/a"), &value(1), &Expect::Absent).await;
    assert_eq!(next(&mut other).await, Some(Change::Keys(vec![key("certs/a")])));
}

/// Without credentials nothing is opened, and nobody makes a store through another node.
#[tokio::test]
async fn a_machine_that_has_not_joined_is_told_so() {
    let error = certfleet_store::open("https://127.0.0.1:1").await.expect_err("no key");
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("certfleet join"), "{error}");
    let error = certfleet_store::open_or_create("https://127.0.0.1:1").await.expect_err("not here");
    assert!(error.to_string().contains("certfleet init"), "{error}");
    let error = certfleet_store::open_with("https://127.0.0.1:1", Some(&credentials(2, SERVER))).await.expect_err("nobody listens");
    assert!(error.kind() == ErrorKind::Retry && error.to_string().contains("127.0.0.1:1"), "{error}");
}
