//! The one suite, against three members.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::{Pair, Plant};
use certfleet_store::{Key, Store};
use etcd_client::Client;

use crate::lab::{Lab, made};

/// A store of its own in the cluster that all cases share. Where etcd is missing (which was said), a store in memory.
async fn pair() -> (Pair, Option<Arc<Lab>>) {
    static PREFIX: AtomicU32 = AtomicU32::new(0);
    let Some(lab) = Lab::shared().await else {
        let store = MemoryStore::new();
        return (Pair { one: store.clone(), other: store, plant: None }, None);
    };
    let prefix = format!("/suite/{}", PREFIX.fetch_add(1, Ordering::SeqCst));
    let url = lab.url(&prefix);
    let plant = PlantEtcd { client: lab.client(0).await, prefix };
    let one: Arc<dyn Store> = made(&url).await;
    let other = certfleet_store::open(&url).await.expect("opened");
    (Pair { one, other, plant: Some(Arc::new(plant)) }, Some(lab))
}

/// Somebody with etcd's own client.
struct PlantEtcd {
    client: Client,
    prefix: String,
}

#[async_trait]
impl Plant for PlantEtcd {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        let mut client = self.client.clone();
        client.put(format!("{}/data/{key}", self.prefix), bytes, None).await.expect("written");
    }
}

impl std::fmt::Debug for PlantEtcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PlantEtcd")
    }
}

certfleet_store::conformance!(pair);
