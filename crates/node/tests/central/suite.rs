//! The one suite that every engine passes, through TLS and the wire.

use std::sync::Arc;

use async_trait::async_trait;
use certfleet_core::key::Key;
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::{Pair, Plant};

use super::Server;

#[derive(Debug)]
struct Direct(Arc<MemoryStore>);

#[async_trait]
impl Plant for Direct {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        self.0.plant(key, bytes);
    }
}

async fn served() -> (Pair, Server) {
    let server = Server::start().await;
    let plant: Arc<dyn Plant> = Arc::new(Direct(server.engine.clone()));
    (Pair { one: server.open(2).await, other: server.open(3).await, plant: Some(plant) }, server)
}

certfleet_store::conformance!(served);
