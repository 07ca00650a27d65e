//! Change notices: one connection that listens, for all watchers of a store.
//!
//! Always holds: a watch is given out only while the server knows that we listen; after every lost connection, once we listen again, all
//! watchers get a reset, so that what was told to nobody is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certfleet_core::key::Key;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connect::{Connection, OnNotification, Target};
use super::fault::Failure;
use crate::error::StoreError;
use crate::watch::{Watch, WatchFeed};

/// Wait before the second try to connect; doubled for each further one.
const RETRY_MS_MIN: u64 = 100;
const RETRY_MS_MAX: u64 = 5_000;
/// How often a quiet connection is asked whether it still is one.
const CHECK_SECONDS: u64 = 60;
/// How long whoever begins to watch waits for the connection.
const START_SECONDS_MAX: u64 = 20;

/// The watchers, and whether they are told anything.
pub(super) struct Listener {
    target: Arc<Target>,
    feeds: Arc<Feeds>,
    state: watch::Sender<State>,
    /// Try to connect now.
    retry: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Connecting,
    Listening,
    Failed(StoreError),
}

#[derive(Default)]
struct Feeds(Mutex<Vec<WatchFeed>>);

impl Feeds {
    fn open(&self) -> MutexGuard<'_, Vec<WatchFeed>> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| !feed.is_closed());
        feeds
    }

    fn told(&self, payload: &str) {
        let feeds = self.open();
        match payload.parse::<Key>() {
            Ok(key) => feeds.iter().for_each(|feed| feed.changed(&key)),
            // The table was emptied, or someone else speaks on the channel.
            Err(_) => feeds.iter().for_each(WatchFeed::reset),
        }
    }

    fn reset(&self) {
        self.open().iter().for_each(WatchFeed::reset);
    }
}

impl Listener {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, feeds: Arc::default(), state: watch::channel(State::Connecting).0, retry: Arc::default(), task: Mutex::default() }
    }

    pub(super) async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        let (feed, watch) = Watch::channel(prefix);
        self.feeds.open().push(feed);
        let mut state = self.state.subscribe();
        self.start();
        let settled = timeout(Duration::from_secs(START_SECONDS_MAX), state.wait_for(|state| *state != State::Connecting)).await;
        match settled.as_ref().map(|state| state.as_deref()) {
            Ok(Ok(State::Listening)) => Ok(watch),
            Ok(Ok(State::Failed(error))) => Err(error.clone()),
            _ => {
                let why = format!("{} has not let us listen within {START_SECONDS_MAX} s", self.target.url.place());
                Err(StoreError::Away { why })
            }
        }
    }

    /// Once, and again if the run time on which it ran is gone; one that waits before its next try goes on at once.
    fn start(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            self.state.send_replace(State::Connecting);
            *task = Some(tokio::spawn(listen(self.target.clone(), self.feeds.clone(), self.state.clone(), self.retry.clone())));
        } else if self.state.send_if_modified(forget_failure) {
            self.retry.notify_one();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

fn forget_failure(state: &mut State) -> bool {
    let failed = matches!(state, State::Failed(_));
    if failed {
        *state = State::Connecting;
    }
    failed
}

/// Listens for ever.
async fn listen(target: Arc<Target>, feeds: Arc<Feeds>, state: watch::Sender<State>, retry: Arc<Notify>) {
    let mut first = true;
    let mut wait = Duration::from_millis(RETRY_MS_MIN);
    loop {
        match connect(&target, &feeds).await {
            Ok(mut connection) => {
                wait = Duration::from_millis(RETRY_MS_MIN);
                if !std::mem::take(&mut first) {
                    feeds.reset();
                }
                state.send_replace(State::Listening);
                ended(&mut connection).await;
                state.send_replace(State::Connecting);
                tracing::debug!(server = %connection.place(), "the connection that listens for changes was lost");
            }
            Err(error) => {
                state.send_replace(State::Failed(error));
                let _ = timeout(wait, retry.notified()).await;
                wait = (wait * 2).min(Duration::from_millis(RETRY_MS_MAX));
            }
        }
    }
}

async fn connect(target: &Target, feeds: &Arc<Feeds>) -> Result<Connection, StoreError> {
    let channel = format!("{}.records", target.url.schema);
    let on_notification = || -> OnNotification {
        let (feeds, channel) = (feeds.clone(), channel.clone());
        Box::new(move |told, payload| {
            if told == channel {
                feeds.told(payload);
            }
        })
    };
    let connection = target.connect_and(&on_notification).await?;
    connection.execute(&format!("LISTEN \"{channel}\"")).await.map_err(Failure::into_error)?;
    Ok(connection)
}

/// Waits until the connection is of no use any more.
async fn ended(connection: &mut Connection) {
    loop {
        if timeout(Duration::from_secs(CHECK_SECONDS), connection.closed()).await.is_ok() || connection.execute("").await.is_err() {
            return;
        }
    }
}
