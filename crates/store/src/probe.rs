//! Is this store's compare-and-swap one? Asked at start, by racing writers against each other.
//!
//! What it cannot show: that the store keeps its word later, or across a partition. It catches engines that only pretend to support
//! conditional writes, and proxies that drop the condition.

use std::collections::BTreeSet;

use certfleet_core::envelope::{Envelope, EnvelopeError, Expect, Revision};
use certfleet_core::key::Key;
use certfleet_core::names::NodeName;

use crate::contract::{Put, Store};
use crate::error::{ErrorKind, StoreError};
use crate::nonce::fresh_nonce;
use crate::settle::delete_settled;

/// Writers that race in each round.
const PROBE_WRITERS: usize = 8;
/// Rounds: one that creates, and the rest that replace.
const PROBE_ROUNDS: usize = 3;

/// Why a store is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The contract is broken.
    #[error("this {engine} store must not be used: {why}; certfleet would issue certificates twice on it, choose another store")]
    Broken {
        /// The engine.
        engine: &'static str,
        /// What was seen.
        why: String,
    },
    /// It could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProbeError {
    /// As [`StoreError::why`].
    pub fn why(&self) -> String {
        match self {
            Self::Store(error) => error.why(),
            other => other.to_string(),
        }
    }

    /// Whether trying again helps.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Broken { .. } => ErrorKind::NeedsOperator,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Races conditional writes on a throw-away key below `probe/` and refuses a store that lets two writers win. Cleans up.
pub async fn probe(store: &dyn Store) -> Result<(), ProbeError> {
    let key = throw_away_key()?;
    let raced = race_all(store, &key).await;
    let cleaned = clean_up(store, &key).await;
    raced.and(cleaned)
}

fn throw_away_key() -> Result<Key, ProbeError> {
    let nonce = fresh_nonce()?;
    let key = format!("probe/{}", nonce.as_str()).parse();
    key.map_err(|e: certfleet_core::key::KeyError| StoreError::Away { why: e.to_string() }.into())
}

async fn race_all(store: &dyn Store, key: &Key) -> Result<(), ProbeError> {
    let mut expect = Expect::Absent;
    for _ in 0..PROBE_ROUNDS {
        let next = Expect::Revision(race(store, key, &expect).await?);
        let late = store.put(key, &value(key, 0)?.following(&expect), &expect).await?;
        if matches!(late, Put::Done(_)) {
            return Err(broken(store, format!("a write to `{key}` that expected {} was taken although that was replaced", shown(&expect))));
        }
        expect = next;
    }
    Ok(())
}

/// One round; gives the winner's revision.
async fn race(store: &dyn Store, key: &Key, expect: &Expect) -> Result<Revision, ProbeError> {
    let mut values = Vec::with_capacity(PROBE_WRITERS);
    for writer in 0..PROBE_WRITERS {
        values.push(value(key, writer)?.following(expect));
    }
    let answers = join_all(values.iter().map(|value| store.put(key, value, expect)).collect()).await;
    let mut winners = BTreeSet::new();
    let mut unknown = 0;
    for (value, answer) in values.iter().zip(answers) {
        match answer? {
            Put::Done(_) => _ = winners.insert(&value.nonce),
            Put::Unknown(_) => unknown += 1,
            Put::Conflict => {}
        }
    }
    let wins = winners.len();
    if wins > 1 {
        return Err(broken(
            store,
            format!("{wins} of {PROBE_WRITERS} writers that all expected {} of `{key}` were told that they won", shown(expect)),
        ));
    }
    let there = store.get(key).await?.map(|stored| stored.revision);
    match there {
        Some(there) if winners.is_empty() && unknown > 0 && values.iter().any(|value| value.nonce == there.nonce) => Ok(there),
        Some(there) if winners.contains(&there.nonce) => Ok(there),
        _ if winners.is_empty() => {
            Err(broken(store, format!("{PROBE_WRITERS} writers expected {} of `{key}`, as it was, and none won", shown(expect))))
        }
        _ => Err(broken(store, format!("a write to `{key}` was acknowledged, and another value is read"))),
    }
}

/// Waits for all of the futures, side by side.
async fn join_all<'a, T>(mut futures: Vec<std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                *answer = match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => Some(done),
                    std::task::Poll::Pending => None,
                };
            }
        }
        if answers.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

async fn clean_up(store: &dyn Store, key: &Key) -> Result<(), ProbeError> {
    let Some(there) = store.get(key).await? else { return Ok(()) };
    delete_settled(store, key, &there.revision).await?;
    Ok(())
}

fn value(key: &Key, writer: usize) -> Result<Envelope, ProbeError> {
    let unfit = |why: String| StoreError::Unfit { key: key.clone(), why };
    let name: NodeName = "probe".parse().map_err(|e: certfleet_core::names::NameError| unfit(e.to_string()))?;
    let envelope = Envelope::new(name, fresh_nonce()?, &writer);
    Ok(envelope.map_err(|e: EnvelopeError| unfit(e.to_string()))?)
}

fn shown(expect: &Expect) -> String {
    match expect {
        Expect::Absent => "no value".into(),
        Expect::Revision(revision) => format!("revision {revision}"),
    }
}

fn broken(store: &dyn Store, why: String) -> ProbeError {
    ProbeError::Broken { engine: store.kind(), why }
}
