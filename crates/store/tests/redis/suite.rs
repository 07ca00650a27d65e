//! The one suite that every engine passes.

use std::sync::Arc;

use async_trait::async_trait;
use certfleet_store::Key;
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::{Pair, Plant};
use certfleet_testkit::redis::Redis;

use super::{made, opened, server};

/// A server of its own for each case; memory (which passes) where there is none, which was said.
async fn pair() -> (Pair, Option<Arc<Redis>>) {
    let Some(server) = server().await else {
        let store = MemoryStore::new();
        return (Pair { one: store.clone(), other: store, plant: None }, None);
    };
    let server = Arc::new(server);
    let (one, other) = (made(server.address()).await, opened(server.address()).await);
    (Pair { one, other, plant: Some(Arc::new(PlantInRedis(server.clone()))) }, Some(server))
}

/// Numbers what it writes, as a restored dump would be.
#[derive(Debug)]
struct PlantInRedis(Arc<Redis>);

#[async_trait]
impl Plant for PlantInRedis {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        let number = self.0.cli(&["HINCRBY", "certfleet:meta", "revision", "1"]);
        let answer = self.0.cli_with(&["HSET", &format!("certfleet:data/{key}"), "revision", &number, "value"], Some(bytes));
        assert!(answer.parse::<u32>().is_ok(), "{answer}");
    }
}

certfleet_store::conformance!(pair);
