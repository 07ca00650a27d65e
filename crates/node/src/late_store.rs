//! A store that may not be there yet: opened when it is first needed, again and again until it can be.
//!
//! `run` must serve from what it remembers while its store is away, also at start. Before the first use the store is probed: one that lets two
//! conditional writers win is refused. An empty store, or another fleet's, is not written to, so not probed either.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::FleetId;
use certfleet_core::records::FleetRecord;
use certfleet_store::{Credentials, Listing, Put, Store, StoreError, Stored, Watch};
use tokio::sync::Mutex;

/// The store of a daemon.
#[derive(Debug)]
pub struct LateStore {
    url: String,
    credentials: Credentials,
    fleet: FleetId,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    store: Option<Arc<dyn Store>>,
    probed: bool,
}

impl LateStore {
    /// Nothing is opened yet.
    pub fn new(url: &str, credentials: Credentials, fleet: FleetId) -> Self {
        Self { url: url.to_owned(), credentials, fleet, opened: Mutex::default() }
    }

    async fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        let mut opened = self.opened.lock().await;
        let store = match &opened.store {
            Some(store) => store.clone(),
            None => {
                certfleet_store::open_with(&self.url, Some(&self.credentials)).await.map_err(|e| StoreError::Away { why: e.to_string() })?
            }
        };
        if !opened.probed && !store.is_probed() && self.holds_our_fleet(store.as_ref()).await? {
            certfleet_store::probe(store.as_ref()).await.map_err(|e| StoreError::Away { why: e.to_string() })?;
            opened.probed = true;
        }
        opened.store = Some(store.clone());
        Ok(store)
    }

    async fn holds_our_fleet(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let stored = store.get(&RecordKey::Fleet.key()).await?;
        Ok(stored.and_then(|s| s.envelope.record::<FleetRecord>().ok()).is_some_and(|fleet| fleet.id == self.fleet))
    }
}

#[async_trait]
impl Store for LateStore {
    fn kind(&self) -> &'static str {
        self.opened.try_lock().ok().and_then(|opened| opened.store.as_ref().map(|store| store.kind())).unwrap_or("unknown")
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store().await?.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.store().await?.list(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        self.store().await?.put(key, value, expect).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.store().await?.delete(key, expect).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.store().await?.watch(prefix).await
    }

    fn visibility_delay(&self) -> Duration {
        let opened = self.opened.try_lock().ok();
        opened.and_then(|opened| opened.store.as_ref().map(|store| store.visibility_delay())).unwrap_or_default()
    }

    fn withholds(&self) -> bool {
        let opened = self.opened.try_lock().ok();
        opened.and_then(|opened| opened.store.as_ref().map(|store| store.withholds())).unwrap_or_default()
    }
}
