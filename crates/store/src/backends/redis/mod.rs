//! `redis:`: a Redis (6 or later) or Valkey server, or the master that Sentinels know.
//!
//! ```text
//! <prefix>meta                   a hash: id, layout, about, revision (the counter that numbers all writes)
//! <prefix>data/<key>             a hash: revision, value (an envelope)
//! <prefix>changes                the channel on which changed keys are told
//! ```
//!
//! Always holds:
//! * a read, and a compare-and-swap with its notice, is one script, which Redis runs alone;
//! * a swap names the very bytes it replaces, by number, nonce and digest; so it fits no other value, whatever a failover lost;
//! * an absent answer is given only after the store's identity was read, so a Redis that came back empty is never taken for an empty store;
//! * a call is sent once; a connection that broke after it was sent makes a write `Unknown`.
//!
//! What Redis cannot promise: it acknowledges writes before its replicas have them, and a failover loses those. See `docs/store-redis.md`.
//!
//! Deliberately not here: Redis Cluster, expiry, locks, and reading from replicas.

mod connect;
mod fault;
mod inspect;
mod link;
mod read;
mod scripts;
mod url;
mod value;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::{OpenError, StoreError};
use crate::nonce::fresh_nonce;
use crate::watch::Watch;
use link::{Link, Session};
use scripts::CREATE;
pub use url::RedisUrl;

/// The layout that this version reads and writes.
const LAYOUT: u32 = 1;
const ABOUT: &str = "certfleet keeps its fleet's state here; each key below data/ is a hash, its field `value` the record";

/// A store in Redis.
pub struct RedisStore {
    link: Arc<Link>,
    /// From `meta`; drawn when the store was made.
    id: String,
}

impl RedisStore {
    /// Opens the store that is there.
    pub async fn open(url: RedisUrl) -> Result<Arc<Self>, OpenError> {
        Self::open_with(url, false).await
    }

    /// Opens the store, and makes it first if there is nothing yet.
    pub async fn open_or_create(url: RedisUrl) -> Result<Arc<Self>, OpenError> {
        Self::open_with(url, true).await
    }

    async fn open_with(url: RedisUrl, create: bool) -> Result<Arc<Self>, OpenError> {
        let link = Link::new(url);
        let mut session = link.session().await?;
        let meta = meta(&link.url);
        let answer: (Option<String>, Option<String>) = if create {
            let (id, layout) = (fresh_nonce()?, LAYOUT.to_string());
            let made = CREATE.run(&mut session.connection, &[&meta], &[id.as_str().as_bytes(), layout.as_bytes(), ABOUT.as_bytes()]).await;
            made.and_then(|answer| Ok(redis::from_redis_value(answer)?)).map_err(|e| link.fault(&session, &e).error)?
        } else {
            let found = redis::cmd("HMGET").arg(&meta).arg(&["id", "layout"]).query_async(&mut session.connection).await;
            found.map_err(|e| link.fault(&session, &e).error)?
        };
        let missing =
            |why: &str| OpenError::Missing { path: format!("{} (prefix `{}`)", link.url, link.url.prefix).into(), why: why.into() };
        let Some(id) = answer.0 else {
            return Err(missing(
                "Redis has no store under this prefix; see that database and prefix are right and that Redis kept its data, or run `certfleet init` to make a new fleet",
            ));
        };
        match answer.1.as_deref().map(str::parse::<u32>) {
            Some(Ok(found)) if found > LAYOUT => Err(OpenError::TooNew { path: link.url.to_string().into(), found, known: LAYOUT }),
            Some(Ok(_)) => Ok(Arc::new(Self { link, id })),
            _ => Err(missing("what says which store it is cannot be read; restore the store from a backup")),
        }
    }

    /// The name of what says which store this is.
    fn meta(&self) -> String {
        meta(&self.link.url)
    }

    /// What the names of all values begin with.
    fn data_prefix(&self) -> String {
        format!("{}data/", self.link.url.prefix)
    }

    /// The name under which a key's value stands.
    fn data(&self, key: &Key) -> Vec<u8> {
        format!("{}{key}", self.data_prefix()).into_bytes()
    }

    /// The server holds another store.
    fn other(&self, session: &Session) -> StoreError {
        StoreError::NeedsOperator {
            what: format!("Redis at {} holds another store than the one that was opened", session.address),
            remedy: "name the right server, database and prefix, or restart certfleet if this is intended".into(),
        }
    }

    /// The server holds no store, as one does that came back without its data.
    fn gone(&self, session: &Session) -> StoreError {
        fault::away(
            &session.address,
            "the store is not there any more",
            "see why Redis lost its data and restore it, or run `certfleet store recover`",
        )
    }
}

fn meta(url: &RedisUrl) -> String {
    format!("{}meta", url.prefix)
}

#[async_trait]
impl Store for RedisStore {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.read(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.list_under(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        self.write(key, value, expect).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.remove(key, expect).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let (feed, watch) = Watch::channel(prefix);
        self.link.tell(feed);
        self.link.session().await?;
        Ok(watch)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("url", &self.link.url.to_string()).field("prefix", &self.link.url.prefix).finish_non_exhaustive()
    }
}
