//! A store whose operations are counted and timed, whoever asks: the loop, the executor, or a member that this node serves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;
use certfleet_store::{Listing, Put, Store, StoreError, Stored, Watch};

use crate::metrics::Metrics;

/// The store beneath, counted.
#[derive(Debug)]
pub struct Metered {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Counts in these metrics.
    pub fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { store, metrics })
    }

    async fn timed<T>(&self, operation: &'static str, asked: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let answer = asked.await;
        self.metrics.store_call(operation, start.elapsed());
        answer
    }
}

#[async_trait]
impl Store for Metered {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.timed("get", self.store.get(key)).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.timed("list", self.store.list(prefix)).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        self.timed("put", self.store.put(key, value, expect)).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.timed("delete", self.store.delete(key, expect)).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.timed("watch", self.store.watch(prefix)).await
    }

    fn visibility_delay(&self) -> Duration {
        self.store.visibility_delay()
    }

    fn withholds(&self) -> bool {
        self.store.withholds()
    }

    fn is_probed(&self) -> bool {
        self.store.is_probed()
    }
}
