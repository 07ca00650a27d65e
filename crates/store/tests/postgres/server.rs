//! Servers, stores and values for the tests.

use std::sync::{Arc, Weak};
use std::time::Duration;

use certfleet_store::{Envelope, Expect, Key, Put, Revision, Store, fresh_nonce, open, open_or_create};
use certfleet_testkit::postgres::{Postgres, PostgresOptions};
use tokio::sync::Mutex;

/// How long a server may take to be noticed as back.
pub const LIMIT: Duration = Duration::from_secs(60);

/// One server for the tests that run at the same time and leave it as it is; it ends with the last of them. `None` where PostgreSQL is not
/// installed.
pub async fn shared() -> Option<Arc<Postgres>> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Postgres::start(PostgresOptions::default()).await?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

/// A server of one's own.
pub async fn own(settings: &[&str]) -> Option<Postgres> {
    Postgres::start(PostgresOptions { settings: settings.iter().map(|line| line.to_string()).collect(), ..Default::default() }).await
}

pub async fn made(url: &str) -> Arc<dyn Store> {
    open_or_create(url).await.expect("made")
}

pub async fn opened(url: &str) -> Arc<dyn Store> {
    open(url).await.expect("opened")
}

pub fn key(text: &str) -> Key {
    text.parse().expect("key")
}

pub fn value(body: impl serde::Serialize) -> Envelope {
    Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), &body).expect("json")
}

/// Writes a key that is not there, and must win.
pub async fn create(store: &Arc<dyn Store>, at: &str, body: impl serde::Serialize) -> Revision {
    match store.put(&key(at), &value(body), &Expect::Absent).await {
        Ok(Put::Done(revision)) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

/// The body of the value of a key that is there.
pub async fn body(store: &Arc<dyn Store>, at: &str) -> serde_json::Value {
    store.get(&key(at)).await.expect("read").expect("there").envelope.body
}
