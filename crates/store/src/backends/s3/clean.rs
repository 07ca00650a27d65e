//! Removing the objects of keys that were deleted long ago, so that lists do not grow for ever.
//!
//! Always holds:
//! * a tombstone is removed only by a DELETE whose condition is its ETag, and only where this server was seen to heed such conditions, also
//!   under a race: else a value that another writer puts in its place at that moment would be removed, which had been acknowledged;
//! * only after this process saw it unchanged for [`GRAVE_SECONDS`]: a late creation, which has been on its way since before the deletion, would
//!   find nothing in its way. By then its signature has expired (S3 takes none that is older than 15 minutes).
//!
//! Where a server has no conditional DELETE, tombstones stay.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Inner;
use super::bucket::{Condition, Written};
use super::list::Listed;
use super::value::Object;
use crate::error::StoreError;
use crate::nonce::fresh_nonce;

/// How long a tombstone stands.
pub(super) const GRAVE_SECONDS: u64 = 24 * 3600;
/// How many are removed after one look.
const REMOVED_MAX: usize = 100;
/// How often a DELETE is raced against a PUT before the server is trusted with them.
const TRIAL_ROUNDS: usize = 8;
/// How long a server that failed the trial, or did not finish it, is left alone.
const TRIAL_SECONDS: u64 = 24 * 3600;
/// An ETag that no object has.
const NO_ETAG: &str = "00000000000000000000000000000000";

/// The tombstones that this process saw.
#[derive(Debug, Default)]
pub(super) struct Graves {
    /// By name: the ETag, and since when it stands there.
    seen: HashMap<String, (String, Instant)>,
    trust: Trust,
}

#[derive(Debug, Default)]
enum Trust {
    #[default]
    Untried,
    Heeds,
    /// Not to be tried before then.
    Not(Instant),
}

impl Graves {
    /// Those of all that is listed that may be removed, as far as their length tells.
    pub(super) fn due(&mut self, listed: &[Listed], now: Instant) -> Vec<Listed> {
        let small: Vec<&Listed> = listed.iter().filter(|object| Object::may_be_tombstone(object.length)).collect();
        let before = std::mem::take(&mut self.seen);
        for object in &small {
            let since = before.get(&object.name).filter(|(etag, _)| *etag == object.etag).map_or(now, |(_, since)| *since);
            self.seen.insert(object.name.clone(), (object.etag.clone(), since));
        }
        let age = Duration::from_secs(GRAVE_SECONDS);
        let is_due = |object: &Listed| self.seen.get(&object.name).is_some_and(|(_, since)| now.duration_since(*since) >= age);
        small.into_iter().filter(|object| is_due(object)).take(REMOVED_MAX).cloned().collect()
    }

    /// Removes them, if the server can be trusted with it.
    pub(super) async fn remove(&mut self, store: &Inner, due: Vec<Listed>) {
        if due.is_empty() || !self.is_trusted(store).await {
            return;
        }
        for object in due {
            if let Err(error) = remove(store, &object).await {
                tracing::debug!(%error, name = object.name, "a tombstone stays");
                return;
            }
        }
    }

    async fn is_trusted(&mut self, store: &Inner) -> bool {
        match self.trust {
            Trust::Heeds => return true,
            Trust::Not(until) if Instant::now() < until => return false,
            Trust::Untried | Trust::Not(_) => {}
        }
        let heeds = heeds_conditions(store).await;
        if let Err(error) = &heeds {
            tracing::debug!(%error, "whether this server has conditional deletes cannot be tried");
        }
        let is_trusted = heeds.unwrap_or(false);
        self.trust = if is_trusted { Trust::Heeds } else { Trust::Not(Instant::now() + Duration::from_secs(TRIAL_SECONDS)) };
        is_trusted
    }
}

async fn remove(store: &Inner, listed: &Listed) -> Result<(), StoreError> {
    let Some(object) = store.object(&listed.name).await? else { return Ok(()) };
    // A value that is as short is none of ours, and stays.
    if object.tombstone().is_some() && object.etag == listed.etag {
        store.bucket.delete(&listed.name, &object.etag).await?;
    }
    Ok(())
}

/// Tries it on a throw-away object: a DELETE with another ETag must do nothing, and of a DELETE and a PUT that expect the same only one may win.
async fn heeds_conditions(store: &Inner) -> Result<bool, StoreError> {
    let name = format!("{}probe/{}", store.names.all(), fresh_nonce()?.as_str());
    let mut there = create(store, &name).await?;
    let refused = store.bucket.delete(&name, NO_ETAG).await?;
    let mut heeds = refused == Written::Mismatch;
    for _ in 0..TRIAL_ROUNDS {
        if !heeds {
            break;
        }
        let Some(etag) = &there else { return Ok(false) };
        let value = Bytes::from(fresh_nonce()?.as_str().to_owned());
        let (removed, written) = tokio::join!(store.bucket.delete(&name, etag), store.bucket.put(&name, &value, Condition::Etag(etag)));
        let (removed, written) = (matches!(removed?, Written::Done(_)), matches!(written?, Written::Done(_)));
        heeds = !(removed && written);
        there = match store.bucket.get(&name).await? {
            Some(object) => Some(object.etag),
            None => create(store, &name).await?,
        };
    }
    if let Some(etag) = there {
        store.bucket.delete(&name, &etag).await?;
    }
    Ok(heeds)
}

async fn create(store: &Inner, name: &str) -> Result<Option<String>, StoreError> {
    let value = Bytes::from(fresh_nonce()?.as_str().to_owned());
    match store.bucket.put(name, &value, Condition::Absent).await? {
        Written::Done(etag) => Ok(Some(etag)),
        _ => Ok(None),
    }
}
