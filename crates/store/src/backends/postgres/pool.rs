//! A few connections, made when they are needed and closed when they were not for a while.
//!
//! Always holds: a connection answers one caller at a time, and one whose answer was lost is never used again.

use std::ops::Deref;
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
    /// One lock for all of it: whoever looks between two changes would think that this node has no connection.
    connections: Mutex<Connections>,
    returned: Notify,
}

#[derive(Default)]
struct Connections {
    idle: Vec<(Connection, Instant)>,
    /// How many callers have one now.
    leased: usize,
    /// When the server had none left.
    crowded: Option<Instant>,
}

/// What a caller without a connection can do.
enum Next {
    Use(Connection),
    Make,
    /// The server has none left, and another caller will return one.
    Wait,
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
        Arc::new(Self { target, slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)), connections: Mutex::default(), returned: Notify::new() })
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
        Ok(Leased { pool: self.clone(), connection: Some(connection), sound: false, _slot: slot })
    }

    /// It counts as leased.
    async fn idle_or_new(&self) -> Result<Connection, StoreError> {
        loop {
            let next = self.connections().next();
            match next {
                Next::Use(connection) => return Ok(connection),
                Next::Make => match self.target.connect().await {
                    Ok(connection) => {
                        self.connections().leased += 1;
                        return Ok(connection);
                    }
                    Err(error) if is_crowded(&error) && self.goes_on_crowded() => continue,
                    Err(error) => return Err(error),
                },
                Next::Wait => _ = timeout(Duration::from_millis(RETURN_WAIT_MS), self.returned.notified()).await,
            }
        }
    }

    /// The server has no connection left: whether those that this node has will do.
    fn goes_on_crowded(&self) -> bool {
        let mut connections = self.connections();
        connections.crowded = Some(Instant::now());
        connections.close_old();
        connections.leased > 0 || !connections.idle.is_empty()
    }

    /// After a connection was lost, the idle ones are most likely lost too.
    pub(super) fn forget_idle(&self) {
        self.connections().idle.clear();
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn next(&mut self) -> Next {
        self.close_old();
        // The one that was used last, so that the others grow old.
        if let Some((connection, _)) = self.idle.pop() {
            self.leased += 1;
            return Next::Use(connection);
        }
        let crowded = self.crowded.is_some_and(|since| since.elapsed() < Duration::from_millis(CROWDED_MS));
        if crowded && self.leased > 0 { Next::Wait } else { Next::Make }
    }

    fn close_old(&mut self) {
        self.idle.retain(|(connection, since)| !connection.is_closed() && since.elapsed() < Duration::from_secs(IDLE_SECONDS_MAX));
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
        let returned = self.connection.take().filter(|connection| self.sound && !connection.is_closed());
        let mut connections = self.pool.connections();
        connections.leased -= 1;
        connections.idle.extend(returned.map(|connection| (connection, Instant::now())));
        connections.close_old();
        drop(connections);
        self.pool.returned.notify_one();
    }
}
