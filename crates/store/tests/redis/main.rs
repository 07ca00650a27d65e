//! The Redis engine against real servers: the suite, lost answers, restarts, failovers, and what is refused.
#![cfg(feature = "redis")]

mod failover;
mod faults;
mod foreign;
mod refused;
mod suite;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use certfleet_store::{Change, Envelope, Expect, Key, Put, Revision, Store, Watch, fresh_nonce};
use certfleet_testkit::redis::Redis;

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(30);

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn value(body: impl serde::Serialize) -> Envelope {
    Envelope::new("lb0".parse().expect("a name"), fresh_nonce().expect("random"), &body).expect("JSON")
}

async fn made(at: SocketAddr) -> Arc<dyn Store> {
    certfleet_store::open_or_create(&format!("redis://{at}")).await.expect("made")
}

async fn opened(at: SocketAddr) -> Arc<dyn Store> {
    certfleet_store::open(&format!("redis://{at}")).await.expect("opened")
}

async fn done(store: &Arc<dyn Store>, at: &Key, value: &Envelope, expect: &Expect) -> Revision {
    match store.put(at, value, expect).await.expect("written") {
        Put::Done(revision) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

/// The body of the value there, once the store answers.
async fn read_again(store: &Arc<dyn Store>, at: &Key) -> Option<serde_json::Value> {
    let answers = || async { store.get(at).await.ok() };
    let stored = certfleet_testkit::eventually("the store answers again", LIMIT, answers).await;
    stored.map(|stored| stored.envelope.body)
}

async fn next(watch: &mut Watch) -> Change {
    let next = tokio::time::timeout(LIMIT, watch.next()).await;
    next.expect("told in time").expect("the watch goes on")
}

/// A server, or a loud skip.
async fn server() -> Option<Redis> {
    Redis::start(&[]).await
}
