//! `https:`: the store of another node, which serves it (`serve`) to members of its fleet.
//!
//! Always holds:
//! * each side is known by its node key: TLS 1.3 with raw public keys (RFC 7250), both signed for in the handshake; there is no certificate
//!   and no authority beside the fleet's own;
//! * one question at a time per connection, so that it is known what was sent: a write is `Unknown` only if its question may have arrived;
//! * what the server does not show reads as absent ([`Store::withholds`]), and what it refuses is an error that says why.
//!
//! Deliberately not here: what the server shows to whom (it decides), and believing it: records are signed, and whoever reads them checks.

mod connection;
mod lines;
mod link;
mod read;
mod tls;
mod url;
mod watch;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::Credentials;
use crate::contract::{Listing, Put, Store, Stored};
use crate::error::{OpenError, StoreError};
use crate::watch::Watch;
use link::Link;
pub(crate) use url::CentralUrl;

/// A store that another node serves.
pub struct CentralStore {
    link: Arc<Link>,
}

impl CentralStore {
    /// Connects, so that a wrong server is told at once.
    pub(crate) async fn open(url: CentralUrl, credentials: Option<&Credentials>) -> Result<Arc<Self>, OpenError> {
        let credentials = credentials.ok_or_else(|| url.needs_credentials())?;
        let link = Arc::new(Link::new(url, credentials)?);
        link.try_out().await?;
        Ok(Arc::new(Self { link }))
    }
}

#[async_trait]
impl Store for CentralStore {
    fn kind(&self) -> &'static str {
        "central"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.read(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.read_all(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        self.write(key, value, expect).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.remove(key, expect).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        watch::start(self.link.clone(), prefix).await
    }

    fn withholds(&self) -> bool {
        true
    }

    fn is_probed(&self) -> bool {
        true
    }
}

impl fmt::Debug for CentralStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CentralStore").field("server", &self.link.server()).finish_non_exhaustive()
    }
}
