//! The one suite that every engine passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use certfleet_store::Key;
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::{Pair, Plant};
use certfleet_testkit::moto::Moto;

use super::{BUCKET, made, opened, prefix, shared};

/// A prefix of its own for each case; memory (which passes) where there is no server, which was said.
async fn pair() -> (Pair, Option<Arc<Moto>>) {
    let Some(server) = shared().await else {
        let store = MemoryStore::new();
        return (Pair { one: store.clone(), other: store, plant: None }, None);
    };
    let prefix = prefix();
    let (one, other) = (made(server.address(), &prefix).await, opened(server.address(), &prefix).await);
    let plant = PlantInS3 { server: server.clone(), prefix, planted: AtomicU64::new(1 << 40) };
    (Pair { one, other, plant: Some(Arc::new(plant)) }, Some(server))
}

/// Numbers what it writes, as certfleet does.
#[derive(Debug)]
struct PlantInS3 {
    server: Arc<Moto>,
    prefix: String,
    planted: AtomicU64,
}

#[async_trait]
impl Plant for PlantInS3 {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        let number = self.planted.fetch_add(1, Ordering::Relaxed);
        let object = [format!("{{\"revision\":{number}}}\n").as_bytes(), bytes].concat();
        self.server.put(BUCKET, &format!("{}/data/{key}", self.prefix), &object).await;
    }
}

certfleet_store::conformance!(pair);
