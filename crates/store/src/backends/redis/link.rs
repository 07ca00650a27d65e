//! The connection of a handle: one at a time, made anew when it is lost, with the subscription that watching needs.
//!
//! Always holds: a connection is subscribed before it is used, and whoever watches is told to list again when a second one is; so nothing
//! is missed between two. A call goes to one connection and is never repeated here: whether a lost one took place is for the caller.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use certfleet_core::key::Key;
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::Notify;

use super::connect::{connect, master};
use super::fault::Fault;
use super::inspect::inspect;
use super::url::{Address, Endpoint, RedisUrl};
use crate::error::StoreError;
use crate::watch::WatchFeed;

/// How often a connection on which nothing goes wrong is looked at.
const LOOK_SECONDS: u64 = 20;
/// Wait before a lost connection is made anew for the second time; doubled for each further one …
const AGAIN_MS_MIN: u64 = 100;
/// … up to this.
const AGAIN_MS_MAX: u64 = 5_000;

/// What a handle shares with the task that keeps its connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) url: RedisUrl,
    /// Where changes are told.
    pub(super) channel: String,
    current: tokio::sync::Mutex<Current>,
    feeds: Mutex<Vec<WatchFeed>>,
    /// Wakes the keeper: the connection or the handle is gone.
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Current {
    session: Option<Session>,
    /// When connecting last failed, and why: for those who wanted the same.
    failed: Option<(Instant, StoreError)>,
    /// The last server that was spoken of in the log.
    seen: Option<Address>,
}

/// A connection that was fit for use when it was made.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) address: Address,
    pub(super) connection: MultiplexedConnection,
    is_over: Arc<AtomicBool>,
}

impl Link {
    /// A link that is not connected yet, and the task that keeps it.
    pub(super) fn new(url: RedisUrl) -> Arc<Self> {
        let channel = format!("{}changes", url.prefix);
        let wake = Arc::new(Notify::new());
        let link = Arc::new(Self { url, channel, current: Default::default(), feeds: Default::default(), wake: wake.clone() });
        tokio::spawn(keep(Arc::downgrade(&link), wake));
        link
    }

    /// A connection that is not known to be lost; a new one if need be.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Session, StoreError> {
        let wanted_at = Instant::now();
        let mut current = self.current.lock().await;
        if let Some(session) = current.session.as_ref().filter(|session| !session.is_over.load(Ordering::Acquire)) {
            return Ok(session.clone());
        }
        if let Some((at, error)) = &current.failed
            && *at >= wanted_at
        {
            return Err(error.clone());
        }
        let is_first = current.session.take().is_none() && current.seen.is_none();
        match self.connect(&mut current.seen).await {
            Ok(session) => {
                current.session = Some(session.clone());
                current.failed = None;
                if !is_first {
                    self.feeds().iter().for_each(WatchFeed::reset);
                }
                Ok(session)
            }
            Err(error) => {
                current.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Tells `feed` what changes. Nothing is missed once [`Link::session`] has answered after this.
    pub(super) fn tell(&self, feed: WatchFeed) {
        self.feeds().push(feed);
    }

    /// What a failed call means; a connection that is of no use any more is given up.
    pub(super) fn fault(&self, session: &Session, error: &RedisError) -> Fault {
        let fault = Fault::of(&session.address, error);
        if fault.is_over {
            self.give_up(session);
        }
        fault
    }

    fn give_up(&self, session: &Session) {
        session.is_over.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    async fn connect(self: &Arc<Self>, seen: &mut Option<Address>) -> Result<Session, StoreError> {
        let address = master(&self.url).await?;
        let is_over = Arc::new(AtomicBool::new(false));
        let told = {
            let (link, is_over) = (Arc::downgrade(self), is_over.clone());
            move |push| take(&link, &is_over, push)
        };
        let mut connection = connect(&self.url, &address, told).await?;
        let fault = |error| Fault::of(&address, &error).error;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(fault)?;
        let report = inspect(&address, &info)?;
        connection.subscribe(&self.channel).await.map_err(fault)?;
        if seen.as_ref() != Some(&address) {
            if !report.is_persistent {
                tracing::warn!(server = %address, "Redis keeps the store in memory (`appendonly no`): it may lose the last writes when it restarts");
            }
            tracing::info!(server = %address, "connected to Redis");
            *seen = Some(address.clone());
        }
        Ok(Session { address, connection, is_over })
    }

    /// Finds out whether the connection still leads to the master, and that is fit for use; one that does not is given up.
    async fn look(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut session = self.session().await?;
        let info = redis::cmd("INFO").query_async::<String>(&mut session.connection).await;
        let info = info.map_err(|error| self.fault(&session, &error).error)?;
        if let Err(error) = inspect(&session.address, &info) {
            self.give_up(&session);
            return Err(error);
        }
        let is_found = matches!(self.url.endpoint, Endpoint::Sentinel { .. });
        if is_found && master(&self.url).await.is_ok_and(|master| master != session.address) {
            self.give_up(&session);
        }
        Ok(())
    }

    /// Those that are still read.
    fn feeds(&self) -> MutexGuard<'_, Vec<WatchFeed>> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| !feed.is_closed());
        feeds
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// What the server tells unasked.
fn take(link: &Weak<Link>, is_over: &AtomicBool, push: PushInfo) -> Result<(), ()> {
    let Some(link) = link.upgrade() else { return Err(()) };
    match (push.kind, &push.data[..]) {
        (PushKind::Disconnection, _) => {
            is_over.store(true, Ordering::Release);
            link.wake.notify_one();
        }
        (PushKind::Message, [_, Value::BulkString(key)]) => match std::str::from_utf8(key).ok().and_then(|key| key.parse::<Key>().ok()) {
            Some(key) => link.feeds().iter().for_each(|feed| feed.changed(&key)),
            None => link.feeds().iter().for_each(WatchFeed::reset),
        },
        _ => {}
    }
    Ok(())
}

/// Keeps the link connected until its handle is dropped, so that watchers are told while nobody calls.
async fn keep(link: Weak<Link>, wake: Arc<Notify>) {
    let mut wait = Duration::from_secs(LOOK_SECONDS);
    let mut again_ms = AGAIN_MS_MIN;
    loop {
        let woken = tokio::time::timeout(wait, wake.notified()).await.is_ok();
        let Some(link) = link.upgrade() else { return };
        let looked = if woken { link.session().await.map(|_| ()) } else { link.look().await };
        match looked {
            Ok(()) => {
                wait = Duration::from_secs(LOOK_SECONDS);
                again_ms = AGAIN_MS_MIN;
            }
            Err(error) => {
                tracing::debug!(%error, "Redis is away");
                wait = Duration::from_millis(again_ms);
                again_ms = (again_ms * 2).min(AGAIN_MS_MAX);
            }
        }
    }
}
