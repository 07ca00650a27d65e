//! The store: shared state of a fleet, changed only by compare-and-swap.
//!
//! [`Store`] is the contract, in prose on the trait; `backends` are the engines; [`conformance`] is the one suite that every engine passes.
//!
//! Always holds: nothing here knows what a record means. Values are [`Envelope`]s, keys are [`Key`]s, and a write takes place only if the
//! caller named the very value it replaces.
//!
//! Deliberately not here: transactions, locks, leases, times to live. No engine is asked for them, so every engine can give all of the
//! contract.

pub mod backends;
pub mod conformance;
mod contract;
mod error;
mod nonce;
mod probe;
mod revision;
mod settle;
mod url;
mod watch;
pub mod wire;

use std::fmt;
use std::sync::Arc;

use certfleet_core::trust::{SigningKey, VerifyingKey};

pub use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
pub use certfleet_core::key::Key;

pub use contract::{Listing, Put, Store, Stored, Unreadable};
pub use error::{ErrorKind, OpenError, StoreError};
pub use nonce::fresh_nonce;
#[cfg(feature = "simulation")]
pub use nonce::with_nonces;
pub use probe::{ProbeError, probe};
pub use revision::{garbage_revision, is_expected, same_value};
pub use settle::{Settled, delete_settled, put_settled};
pub use url::shown_url;
pub use watch::{Change, Watch, WatchFeed};

#[cfg(feature = "central")]
use backends::central::CentralStore;
#[cfg(feature = "etcd")]
use backends::etcd::EtcdStore;
use backends::file::FileStore;
use backends::memory::MemoryStore;
#[cfg(feature = "postgres")]
use backends::postgres::PostgresStore;
#[cfg(feature = "redis")]
use backends::redis::RedisStore;
#[cfg(feature = "s3")]
use backends::s3::S3Store;
use url::StoreUrl;

/// Whether `url` is one that can be opened, as far as can be said without looking there.
pub fn check_url(url: &str) -> Result<(), OpenError> {
    url.parse::<StoreUrl>().map(|_| ())
}

/// Who opens a store that another node serves, and by which keys it knows that node.
#[derive(Clone)]
pub struct Credentials {
    /// The node's own key; TLS signs with it.
    pub key: SigningKey,
    /// The keys that a server may have, as they are known now. Asked again for each key that is not among those of before.
    pub servers: Arc<dyn Fn() -> Vec<VerifyingKey> + Send + Sync>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key", &self.key.verifying_key()).finish_non_exhaustive()
    }
}

/// Opens the store at `url`: `file:///path` (with `?watch=poll` if change notices are not to be trusted), another engine's, or `memory:` for
/// tests. `https:` wants [`open_with`].
///
/// Never makes one: an empty directory is refused, since it may be the mount point of a file system that is not mounted.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, OpenError> {
    open_with(url, None).await
}

/// As [`open`], as the node with these credentials; other engines than a node's ask for none.
pub async fn open_with(url: &str, credentials: Option<&Credentials>) -> Result<Arc<dyn Store>, OpenError> {
    match url.parse()? {
        StoreUrl::Memory => Ok(MemoryStore::new()),
        #[cfg(feature = "central")]
        StoreUrl::Central(url) => Ok(CentralStore::open(url, credentials).await?),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(PostgresStore::open(*url).await?),
        StoreUrl::File { path, watch } => Ok(FileStore::open(&path, watch).await?),
        #[cfg(feature = "redis")]
        StoreUrl::Redis(url) => Ok(RedisStore::open(*url).await?),
        #[cfg(feature = "etcd")]
        StoreUrl::Etcd(address) => Ok(EtcdStore::open(address).await?),
        #[cfg(feature = "s3")]
        StoreUrl::S3(url) => Ok(S3Store::open(*url).await?),
    }
}

/// Opens the store at `url`, and makes it first if there is nothing yet. For `init` only.
pub async fn open_or_create(url: &str) -> Result<Arc<dyn Store>, OpenError> {
    match url.parse()? {
        StoreUrl::Memory => Ok(MemoryStore::new()),
        #[cfg(feature = "central")]
        StoreUrl::Central(url) => Err(url.cannot_be_made().into()),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => Ok(PostgresStore::open_or_create(*url).await?),
        StoreUrl::File { path, watch } => Ok(FileStore::open_or_create(&path, watch).await?),
        #[cfg(feature = "redis")]
        StoreUrl::Redis(url) => Ok(RedisStore::open_or_create(*url).await?),
        #[cfg(feature = "etcd")]
        StoreUrl::Etcd(address) => Ok(EtcdStore::open_or_create(address).await?),
        #[cfg(feature = "s3")]
        StoreUrl::S3(url) => Ok(S3Store::open_or_create(*url).await?),
    }
}
