//! `postgres:`: a schema in a PostgreSQL database, 14 or later.
//!
//! ```text
//! <schema>.store       which store this is: one row
//! <schema>.records     key, revision, nonce, value: one row for each key
//! <schema>.revisions   the sequence that numbers every write
//! ```
//!
//! Always holds:
//! * a write is one statement, which compares revision and nonce, and a transaction of its own; `Done` is said when the server has committed;
//! * revisions come from one sequence by a trigger, so that a deleted key's numbers do not come again and a row changed by hand has a new one;
//! * every answer carries the store's identity, so that another database behind the same name is never taken for an empty store.
//!
//! Deliberately not here: transactions over keys, row locks that outlive a statement, reads from standbys (they lag), and a pooler's
//! transaction mode (notifications do not pass through it).

mod connect;
mod fault;
mod listen;
mod password;
mod pool;
mod read;
mod schema;
mod tls;
mod url;
mod write;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::contract::{Listing, Put, Store, Stored};
use crate::error::{OpenError, StoreError};
use crate::watch::Watch;
use connect::Target;
use listen::Listener;
use pool::Pool;
use schema::Identity;
pub(crate) use url::PostgresUrl;
use write::New;

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    database: Arc<Database>,
    listener: Listener,
    place: String,
}

/// What the calls share.
struct Database {
    pool: Arc<Pool>,
    schema: String,
    identity: Identity,
}

impl PostgresStore {
    /// Opens the store that is there.
    pub(crate) async fn open(url: PostgresUrl) -> Result<Arc<Self>, OpenError> {
        let target = Arc::new(Target::new(url)?);
        let identity = schema::open(&target).await?;
        Ok(Self::with(target, identity))
    }

    /// Opens the store, and makes it first if there is nothing yet.
    pub(crate) async fn open_or_create(url: PostgresUrl) -> Result<Arc<Self>, OpenError> {
        let target = Arc::new(Target::new(url)?);
        let identity = schema::open_or_create(&target).await?;
        Ok(Self::with(target, identity))
    }

    fn with(target: Arc<Target>, identity: Identity) -> Arc<Self> {
        let database = Database { pool: Pool::new(target.clone()), schema: target.url.schema.clone(), identity };
        Arc::new(Self { database: Arc::new(database), place: target.url.place(), listener: Listener::new(target) })
    }

    /// On a task of its own: a caller that goes away does not stop it half-way.
    async fn write(&self, key: &Key, new: New, expect: Expect) -> Result<Put, StoreError> {
        let (database, key) = (self.database.clone(), key.clone());
        let answer = tokio::spawn(async move { database.write(&key, &new, &expect).await }).await;
        answer.unwrap_or_else(|e| Ok(Put::Unknown(format!("the write broke: {e}"))))
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.database.read(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.database.list(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        self.write(key, New::value(key, value)?, expect.clone()).await
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.write(key, New::nothing()?, Expect::Revision(expect.clone())).await
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.listener.watch(prefix).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("place", &self.place).finish_non_exhaustive()
    }
}
