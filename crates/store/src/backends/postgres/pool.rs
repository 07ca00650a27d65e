//! A few connections, made when they are needed and closed when they were not for a while.
//!
//! Always holds: a connection answers one caller at a time, and one whose answer was lost is never used again.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connect::{Connection, Target};
use super::fault::{Failure, is_crowded};
use crate::error::StoreError;

/// Connections beside the one that listens. `docs/store-postgres.md` states them.
const CONNECTIONS_MAX: usize = 4;
/// How long a caller waits for one.
const WAIT_SECONDS_MAX: u64 = 20;
/// One that was not used for so long is closed.
const IDLE_SECONDS_MAX: u64 = 90;
/// How long a server that had no connection left is not asked for one again, if this node has others.
const CROWDED_MS: u64 = 1000;
/// How long one of those is waited for before they are looked through again.
const RETURN_WAIT_MS: u64 = 100;

pub(super) struct Pool {
    target: Arc<Target>,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<(Connection, Instant)>>,
    returned: Notify,
    /// Connections that callers have now.
    leased: AtomicUsize,
    /// When the server had no connection left.
    crowded: Mutex<Option<Instant>>,
}

/// A connection for one caller.
pub(super) struct Leased {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    /// Whether it may be used again.
    sound: bool,
    _slot: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(target: Arc<Target>) -> Arc<Self> {
        Arc::new(Self {
            target,
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            idle: Mutex::default(),
            returned: Notify::new(),
            leased: AtomicUsize::new(0),
            crowded: Mutex::default(),
        })
    }

    /// A connection, an idle one if there is one. Fails only where nothing was sent.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Leased, StoreError> {
        let busy = || StoreError::Away {
            why: format!(
                "{} answers too slowly: all {CONNECTIONS_MAX} connections of this node were busy for {WAIT_SECONDS_MAX} s",
                self.target.url.place()
            ),
        };
        let limit = Duration::from_secs(WAIT_SECONDS_MAX);
        let slot = timeout(limit, self.slots.clone().acquire_owned()).await.map_err(|_| busy())?;
        let slot = slot.map_err(|_| busy())?;
        let connection = timeout(limit, self.idle_or_new()).await.map_err(|_| busy())??;
        self.leased.fetch_add(1, Ordering::SeqCst);
        Ok(Leased { pool: self.clone(), connection: Some(connection), sound: false, _slot: slot })
    }

    async fn idle_or_new(&self) -> Result<Connection, StoreError> {
        loop {
            if let Some(connection) = self.take_idle() {
                return Ok(connection);
            }
            // Where the server has no connection left, those that this node has will do.
            let others = self.leased.load(Ordering::SeqCst);
            if others == 0 || !self.is_crowded() {
                match self.target.connect().await {
                    Err(error) if others > 0 && is_crowded(&error) => *self.crowded() = Some(Instant::now()),
                    answer => return answer,
                }
            }
            let _ = timeout(Duration::from_millis(RETURN_WAIT_MS), self.returned.notified()).await;
        }
    }

    /// Whether the server had no connection left a moment ago.
    fn is_crowded(&self) -> bool {
        self.crowded().is_some_and(|since| since.elapsed() < Duration::from_millis(CROWDED_MS))
    }

    fn crowded(&self) -> MutexGuard<'_, Option<Instant>> {
        self.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, so that the others grow old.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < Duration::from_secs(IDLE_SECONDS_MAX));
        idle.pop().map(|(connection, _)| connection)
    }

    /// After a connection was lost, the idle ones are most likely lost too.
    pub(super) fn forget_idle(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leased {
    /// Gives it back for others to use, if the answer shows that it is sound.
    pub(super) fn after<T>(&mut self, answer: &Result<T, Failure>) {
        self.sound = !matches!(answer, Err(Failure::Lost(_)));
        if !self.sound {
            self.pool.forget_idle();
        }
    }
}

impl Deref for Leased {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is taken out only when this is dropped")
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(|connection| self.sound && !connection.is_closed()) {
            let mut idle = self.pool.idle();
            idle.retain(|(_, since)| since.elapsed() < Duration::from_secs(IDLE_SECONDS_MAX));
            idle.push((connection, Instant::now()));
        }
        self.pool.leased.fetch_sub(1, Ordering::SeqCst);
        self.pool.returned.notify_one();
    }
}
