//! Many writers at once.

use std::collections::BTreeSet;

use certfleet_core::envelope::{Expect, Revision};
use certfleet_core::key::Key;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Pair, create, key, put, read, value};
use crate::contract::Put;
use crate::settle::{Settled, put_settled};

pub(super) const WRITERS: usize = 8;
const ROUNDS: usize = 12;
const INCREMENTS: u64 = 12;

/// What [`race`] races on.
pub(super) fn raced_key() -> Key {
    key("certs/raced")
}

/// Writers on both handles that expect the same; gives the nonces that were `Done`, and whether any was `Unknown`.
pub(super) async fn race(pair: &Pair, expect: &Expect) -> (Vec<Revision>, bool) {
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let store = if n % 2 == 0 { pair.one.clone() } else { pair.other.clone() };
        let expect = expect.clone();
        writers.spawn(async move { put(&store, &raced_key(), &value(n), &expect).await });
    }
    let answers = writers.join_all().await;
    let unknown = answers.iter().any(|answer| matches!(answer, Put::Unknown(_)));
    let won = answers.into_iter().filter_map(|answer| if let Put::Done(revision) = answer { Some(revision) } else { None });
    (won.collect(), unknown)
}

/// Of those that expect the same value one wins, and its value is there.
pub async fn one_of_many_writers_wins(pair: Pair) {
    let at = raced_key();
    create(&pair.one, &at, 0).await;
    for _ in 0..ROUNDS {
        let before = read(&pair.one, &at).await.expect("there").revision;
        let (won, unknown) = race(&pair, &Expect::Revision(before)).await;
        let after = read(&pair.other, &at).await.expect("there").revision;
        assert!(won == [after] || (won.is_empty() && unknown), "{won:?}");
    }
}

/// The same for keys that are not there.
pub async fn one_of_many_creators_wins(pair: Pair) {
    let at = raced_key();
    for _ in 0..ROUNDS {
        let (won, unknown) = race(&pair, &Expect::Absent).await;
        let after = read(&pair.other, &at).await.expect("there").revision;
        assert!(won == [after.clone()] || (won.is_empty() && unknown), "{won:?}");
        super::must_delete(&pair.one, &at, &after).await;
    }
}

/// Read, add one, write; again on a conflict. Nothing is lost, no revision is given twice.
pub async fn counters_lose_nothing(pair: Pair) {
    let at = key("certs/counter");
    create(&pair.one, &at, json!({})).await;
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let store = if n % 2 == 0 { pair.one.clone() } else { pair.other.clone() };
        let (at, me) = (at.clone(), n.to_string());
        writers.spawn(async move {
            let mut revisions = Vec::new();
            loop {
                let stored = read(&store, &at).await.expect("there");
                let mut body = stored.envelope.body;
                // What is there says how far this writer came, also where an answer was lost.
                let mine = body[&me].as_u64().unwrap_or(0);
                if mine == INCREMENTS {
                    return revisions;
                }
                body[&me] = json!(mine + 1);
                let settled = put_settled(&*store, &at, &value(body), &Expect::Revision(stored.revision)).await;
                if let Settled::Done(revision) = settled.expect("settled") {
                    revisions.push(revision.engine);
                }
            }
        });
    }
    let revisions: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<&String> = revisions.iter().collect();
    assert_eq!(distinct.len(), revisions.len(), "a revision was given twice");
    let body = read(&pair.other, &at).await.expect("there").envelope.body;
    let sum: u64 = (0..WRITERS).filter_map(|n| body[n.to_string()].as_u64()).sum();
    assert_eq!(sum, WRITERS as u64 * INCREMENTS);
}

/// Readers beside writers of values of all sizes see whole values only, and never an older one after a newer one.
pub async fn values_are_never_torn(pair: Pair) {
    let at = key("certs/torn");
    create(&pair.one, &at, json!({"n": 0, "fill": ""})).await;
    let mut readers = JoinSet::new();
    for store in [pair.one.clone(), pair.other.clone()] {
        let at = at.clone();
        readers.spawn(async move {
            let mut last = 0;
            while last < ROUNDS as u64 * 10 {
                let body = read(&store, &at).await.expect("there").envelope.body;
                let (n, fill) = (body["n"].as_u64().expect("a number"), body["fill"].as_str().expect("text"));
                assert!(n >= last, "{n} was read after {last}");
                assert_eq!(fill.len() as u64, n * n, "torn");
                last = n;
                tokio::task::yield_now().await;
            }
        });
    }
    let mut revision = read(&pair.one, &at).await.expect("there").revision;
    for n in 1..=ROUNDS * 10 {
        let next = value(json!({"n": n, "fill": "x".repeat(n * n)}));
        revision = super::must_put(&pair.one, &at, &next, &Expect::Revision(revision)).await;
    }
    super::within("readers see the last value", readers.join_all()).await;
}

/// The start-up check passes, and leaves nothing behind.
pub async fn the_probe_is_content(pair: Pair) {
    let (one, other) = tokio::join!(crate::probe(&*pair.one), crate::probe(&*pair.other));
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(pair.one.list("").await.expect("listed"), Default::default());
}
