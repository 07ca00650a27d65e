//! Answers that never come: `Unknown`, and found out about by the nonce.

use std::sync::Arc;

use certfleet_store::{Expect, Put, Revision, Settled, Store, delete_settled, probe, put_settled};
use certfleet_testkit::eventually;
use certfleet_testkit::proxy::{Mode, Proxy};

use crate::lab::{LIMIT, Lab, body, key, made, must_put, value};

/// A store seen through a proxy, and the same seen directly.
struct Both {
    proxy: Proxy,
    through: Arc<dyn Store>,
    direct: Arc<dyn Store>,
    _lab: Lab,
}

async fn both() -> Option<Both> {
    let lab = Lab::one().await?;
    let direct = made(&lab.url("/lost")).await;
    let proxy = Proxy::start(lab.etcd.address(0)).await.expect("started");
    let through = certfleet_store::open(&format!("etcd://{}/lost", proxy.address())).await.expect("opened");
    Some(Both { proxy, through, direct, _lab: lab })
}

/// The write took place, and its answer was dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown_and_the_write_is_found() {
    let Some(Both { proxy, through, direct, _lab }) = both().await else { return };
    let at = key("certs/a");
    proxy.set(Mode::LoseAnswers);
    let (first, writer) = (value(1), through.clone());
    let writing = tokio::spawn({
        let (at, first) = (at.clone(), first.clone());
        async move { writer.put(&at, &first, &Expect::Absent).await }
    });
    eventually("the write took place", LIMIT, || async { body(&direct, &at).await }).await;
    proxy.heal();
    let answer = writing.await.expect("no panic");
    assert!(matches!(answer, Ok(Put::Unknown(_))), "{answer:?}");
    let there = through.get(&at).await.expect("read").expect("there");
    assert_eq!((&there.envelope, &there.revision.nonce), (&first, &first.nonce));
    assert_eq!(
        through.put(&at, &first, &Expect::Absent).await,
        Ok(Put::Conflict),
        "whoever writes it again is told that something is there"
    );
}

/// The same in one go, with an answer lost at the first try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settled_writes_survive_a_lost_answer() {
    let Some(Both { proxy, through, direct, _lab }) = both().await else { return };
    let at = key("certs/a");
    let mut expect = Expect::Absent;
    for round in 0..4 {
        proxy.set(Mode::LoseAnswers);
        let (new, writer) = (value(round).following(&expect), through.clone());
        let writing = tokio::spawn({
            let (at, new, expect) = (at.clone(), new.clone(), expect.clone());
            async move { put_settled(&*writer, &at, &new, &expect).await }
        });
        eventually("the write took place", LIMIT, || async { body(&direct, &at).await.filter(|body| *body == round) }).await;
        proxy.heal();
        let settled = writing.await.expect("no panic");
        let Ok(Settled::Done(revision)) = settled else { panic!("round {round}: {settled:?}") };
        assert_eq!(revision.nonce, new.nonce);
        expect = Expect::Revision(revision);
    }
    let Expect::Revision(last) = expect else { panic!("four rounds") };
    assert_eq!(delete_lost(&proxy, &through, &direct, &last).await, Ok(Settled::Done(last)));
}

async fn delete_lost(
    proxy: &Proxy,
    through: &Arc<dyn Store>,
    direct: &Arc<dyn Store>,
    last: &Revision,
) -> Result<Settled, certfleet_store::StoreError> {
    let at = key("certs/a");
    proxy.set(Mode::LoseAnswers);
    let deleting = tokio::spawn({
        let (at, last, writer) = (at.clone(), last.clone(), through.clone());
        async move { delete_settled(&*writer, &at, &last).await }
    });
    eventually("it is gone", LIMIT, || async { body(direct, &at).await.is_none().then_some(()) }).await;
    proxy.heal();
    deleting.await.expect("no panic")
}

/// The question was dropped: it did not take place, and nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_question_is_unknown_and_the_write_is_made_again() {
    let Some(Both { proxy, through, direct, _lab }) = both().await else { return };
    let at = key("certs/a");
    proxy.set(Mode::LoseQuestions);
    let new = value(1);
    let answer = through.put(&at, &new, &Expect::Absent).await;
    assert!(matches!(answer, Ok(Put::Unknown(_))), "{answer:?}");
    assert_eq!(body(&direct, &at).await, None);
    proxy.heal();
    let settled = put_settled(&*through, &at, &new, &Expect::Absent).await;
    assert!(matches!(settled, Ok(Settled::Done(_))), "{settled:?}");
    assert_eq!(direct.get(&at).await.expect("read").expect("there").revision.nonce, new.nonce);
}

/// The answer was lost, and somebody else wrote before one could look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_that_was_overtaken_is_a_conflict() {
    let Some(Both { proxy, through, direct, _lab }) = both().await else { return };
    let at = key("certs/a");
    proxy.set(Mode::LoseAnswers);
    let writer = through.clone();
    let writing = tokio::spawn({
        let at = at.clone();
        async move { put_settled(&*writer, &at, &value(1), &Expect::Absent).await }
    });
    let there = eventually("the write took place", LIMIT, || async { direct.get(&at).await.expect("read") }).await;
    must_put(&direct, &at, &value(2), &Expect::Revision(there.revision)).await;
    proxy.heal();
    assert_eq!(writing.await.expect("no panic"), Ok(Settled::Conflict));
    assert_eq!(body(&direct, &at).await, Some(2.into()));
}

/// Nothing was sent: that is certain, and said with host, port and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_is_an_error() {
    let Some(Both { proxy, through, direct, _lab }) = both().await else { return };
    let at = key("certs/a");
    proxy.set(Mode::Away);
    proxy.cut();
    // The handle may still believe in its connection, so it is asked something first.
    let error = through.get(&at).await.expect_err("away");
    assert_eq!(error.kind(), certfleet_store::ErrorKind::Retry);
    let error = through.put(&at, &value(1), &Expect::Absent).await.expect_err("not sent");
    assert_eq!(error.kind(), certfleet_store::ErrorKind::Retry);
    let text = error.to_string();
    assert!(text.contains(&proxy.address().to_string()) && text.contains("check that etcd runs"), "{text}");
    proxy.set(Mode::Pass);
    must_put(&through, &at, &value(2), &Expect::Absent).await;
    assert_eq!(body(&direct, &at).await, Some(2.into()));
    assert_eq!(probe(&*through).await, Ok(()));
}
