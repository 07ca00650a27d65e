//! The suite.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_store::Key;
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::conformance::{Pair, Plant};
use certfleet_testkit::postgres::Postgres;

use super::server::{made, opened, shared};

async fn pair() -> (Pair, Option<Arc<Postgres>>) {
    let Some(server) = shared().await else {
        // Said loudly by `installed`, and a failure under CI; the cases want a store all the same.
        let store = MemoryStore::new();
        return (Pair { one: store.clone(), other: store, plant: None }, None);
    };
    let database = server.new_database().await;
    let url = server.url(&database);
    let plant = PlantInPostgres { server: server.clone(), database };
    (Pair { one: made(&url).await, other: opened(&url).await, plant: Some(Arc::new(plant)) }, Some(server))
}

/// Someone with psql.
#[derive(Debug)]
struct PlantInPostgres {
    server: Arc<Postgres>,
    database: String,
}

#[async_trait]
impl Plant for PlantInPostgres {
    async fn plant(&self, key: &Key, bytes: &[u8]) {
        let mut hex = String::with_capacity(bytes.len() * 2);
        bytes.iter().for_each(|byte| _ = write!(hex, "{byte:02x}"));
        let key = key.as_str().replace('\'', "''");
        let sql = format!(
            "INSERT INTO certfleet.records (key, value) VALUES ('{key}', '\\x{hex}') ON CONFLICT (key) DO UPDATE SET value = excluded.value;"
        );
        self.server.sql(&self.database, &sql).await;
    }
}

certfleet_store::conformance!(pair);
