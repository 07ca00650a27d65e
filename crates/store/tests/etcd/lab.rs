//! Clusters for the tests, and what all of them do with a store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use certfleet_store::{Envelope, Expect, Key, Put, Revision, Store, fresh_nonce};
use certfleet_testkit::etcd::{Etcd, Setup};
use etcd_client::Client;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// How long anything may take that is not measured.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A cluster, and the directory it is in.
#[derive(Debug)]
pub struct Lab {
    pub etcd: Etcd,
    _dir: TempDir,
}

impl Lab {
    /// `None` where etcd is not installed.
    pub async fn start(setup: &Setup) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let etcd = Etcd::start(dir.path(), setup).await.expect("etcd starts")?;
        Some(Self { etcd, _dir: dir })
    }

    /// One member.
    pub async fn one() -> Option<Self> {
        Self::start(&Setup::default()).await
    }

    /// Three members.
    pub async fn three() -> Option<Self> {
        Self::start(&Setup { members: 3, ..Setup::default() }).await
    }

    /// Three members that all tests of this process share while any of them runs.
    pub async fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Lab>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(lab) = shared.upgrade() {
            return Some(lab);
        }
        let lab = Arc::new(Self::three().await?);
        *shared = Arc::downgrade(&lab);
        Some(lab)
    }

    /// A store URL for all members.
    pub fn url(&self, prefix: &str) -> String {
        format!("etcd://{}{prefix}", self.etcd.hosts())
    }

    /// etcd's own client, to member `n`.
    pub async fn client(&self, n: u8) -> Client {
        Client::connect([self.etcd.address(n).to_string()], None).await.expect("connected")
    }
}

/// Makes the store, or opens it.
pub async fn made(url: &str) -> Arc<dyn Store> {
    certfleet_store::open_or_create(url).await.expect("the store can be made")
}

pub fn key(text: &str) -> Key {
    text.parse().expect("key")
}

/// A value with a nonce of its own.
pub fn value(body: impl serde::Serialize) -> Envelope {
    Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), &body).expect("json")
}

/// Writes, and must win.
pub async fn must_put(store: &Arc<dyn Store>, at: &Key, value: &Envelope, expect: &Expect) -> Revision {
    match store.put(at, value, expect).await {
        Ok(Put::Done(revision)) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

/// What is there now.
pub async fn body(store: &Arc<dyn Store>, at: &Key) -> Option<serde_json::Value> {
    store.get(at).await.expect("read").map(|stored| stored.envelope.body)
}
