//! Turning `Unknown` into an answer: read back and look for one's own nonce.

use std::time::Duration;

use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;
use certfleet_core::mutants::{Mutant, has};

use crate::contract::{Put, Store, Stored};
use crate::error::StoreError;
use crate::revision::{is_expected, same_value};

/// How often a write whose answer was lost is tried.
const SETTLE_TRIES_MAX: u32 = 6;
/// Wait before the second try; doubled for each further one.
const SETTLE_WAIT_MS: u64 = 20;

/// What became of a write, for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It took place.
    Done(Revision),
    /// Another value is there. If the first answer was lost, this write may have been there for a moment before it was replaced by a writer
    /// that had seen it.
    Conflict,
}

/// Writes, and finds out what happened if the store does not say.
///
/// Fails with [`StoreError::Away`] when the store stays silent; the write may then still take place.
pub async fn put_settled(store: &dyn Store, key: &Key, envelope: &Envelope, expect: &Expect) -> Result<Settled, StoreError> {
    let mut lost = None;
    for attempt in 0..SETTLE_TRIES_MAX {
        pause(attempt).await;
        match store.put(key, envelope, expect).await? {
            Put::Done(revision) => return Ok(Settled::Done(revision)),
            Put::Conflict if lost.is_none() => return Ok(Settled::Conflict),
            Put::Conflict => {}
            Put::Unknown(_) if has(Mutant::LinkWithoutListing) => return Ok(Settled::Done(envelope.revision("unknown"))),
            Put::Unknown(why) => lost = Some(why),
        }
        let there = match store.get(key).await {
            Err(error @ StoreError::Away { .. }) => {
                lost = Some(error.to_string());
                continue;
            }
            Ok(Some(stored)) if stored.revision.nonce == envelope.nonce => return Ok(Settled::Done(stored.revision)),
            answer => revision_of(answer)?,
        };
        if !is_expected(there.as_ref(), expect) {
            return Ok(Settled::Conflict);
        }
    }
    Err(unsettled(key, lost))
}

/// Deletes, and finds out what happened if the store does not say. `Done` when the key is absent afterwards, whoever deleted it.
pub async fn delete_settled(store: &dyn Store, key: &Key, expect: &Revision) -> Result<Settled, StoreError> {
    let mut lost = None;
    for attempt in 0..SETTLE_TRIES_MAX {
        pause(attempt).await;
        match store.delete(key, expect).await? {
            Put::Done(revision) => return Ok(Settled::Done(revision)),
            Put::Conflict if lost.is_none() => return Ok(Settled::Conflict),
            Put::Conflict => {}
            Put::Unknown(why) => lost = Some(why),
        }
        let there = match store.get(key).await {
            Err(error @ StoreError::Away { .. }) => {
                lost = Some(error.to_string());
                continue;
            }
            answer => revision_of(answer)?,
        };
        match there {
            None => return Ok(Settled::Done(expect.clone())),
            Some(there) if same_value(&there, expect) => {}
            Some(_) => return Ok(Settled::Conflict),
        }
    }
    Err(unsettled(key, lost))
}

/// What is there, whether it can be read or not.
fn revision_of(answer: Result<Option<Stored>, StoreError>) -> Result<Option<Revision>, StoreError> {
    match answer {
        Err(StoreError::Corrupt { revision, .. }) => Ok(Some(revision)),
        other => Ok(other?.map(|stored| stored.revision)),
    }
}

async fn pause(attempt: u32) {
    if let Some(doublings) = attempt.checked_sub(1) {
        tokio::time::sleep(Duration::from_millis(SETTLE_WAIT_MS << doublings)).await;
    }
}

fn unsettled(key: &Key, lost: Option<String>) -> StoreError {
    let why = lost.unwrap_or_else(|| "no answer".into());
    StoreError::Away { why: format!("whether the write of `{key}` took place could not be found out in {SETTLE_TRIES_MAX} tries: {why}") }
}
