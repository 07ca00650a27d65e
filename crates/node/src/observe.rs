//! Reading the store: everything once, then what changes. A change means "look again"; what the reader finds is sent to the daemon's loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::view::is_kept;
use certfleet_store::{Change, Listing, Store, StoreError, Unreadable, Watch};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::beats::Beats;
use crate::executor::Found;

/// What the daemon's view is made of, those first who say whose word counts; then whether the fleet lives here. Of the wraps, only the reader's own are taken. Keys and versions
/// are read only when they are needed.
const PREFIXES: [&str; 11] =
    ["fleet", "nodes", "home", "joining", "invitations", "presence", "accounts", "certs", "requests", "reports", "wraps"];
/// Everything is listed again this often, in case a watch lost something, in seconds.
const RELIST_SECONDS: u64 = 3600;
/// First pause after the store could not be read, in milliseconds; doubled each time.
const RETRY_MS_MIN: u64 = 500;
/// Longest such pause, in milliseconds.
const RETRY_MS_MAX: u64 = 15_000;

/// What was seen in the store.
#[derive(Debug)]
pub enum Seen {
    /// All of it: the readable values, and the others with the reason.
    Everything(Vec<Found>, Vec<Unreadable>),
    /// Some values.
    Some(Vec<Found>, Vec<Unreadable>),
    /// These nodes beat.
    Beats(Vec<NodeName>),
    /// It cannot be read.
    Away(String),
}

/// Reads and watches until the receiver is gone. `look_again` makes it list everything anew.
pub async fn observe(store: Arc<dyn Store>, me: NodeName, seen: mpsc::Sender<Seen>, look_again: Arc<Notify>) {
    let (mut pause, mut beats) = (RETRY_MS_MIN, Beats::default());
    loop {
        let reason = match session(store.as_ref(), &me, &seen, &look_again, &mut pause, &mut beats).await {
            Ok(()) => continue,
            Err(End::Closed) => return,
            Err(End::Store(error)) => error.why(),
        };
        if seen.send(Seen::Away(reason)).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        pause = (pause * 2).min(RETRY_MS_MAX);
    }
}

enum End {
    Closed,
    Store(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One listing and the changes after it; ends when everything must be listed again. The watch begins first, so nothing falls between.
async fn session(
    store: &dyn Store,
    me: &NodeName,
    seen: &mpsc::Sender<Seen>,
    look_again: &Notify,
    pause: &mut u64,
    beats: &mut Beats,
) -> Result<(), End> {
    let mut watch = store.watch("").await?;
    let (found, unreadable) = list(store, me).await?;
    beats.were_read(&found);
    send(seen, Seen::Everything(found, unreadable)).await?;
    *pause = RETRY_MS_MIN;
    let relist = tokio::time::sleep(Duration::from_secs(RELIST_SECONDS));
    tokio::pin!(relist);
    loop {
        tokio::select! {
            biased;
            () = &mut relist => return Ok(()),
            () = look_again.notified() => return Ok(()),
            keys = next(&mut watch, me) => match keys {
                Some(keys) => {
                    let (beating, news) = beats.apart(keys, Instant::now(), store.visibility_delay());
                    send(seen, Seen::Beats(beating)).await?;
                    let (found, unreadable) = read_with_home(store, &news).await?;
                    beats.were_read(&found);
                    send(seen, Seen::Some(found, unreadable)).await?;
                }
                None => return Ok(()),
            },
        }
    }
}

async fn send(seen: &mpsc::Sender<Seen>, what: Seen) -> Result<(), End> {
    seen.send(what).await.map_err(|_| End::Closed)
}

/// The keys that changed; `None` when everything must be listed again.
async fn next(watch: &mut Watch, me: &NodeName) -> Option<BTreeSet<Key>> {
    match watch.next().await? {
        Change::Reset => None,
        Change::Keys(keys) => Some(keys.into_iter().filter(|key| is_observed(key, me)).collect()),
    }
}

/// Of the wraps, only this node's: they say that a key can be opened that could not be before.
fn is_observed(key: &Key, me: &NodeName) -> bool {
    match RecordKey::of(key) {
        Some(RecordKey::Wrap(_, node)) => node == *me,
        Some(_) => PREFIXES.iter().any(|prefix| key.is_under(prefix)),
        None => false,
    }
}

/// All that a view of node `me` is made of: the readable values, and the others with the reason. Whether the fleet lives here is read last.
pub(crate) async fn list(store: &dyn Store, me: &NodeName) -> Result<(Vec<Found>, Vec<Unreadable>), StoreError> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for prefix in PREFIXES.into_iter().filter(|prefix| *prefix != "home") {
        let listing = store.list(prefix).await?;
        let entries = listing.entries.into_iter().filter(|(key, _)| is_observed(key, me));
        found.extend(entries.map(|(key, stored)| (key, Some(stored))));
        unreadable.extend(listing.unreadable.into_iter().filter(|value| is_observed(&value.key, me)));
    }
    let home = read(store, &[RecordKey::Home.key()].into()).await?;
    found.extend(home.0);
    unreadable.extend(home.1);
    Ok((found, unreadable))
}

/// Whether the fleet still lives here is read after the records: those that were read before it had moved are in the copy.
async fn read_with_home(store: &dyn Store, keys: &BTreeSet<Key>) -> Result<(Vec<Found>, Vec<Unreadable>), StoreError> {
    let (mut found, mut unreadable) = read(store, keys).await?;
    if keys.iter().filter_map(RecordKey::of).any(|record| is_kept(&record)) {
        let home = read(store, &[RecordKey::Home.key()].into()).await?;
        found.extend(home.0);
        unreadable.extend(home.1);
    }
    Ok((found, unreadable))
}

async fn read(store: &dyn Store, keys: &BTreeSet<Key>) -> Result<(Vec<Found>, Vec<Unreadable>), StoreError> {
    let (mut found, mut listing) = (Vec::new(), Listing::default());
    for key in in_order(keys) {
        match store.get(key).await {
            Ok(stored) => found.push((key.clone(), stored)),
            unread => listing.add(key, unread)?,
        }
    }
    Ok((found, listing.unreadable))
}

/// Those first who say whose word counts.
fn in_order(keys: &BTreeSet<Key>) -> Vec<&Key> {
    let mut keys: Vec<&Key> = keys.iter().collect();
    keys.sort_by_key(|key| PREFIXES.iter().position(|prefix| key.is_under(prefix)));
    keys
}
