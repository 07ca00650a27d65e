//! Change notices: told at once, or found by looking again and again; never over a line that brings no answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use certfleet_core::key::Key;
use certfleet_core::trust::VerifyingKey;
use certfleet_store::WatchFeed;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::Engine;
use super::entrance::Entrance;
use super::line::Sight;
use crate::link::Link;

/// One watch of one client.
#[derive(Debug)]
pub(super) struct Feed {
    who: String,
    feed: WatchFeed,
    link: Arc<Link>,
    sight: Arc<Mutex<Sight>>,
    entrance: Mutex<Entrance>,
    /// What has changed and was not found yet, and when.
    pending: Mutex<BTreeMap<Key, Instant>>,
    news: Notify,
}

impl Feed {
    /// Of a client that sees by `sight` what `entrance` shows.
    pub fn new(who: &str, feed: WatchFeed, link: &Arc<Link>, sight: &Arc<Mutex<Sight>>, entrance: Entrance) -> Arc<Self> {
        let (who, link, sight, entrance) = (who.to_owned(), link.clone(), sight.clone(), Mutex::new(entrance));
        Arc::new(Self { who, feed, link, sight, entrance, pending: Mutex::default(), news: Notify::new() })
    }

    /// Whose it is.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// By which key that one gets in, if it needs one.
    pub fn peer(&self) -> Option<VerifyingKey> {
        self.entrance().peer()
    }

    /// What it hears from now on; it reads again if that is something else.
    pub fn sees_by(&self, now: Entrance) {
        let before = std::mem::replace(&mut *self.entrance(), now.clone());
        if !before.is_like(&now) {
            self.reset();
        }
    }

    fn entrance(&self) -> MutexGuard<'_, Entrance> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is `who`'s.
    pub fn is_of(&self, who: &str) -> bool {
        self.who == who
    }

    /// Whether nobody reads it any more.
    pub fn is_closed(&self) -> bool {
        self.feed.is_closed()
    }

    /// Notices may have been lost.
    pub fn reset(&self) {
        self.feed.reset();
    }

    /// A key was changed.
    pub fn changed(&self, key: &Key, is_polled: bool) {
        if is_polled {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), Instant::now());
            self.news.notify_one();
        } else if !self.link.weather().is_mute() && self.entrance().hears(key) {
            self.feed.changed(key);
        }
    }

    /// Looks for changes until nobody reads. While nothing has changed, there is nothing to find.
    pub async fn poll(self: Arc<Self>, engine: Weak<Engine>) {
        loop {
            tokio::select! {
                biased;
                () = self.feed.closed() => return,
                () = self.news.notified() => {}
            }
            loop {
                let Some(pause) = engine.upgrade().and_then(|engine| engine.nature().poll) else { return };
                sleep(pause).await;
                let Some(engine) = engine.upgrade() else { return };
                if self.look(&engine) {
                    break;
                }
            }
        }
    }

    /// Tells what can be seen; gives whether that is all.
    fn look(&self, engine: &Engine) -> bool {
        if self.is_closed() {
            return true;
        }
        if self.link.weather().is_mute() || !engine.is_reachable(&self.who) {
            return false;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sight = self.sight.lock().unwrap_or_else(PoisonError::into_inner);
        let cache = engine.nature().cache;
        let seen: Vec<Key> = pending.iter().filter(|(key, at)| sight.of(key, cache) >= **at).map(|(key, _)| key.clone()).collect();
        for key in seen {
            pending.remove(&key);
            self.feed.changed(&key);
        }
        pending.is_empty()
    }
}
