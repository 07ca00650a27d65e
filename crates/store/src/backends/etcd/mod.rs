//! `etcd:`: an etcd cluster (v3 API).
//!
//! ```text
//! <prefix>/store           the store's identity, made once
//! <prefix>/data/<key>      a value: its nonce, a line feed, the envelope
//! ```
//!
//! Always holds:
//! * a write is one transaction, whose conditions are the revision, the nonce and the store's identity;
//! * reads are linearizable, and of the store that was opened: an etcd that was set up anew is never taken for an empty store;
//! * a request is said to have failed only if it was never sent or etcd named the rule that it broke; else it is `Unknown`.
//!
//! Deliberately not here: leases, locks, elections, and a balancing client (which would hide what was sent).

mod address;
mod answers;
mod connections;
mod keys;
mod marker;
mod read;
mod value;
mod watch;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;
use etcd_client::TxnOp;

pub(crate) use address::Address;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::{OpenError, StoreError};
use crate::nonce::fresh_nonce;
use crate::watch::Watch;
use connections::Connections;
use keys::Names;
use marker::Marker;

/// A store in an etcd cluster.
pub struct EtcdStore {
    connections: Arc<Connections>,
    names: Names,
    marker: Marker,
}

impl EtcdStore {
    /// Opens the store at `address`.
    pub(crate) async fn open(address: Address) -> Result<Arc<Self>, OpenError> {
        let (connections, names) = prepared(address);
        let marker = Marker::open(&connections, &names).await?;
        Ok(Arc::new(Self { connections, names, marker }))
    }

    /// Opens the store at `address`, and makes it first if there is nothing yet.
    pub(crate) async fn open_or_create(address: Address) -> Result<Arc<Self>, OpenError> {
        let (connections, names) = prepared(address);
        let marker = Marker::open_or_create(&connections, &names).await?;
        Ok(Arc::new(Self { connections, names, marker }))
    }
}

fn prepared(address: Address) -> (Arc<Connections>, Names) {
    let names = Names::new(&address.prefix);
    (Arc::new(Connections::new(address)), names)
}

#[async_trait]
impl Store for EtcdStore {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.read(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.read_all(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let put = TxnOp::put(self.names.of(key), value::encode(key, value)?, None);
        self.write(key, put, expect, |engine| value.revision(engine)).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let nonce = fresh_nonce()?;
        let delete = TxnOp::delete(self.names.of(key), None);
        let expect = Expect::Revision(expect.clone());
        self.write(key, delete, &expect, |engine| Revision { engine, nonce: nonce.clone(), change: 0 }).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        watch::start(self.connections.clone(), self.names.clone(), prefix).await
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore").field("place", &self.connections.place()).finish_non_exhaustive()
    }
}
