//! One node's line to the engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;
use certfleet_core::trust::VerifyingKey;
use certfleet_node::central::Door;
use certfleet_store::{Listing, Put, Store, StoreError, Stored, Watch};
use tokio::time::{Instant, sleep};

use super::entrance::Entrance;
use super::feeds::Feed;
use super::{Arrived, Engine};
use crate::link::{Link, Passed, TIMEOUT_MS};

/// One node's line to the engine.
#[derive(Debug)]
pub struct Line {
    engine: Arc<Engine>,
    who: String,
    link: Arc<Link>,
    sight: Arc<Mutex<Sight>>,
    /// The node's key, which says who asks where another node serves the store.
    peer: Option<VerifyingKey>,
}

/// Since when a client goes by what it has: it looks again only when that is older than the mount's attribute-cache time. What it wrote itself
/// it knows.
#[derive(Debug, Default)]
pub(super) struct Sight {
    keys: BTreeMap<Key, Instant>,
    directories: BTreeMap<String, Instant>,
}

impl Sight {
    /// As of which moment the client sees a key.
    pub fn of(&mut self, key: &Key, cache: Duration) -> Instant {
        look(self.keys.entry(key.clone()).or_insert_with(Instant::now), cache)
    }

    fn of_directory(&mut self, prefix: &str, cache: Duration) -> Instant {
        look(self.directories.entry(prefix.to_owned()).or_insert_with(Instant::now), cache)
    }

    /// Of a key in a directory that was read at a moment: what was not there then is not there now.
    fn of_entry(&mut self, key: &Key, directory: Instant, cache: Duration) -> Instant {
        look(self.keys.entry(key.clone()).or_insert(directory), cache)
    }
}

fn look(since: &mut Instant, cache: Duration) -> Instant {
    let now = Instant::now();
    if now.duration_since(*since) >= cache {
        *since = now;
    }
    *since
}

impl Line {
    /// By this link, with this key. Who has none gives commands on the machine that carries the store, if one does.
    pub fn new(engine: &Arc<Engine>, who: &str, link: &Arc<Link>, peer: Option<VerifyingKey>) -> Arc<Self> {
        Arc::new(Self { engine: engine.clone(), who: who.to_owned(), link: link.clone(), sight: Arc::default(), peer })
    }

    /// This client's daemon serves the store to others, if its machine carries it.
    pub fn serve(&self, door: Arc<dyn Door>) {
        self.engine.serve(&self.who, door);
    }

    fn enter(&self) -> Result<Entrance, StoreError> {
        self.engine.enter(&self.who, self.peer.as_ref())
    }

    fn sight(&self) -> MutexGuard<'_, Sight> {
        self.sight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and meets what is wrong with the engine itself.
    async fn pass<T>(&self, what: &str, changes: bool, work: impl FnOnce() -> T) -> Passed<T> {
        let slow = self.engine.pace();
        if !slow.is_zero() {
            sleep(slow).await;
        }
        let arrived = || match self.engine.arrive(&self.who, changes) {
            Arrived::Nowhere => Passed::NotSent,
            Arrived::Dropped => Passed::Lost,
            Arrived::Mute => {
                work();
                Passed::Lost
            }
            Arrived::Well => Passed::Answer(work()),
        };
        let passed = match self.link.pass(what, arrived).await {
            Passed::Answer(passed) => passed,
            Passed::NotSent => Passed::NotSent,
            Passed::Lost => return Passed::Lost,
        };
        if !matches!(passed, Passed::Answer(_)) {
            sleep(Duration::from_millis(TIMEOUT_MS)).await;
        }
        passed
    }

    async fn write(&self, key: &Key, value: Option<&Envelope>, expect: &Expect) -> Result<Put, StoreError> {
        let what = if value.is_some() { format!("the write of {key}") } else { format!("the deletion of {key}") };
        self.engine.begins(&self.who, key);
        let echo = self.link.echo();
        let write = || {
            if echo.is_some_and(|echo| echo.first_is_lost) {
                return None;
            }
            self.sight().keys.insert(key.clone(), Instant::now());
            Some(swap(&self.engine, (&self.who, self.peer.as_ref()), key, value, expect))
        };
        let passed = self.pass(&what, true, write).await;
        if let Some(echo) = echo {
            self.comes_late(key, value, expect, echo.after);
        }
        match passed {
            Passed::Answer(Some(put)) => {
                let put = put?;
                if let Some(value) = value.filter(|_| matches!(put, Put::Done(_))) {
                    self.engine.is_told(&self.who, key, value);
                }
                return Ok(put);
            }
            Passed::NotSent => return Err(away()),
            Passed::Answer(None) => sleep(Duration::from_millis(TIMEOUT_MS)).await,
            Passed::Lost => {}
        }
        Ok(Put::Unknown("no answer came".into()))
    }

    /// The network delivers the write once more, or only now. Where it was delivered before, the compare-and-swap refuses it.
    fn comes_late(&self, key: &Key, value: Option<&Envelope>, expect: &Expect, after: Duration) {
        let (engine, who, peer) = (self.engine.clone(), self.who.clone(), self.peer);
        let (key, value, expect) = (key.clone(), value.cloned(), expect.clone());
        tokio::spawn(async move {
            sleep(after).await;
            // Nobody waits for the answer.
            let _ = swap(&engine, (&who, peer.as_ref()), &key, value.as_ref(), &expect);
        });
    }
}

/// A compare-and-swap by who may do it.
fn swap(
    engine: &Engine,
    (who, peer): (&str, Option<&VerifyingKey>),
    key: &Key,
    value: Option<&Envelope>,
    expect: &Expect,
) -> Result<Put, StoreError> {
    engine.enter(who, peer)?.lets_write(key, value)?;
    Ok(engine.swap(who, key, value, expect))
}

fn away() -> StoreError {
    StoreError::Away { why: "no answer came".into() }
}

fn read<T>(passed: Passed<Result<T, StoreError>>) -> Result<T, StoreError> {
    match passed {
        Passed::Answer(answer) => answer,
        Passed::NotSent | Passed::Lost => Err(away()),
    }
}

#[async_trait]
impl Store for Line {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let cache = self.engine.nature().cache;
        let look = || {
            let (entrance, moment) = (self.enter()?, self.sight().of(key, cache));
            entrance.shown(key, self.engine.get_as_of(key, moment))
        };
        let found = read(self.pass(&format!("the read of {key}"), false, look).await)?;
        found.iter().for_each(|stored| self.engine.is_told(&self.who, key, &stored.envelope));
        Ok(found)
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let cache = self.engine.nature().cache;
        let look = || {
            let (entrance, mut sight) = (self.enter()?, self.sight());
            let directory = sight.of_directory(prefix, cache);
            let listing = self.engine.list_as_of(prefix, |key| sight.of_entry(key, directory, cache))?;
            Ok(entrance.shown_of(listing))
        };
        let listing = read(self.pass(&format!("the list of {prefix}"), false, look).await)?;
        listing.entries.iter().for_each(|(key, stored)| self.engine.is_told(&self.who, key, &stored.envelope));
        Ok(listing)
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        value.to_bytes().map_err(|error| StoreError::Unfit { key: key.clone(), why: error.to_string() })?;
        self.write(key, Some(value), expect).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.write(key, None, &Expect::Revision(expect.clone())).await
    }

    /// A line that is cut tells nothing until it is mended, and then that notices may have been lost ([`Engine::reset`]).
    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let watching = || {
            let entrance = self.enter()?;
            let (feed, watch) = Watch::channel(prefix);
            self.engine.add_feed(Feed::new(&self.who, feed, &self.link, &self.sight, entrance));
            Ok(watch)
        };
        read(self.pass("the watch", false, watching).await)
    }

    fn withholds(&self) -> bool {
        self.peer.is_some() && self.engine.is_served_to(&self.who)
    }

    fn visibility_delay(&self) -> Duration {
        self.engine.nature().visibility_delay()
    }
}
