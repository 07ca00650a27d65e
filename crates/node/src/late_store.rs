//! A store that may not be there yet: opened when it is first needed, again and again until it can be.
//!
//! `run` must serve from what it remembers while its store is away, also at start. Before the first use the store is probed: one that lets two
//! conditional writers win is refused. An empty store, another fleet's, or one that the fleet has left is not written to, so not probed either
//! until something is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::FleetId;
use certfleet_core::records::{FleetRecord, HomeRecord, HomeState};
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

    async fn store(&self, writes: bool) -> Result<Arc<dyn Store>, StoreError> {
        let mut opened = self.opened.lock().await;
        let store = match &opened.store {
            Some(store) => store.clone(),
            None => certfleet_store::open_with(&self.url, Some(&self.credentials)).await.map_err(|e| StoreError::Away { why: e.why() })?,
        };
        opened.probed |= store.is_probed();
        let is_ours = match opened.probed || writes {
            true => Ok(true),
            false => self.is_home_of_ours(store.as_ref()).await,
        };
        if is_ours.is_err() {
            opened.store = None;
        }
        if is_ours? && !opened.probed {
            certfleet_store::probe(store.as_ref()).await.map_err(|e| StoreError::Away { why: e.why() })?;
            opened.probed = true;
        }
        opened.store = Some(store.clone());
        Ok(store)
    }

    /// What is there in place of another fleet's store may be ours: it is opened anew.
    async fn told<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(answer, Err(StoreError::Away { .. } | StoreError::NeedsOperator { .. })) {
            let mut opened = self.opened.lock().await;
            if !opened.probed {
                opened.store = None;
            }
        }
        answer
    }

    async fn is_home_of_ours(&self, store: &dyn Store) -> Result<bool, StoreError> {
        let stored = store.get(&RecordKey::Fleet.key()).await?;
        if stored.and_then(|s| s.envelope.record::<FleetRecord>().ok()).is_none_or(|fleet| fleet.id != self.fleet) {
            return Ok(false);
        }
        match store.get(&RecordKey::Home.key()).await {
            Err(StoreError::Corrupt { .. }) => Ok(true),
            stored => {
                let home = stored?.and_then(|s| s.envelope.record::<HomeRecord>().ok());
                Ok(home.is_none_or(|home| home.state == HomeState::Here))
            }
        }
    }
}

#[async_trait]
impl Store for LateStore {
    fn kind(&self) -> &'static str {
        self.opened.try_lock().ok().and_then(|opened| opened.store.as_ref().map(|store| store.kind())).unwrap_or("unknown")
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let answer = self.store(false).await?.get(key).await;
        self.told(answer).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let answer = self.store(false).await?.list(prefix).await;
        self.told(answer).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let answer = self.store(true).await?.put(key, value, expect).await;
        self.told(answer).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let answer = self.store(true).await?.delete(key, expect).await;
        self.told(answer).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let answer = self.store(false).await?.watch(prefix).await;
        self.told(answer).await
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
