//! `s3:`: a bucket at AWS, or at a compatible server.
//!
//! ```text
//! <prefix>/store           the store's identity, made once
//! <prefix>/data/<key>      `{"revision":7}`, a line feed, the envelope; of a deleted key a line `{"revision":8,"deleted":"<nonce>"}`
//! ```
//!
//! Always holds:
//! * a write is one PUT whose condition is the ETag of what it replaces, or that there is nothing; no two writes of a key have the same ETag;
//! * a delete is such a write, too: S3 as such has no conditional delete, and what is not there any more cannot refuse a late creation;
//! * where there is no object, the store's identity is read before anything is made of that; a bucket that was emptied is never an empty store;
//! * a request goes out once, and is said to have failed only if it was never sent or S3 refused it; else it is `Unknown`.
//!
//! Deliberately not here: event queues (one more service to set up), versions of objects, uploads in parts.

mod bucket;
mod cache;
mod clean;
mod credentials;
mod fault;
mod http;
mod list;
mod marker;
mod names;
mod read;
mod url;
mod value;
mod watch;
mod write;

#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

pub(crate) use url::S3Url;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::{OpenError, StoreError};
use crate::watch::Watch;
use bucket::Bucket;
use cache::Cache;
use marker::Marker;
use names::Names;
use watch::Watching;

/// A store in a bucket.
pub struct S3Store(Arc<Inner>);

/// What the store and the task that looks for changes share.
struct Inner {
    url: S3Url,
    bucket: Arc<Bucket>,
    names: Names,
    marker: Marker,
    cache: Cache,
    watching: Watching,
}

impl S3Store {
    /// Opens the store that is there.
    pub(crate) async fn open(url: S3Url) -> Result<Arc<Self>, OpenError> {
        let (bucket, names) = (Arc::new(Bucket::new(&url)?), Names::new(&url.prefix));
        let marker = Marker::open(&bucket, &names, &url).await?;
        Ok(Self::with(url, bucket, names, marker))
    }

    /// Opens the store, and makes it first if there is nothing yet.
    pub(crate) async fn open_or_create(url: S3Url) -> Result<Arc<Self>, OpenError> {
        let (bucket, names) = (Arc::new(Bucket::new(&url)?), Names::new(&url.prefix));
        let marker = Marker::open_or_create(&bucket, &names, &url).await?;
        Ok(Self::with(url, bucket, names, marker))
    }

    fn with(url: S3Url, bucket: Arc<Bucket>, names: Names, marker: Marker) -> Arc<Self> {
        Arc::new(Self(Arc::new(Inner { url, bucket, names, marker, cache: Cache::default(), watching: Watching::default() })))
    }
}

#[async_trait]
impl Store for S3Store {
    fn kind(&self) -> &'static str {
        "s3"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.0.read(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.0.list_under(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let (inner, key, value, expect) = (self.0.clone(), key.clone(), value.clone(), expect.clone());
        carried_out(async move { inner.write(&key, &value, &expect).await }).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let (inner, key, expect) = (self.0.clone(), key.clone(), expect.clone());
        carried_out(async move { inner.remove(&key, &expect).await }).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        watch::start(&self.0, prefix).await
    }

    /// What is read is what was written last; that it changed is learnt by looking.
    fn visibility_delay(&self) -> Duration {
        self.0.url.poll
    }
}

/// Dropping the future of a write does not stop the write.
async fn carried_out(write: impl Future<Output = Result<Put, StoreError>> + Send + 'static) -> Result<Put, StoreError> {
    tokio::spawn(write).await.unwrap_or_else(|e| Ok(Put::Unknown(format!("the write ended early: {e}"))))
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store").field("url", &self.0.url.to_string()).finish_non_exhaustive()
    }
}
