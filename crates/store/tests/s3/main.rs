//! The S3 engine against real servers: the suite, lost answers, restarts, what is refused, what it costs, and what the start-up check refuses.
#![cfg(feature = "s3")]

mod cost;
mod faults;
mod foreign;
mod negative;
mod refused;
mod suite;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use certfleet_store::{Change, Envelope, Expect, Key, Put, Revision, Store, Watch, fresh_nonce};
use certfleet_testkit::moto::{Moto, Setup};

/// How long anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(60);
const BUCKET: &str = "fleets";

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn value(body: impl serde::Serialize) -> Envelope {
    Envelope::new("lb0".parse().expect("a name"), fresh_nonce().expect("random"), &body).expect("JSON")
}

/// A prefix that no other test has.
fn prefix() -> String {
    fresh_nonce().expect("random").as_str().to_owned()
}

/// A store at a server of this test; it is looked for changes each second. The server takes any secret, so a variable does that everybody has.
fn url(at: SocketAddr, prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}?endpoint=http://{at}&user=key&password_env=PATH&poll=1")
}

async fn made(at: SocketAddr, prefix: &str) -> Arc<dyn Store> {
    certfleet_store::open_or_create(&url(at, prefix)).await.expect("made")
}

async fn opened(at: SocketAddr, prefix: &str) -> Arc<dyn Store> {
    certfleet_store::open(&url(at, prefix)).await.expect("opened")
}

async fn done(store: &Arc<dyn Store>, at: &Key, value: &Envelope, expect: &Expect) -> Revision {
    match store.put(at, value, expect).await.expect("written") {
        Put::Done(revision) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

async fn next(watch: &mut Watch) -> Change {
    let next = tokio::time::timeout(LIMIT, watch.next()).await;
    next.expect("told in time").expect("the watch goes on")
}

/// A server of the test's own, with the bucket; or a loud skip.
async fn server() -> Option<Moto> {
    let server = Moto::start(&Setup::default()).await?;
    server.make_bucket(BUCKET).await;
    Some(server)
}

/// A server that tests share which do it no harm; it ends with the last of them.
async fn shared() -> Option<Arc<Moto>> {
    static SHARED: tokio::sync::Mutex<Weak<Moto>> = tokio::sync::Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(server().await?);
    *shared = Arc::downgrade(&server);
    Some(server)
}
