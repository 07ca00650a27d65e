//! Members that die, stand still and come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use certfleet_store::{Change, Envelope, ErrorKind, Expect, Key, Put, Revision, Store, StoreError, put_settled};
use certfleet_testkit::eventually;
use rustix::process::Signal;
use serde_json::json;

use crate::lab::{LIMIT, Lab, body, key, made, must_put, value};

const WRITERS: usize = 4;
/// How many values each writer must have written after each fault.
const WRITES_AFTER: u64 = 10;

/// What one writer knows of its own key.
#[derive(Debug, Default)]
struct Story {
    /// The last value that was acknowledged.
    acknowledged: u64,
    revision: Option<Revision>,
    unknown: u32,
    failed: u32,
}

/// Raises a counter of its own, one by one, and never believes more than it was told.
async fn count(
    store: Arc<dyn Store>,
    writer: usize,
    stop: Arc<AtomicBool>,
    progress: Arc<std::sync::Mutex<BTreeMap<usize, u64>>>,
) -> Story {
    let at = key(&format!("certs/{writer}"));
    let mut story = Story::default();
    while !stop.load(Ordering::SeqCst) {
        let expect = story.revision.clone().map_or(Expect::Absent, Expect::Revision);
        let new = value(story.acknowledged + 1).following(&expect);
        match store.put(&at, &new, &expect).await {
            Ok(Put::Done(revision)) => story = Story { acknowledged: story.acknowledged + 1, revision: Some(revision), ..story },
            Ok(Put::Conflict) => panic!("writer {writer} is alone and was told of a conflict after {}", story.acknowledged),
            Ok(Put::Unknown(_)) => {
                story.unknown += 1;
                story = settle_at(&store, &at, story, &new, &expect).await;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                // It certainly did not take place.
                story.failed += 1;
                let there = eventually("the store answers again", LIMIT, || async { store.get(&at).await.ok() }).await;
                assert_eq!(there.map(|stored| stored.revision), story.revision, "after {error}");
            }
        }
        progress.lock().expect("unpoisoned").insert(writer, story.acknowledged);
    }
    story
}

/// By the nonce, as long as it takes. What is not there may still come, so the same is written again until it is.
async fn settle_at(store: &Arc<dyn Store>, at: &Key, story: Story, new: &Envelope, expect: &Expect) -> Story {
    let done = eventually("the write can be settled", LIMIT, || async {
        let there = store.get(at).await.ok()?.map(|stored| stored.revision);
        if there.as_ref().is_some_and(|there| there.nonce == new.nonce) {
            return there;
        }
        assert_eq!(there, story.revision, "the writer of `{at}` is alone");
        match store.put(at, new, expect).await {
            Ok(Put::Done(revision)) => Some(revision),
            // The first one came after the read.
            Ok(Put::Conflict | Put::Unknown(_)) | Err(StoreError::Away { .. }) => None,
            Err(other) => panic!("`{at}`: {other}"),
        }
    });
    let revision = Some(done.await);
    Story { acknowledged: story.acknowledged + 1, revision, ..story }
}

/// The leader is killed while many write, three times over: no acknowledged write is lost, and everybody goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_acknowledged_write_is_lost_when_leaders_die() {
    let Some(mut lab) = Lab::three().await else { return };
    let url = lab.url("/outage");
    let first = made(&url).await;
    let (stop, progress) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let store = certfleet_store::open(&url).await.expect("opened");
        writers.push(tokio::spawn(count(store, writer, stop.clone(), Arc::clone(&progress))));
    }
    all_go_on(&progress).await;
    for _ in 0..3 {
        let leader = lab.etcd.leader().await;
        lab.etcd.kill(leader);
        all_go_on(&progress).await;
        lab.etcd.spawn(leader).expect("started");
        lab.etcd.ready(leader).await;
        all_go_on(&progress).await;
    }
    stop.store(true, Ordering::SeqCst);
    for (writer, story) in writers.into_iter().enumerate() {
        let story = story.await.expect("the writer saw nothing impossible");
        eprintln!("writer {writer}: {} acknowledged, {} unknown, {} failed", story.acknowledged, story.unknown, story.failed);
        assert_eq!(body(&first, &key(&format!("certs/{writer}"))).await, Some(json!(story.acknowledged)));
    }
}

async fn all_go_on(progress: &std::sync::Mutex<BTreeMap<usize, u64>>) {
    let counts = || progress.lock().expect("unpoisoned").clone();
    let before = counts();
    eventually("all writers go on", LIMIT, || async {
        let now = counts();
        (0..WRITERS).all(|w| now.get(&w).copied().unwrap_or(0) >= before.get(&w).copied().unwrap_or(0) + WRITES_AFTER).then_some(())
    })
    .await;
}

/// All of etcd is killed and comes back: the handle and the watch go on by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_etcd_is_found_again() {
    let Some(mut lab) = Lab::one().await else { return };
    let store = made(&lab.url("/outage")).await;
    let mut watch = store.watch("").await.expect("watched");
    let revision = must_put(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    assert_eq!(watch.next().await, Some(Change::Keys(vec![key("certs/a")])));
    lab.etcd.kill(0);
    let error = eventually("it is seen to be away", LIMIT, || async { store.get(&key("certs/a")).await.err() }).await;
    assert_eq!(error.kind(), ErrorKind::Retry);
    let text = error.to_string();
    assert!(text.contains(&lab.etcd.address(0).to_string()) && text.contains("check that etcd runs"), "{text}");
    let refused = store.put(&key("certs/a"), &value(2), &Expect::Revision(revision.clone())).await;
    assert!(matches!(refused, Err(StoreError::Away { .. })), "nothing was sent: {refused:?}");
    assert!(matches!(store.watch("").await, Err(StoreError::Away { .. })));
    assert!(matches!(certfleet_store::open(&lab.url("/outage")).await, Err(e) if e.kind() == ErrorKind::Retry));
    lab.etcd.spawn(0).expect("started");
    lab.etcd.ready(0).await;
    must_put(&store, &key("certs/a"), &value(3), &Expect::Revision(revision)).await;
    let told = tokio::time::timeout(LIMIT, watch.next()).await.expect("in time");
    assert!(matches!(&told, Some(Change::Keys(keys)) if *keys == [key("certs/a")]) || told == Some(Change::Reset), "{told:?}");
}

/// A member that stands still, with its connections open, is noticed by writers and watchers within seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stands_still_is_left() {
    let Some(lab) = Lab::three().await else { return };
    let url = lab.url("/outage");
    let stores = handles(&url, 6).await;
    let mut watches = Vec::new();
    for store in &stores {
        watches.push(store.watch("certs").await.expect("watched"));
    }
    let frozen = lab.etcd.leader().await;
    lab.etcd.signal(frozen, Signal::STOP);
    let start = Instant::now();
    let writer = &stores[0];
    let at = key("certs/a");
    let settled = eventually("the others take the write", LIMIT, || async {
        let new = value(1);
        match put_settled(&**writer, &at, &new, &Expect::Absent).await {
            Err(StoreError::Away { .. }) => None,
            settled => Some(settled),
        }
    });
    assert!(settled.await.is_ok());
    for watch in &mut watches {
        let told = tokio::time::timeout(LIMIT, watch.next()).await.expect("in time");
        assert!(told.is_some());
    }
    let took = start.elapsed();
    lab.etcd.signal(frozen, Signal::CONT);
    assert!(took < Duration::from_secs(40), "{took:?}");
    eprintln!("left after {took:?}");
}

/// Handles that begin with different members.
async fn handles(url: &str, count: usize) -> Vec<Arc<dyn Store>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(made(url).await);
    }
    stores
}

/// Without a majority nothing is acknowledged and nothing is read; all goes on by itself when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_believed() {
    let Some(mut lab) = Lab::three().await else { return };
    let store = made(&lab.url("/outage")).await;
    let at = key("certs/a");
    let revision = must_put(&store, &at, &value(1), &Expect::Absent).await;
    lab.etcd.kill(0);
    lab.etcd.kill(1);
    let expect = Expect::Revision(revision.clone());
    let new = value(2).following(&expect);
    match store.put(&at, &new, &expect).await {
        Ok(Put::Unknown(_)) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::Retry, "{error}"),
        other => panic!("nobody could take it: {other:?}"),
    }
    let error = store.get(&at).await.expect_err("nobody can say what is there");
    assert!(error.kind() == ErrorKind::Retry && error.to_string().contains(&lab.etcd.address(2).to_string()), "{error}");
    for n in [0, 1] {
        lab.etcd.spawn(n).expect("started");
    }
    let story = Story { acknowledged: 1, revision: Some(revision), ..Story::default() };
    let there = eventually("it can be read again", LIMIT, || async { store.get(&at).await.ok().flatten() }).await;
    assert!(there.revision.nonce == new.nonce || Some(there.revision) == story.revision);
    let story = settle_at(&store, &at, story, &new, &expect).await;
    assert_eq!((story.acknowledged, body(&store, &at).await), (2, Some(json!(2))));
}
