//! A store that the fleet lives in, for commands: a write that counts is looked at again once it is done, so that none is reported as done in a
//! store that the fleet left at the same moment.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::{HomeRecord, HomeState};
use certfleet_core::trust::Roster;
use certfleet_core::view::is_kept;
use certfleet_store::{Listing, Put, Store, StoreError, Stored, Watch};

/// The store, and whose word counts in it.
#[derive(Debug)]
pub(super) struct StayingStore {
    store: Arc<dyn Store>,
    roster: Roster,
}

impl StayingStore {
    pub fn new(store: Arc<dyn Store>, roster: Roster) -> Self {
        Self { store, roster }
    }

    /// Whether the fleet still lives here.
    async fn stays(&self) -> Result<(), StoreError> {
        let home = match self.store.get(&RecordKey::Home.key()).await {
            Err(StoreError::Corrupt { .. }) => None,
            stored => stored?.filter(|stored| self.roster.check(&RecordKey::Home, &stored.envelope).is_ok()),
        };
        match home.and_then(|stored| stored.envelope.record::<HomeRecord>().ok()) {
            Some(home) if home.state == HomeState::Left => Err(StoreError::NeedsOperator {
                what: format!("the fleet moved to {} at this moment", home.other),
                remedy: "set `store` to that, then give the command again".into(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for StayingStore {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.store.list(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let put = self.store.put(key, value, expect).await?;
        if RecordKey::of(key).is_some_and(|record| is_kept(&record)) {
            self.stays().await?;
        }
        Ok(put)
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.store.delete(key, expect).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.store.watch(prefix).await
    }

    fn withholds(&self) -> bool {
        self.store.withholds()
    }

    fn is_probed(&self) -> bool {
        self.store.is_probed()
    }

    fn visibility_delay(&self) -> Duration {
        self.store.visibility_delay()
    }
}
