//! A configuration that is read again: what it changes while the daemon runs. Another store among it: the daemon says goodbye in the one it
//! has, and begins a new life in the other, with its listeners as they are.
//!
//! Always holds: nothing that was read from one store, and nothing that came of an action begun there, is taken into the view of the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::decide::{Decider, Subject};
use certfleet_core::view::View;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::door::FleetDoor;
use super::parts::{Life, executor};
use super::work::{Daemon, QUEUE};
use crate::central::Service;
use crate::config::Settings;
use crate::memory::MemoryLog;
use crate::observe::Seen;

/// How long the actions that are under way may go on before another store is taken up; what is being installed is always waited for.
const LEAVE_MS_MAX: u64 = 5_000;

/// On the way to another store.
#[derive(Debug)]
pub(super) struct Moving {
    settings: Settings,
    until: Instant,
}

impl Daemon {
    /// Takes up another configuration.
    pub async fn reload(&mut self, settings: Settings) {
        if self.settings.state != settings.state {
            tracing::error!(
                event = "reload-refused",
                "fleet.state cannot change while running; restart certfleet for it. The old configuration is kept"
            );
            return;
        }
        let executor = match executor(&settings, &self.kit, self.surroundings.as_ref()) {
            Ok(executor) => executor,
            Err(error) => return tracing::error!(event = "reload-refused", error = %error, "the old configuration is kept"),
        };
        if self.settings.store != settings.store {
            tracing::info!(event = "leaving-store", "another store is configured");
            self.shared.lock().view.local.leaving = true;
            self.moving = Some(Moving { settings, until: Instant::now() + Duration::from_millis(LEAVE_MS_MAX) });
            return;
        }
        if self.moving.take().is_some() {
            self.shared.lock().view.local.leaving = false;
        }
        self.executor = Arc::new(executor);
        self.follow(settings).await;
    }

    async fn follow(&mut self, settings: Settings) {
        self.settings = settings;
        self.answers_stale = true;
        let known = {
            let mut seen = self.shared.lock();
            seen.view.follow(self.settings.spec.clone());
            seen.view.me.configured = self.settings.roles.clone();
            seen.known.clone()
        };
        self.shared.publish_answers(&known, &self.settings.answer);
        self.listen().await;
        self.publish();
        tracing::info!(event = "reloaded", config = %self.settings.spec.hash);
    }

    /// When to look again whether the store may be changed; after that, whenever something ends.
    pub fn leaves_at(&self) -> Option<Instant> {
        self.moving.as_ref().map(|moving| moving.until).filter(|until| *until > Instant::now())
    }

    /// Whether another store is configured, and this one is done with.
    pub fn may_move(&self) -> bool {
        let Some(moving) = &self.moving else { return false };
        let busy = self.shared.lock().view.local.busy.clone();
        let installs = busy.iter().any(|subject| matches!(subject, Subject::Target(_) | Subject::StandIn(..)));
        !installs && (Instant::now() >= moving.until || (busy.is_empty() && self.has_let_go()))
    }

    /// Begins a new life in the configured store. What was begun in the old one comes to nothing.
    pub async fn move_over(&mut self) -> mpsc::Receiver<Seen> {
        // Dropped, they end.
        self.tasks = JoinSet::new();
        if let Some(Moving { settings, .. }) = self.moving.take() {
            match Life::begin(&settings, &self.identity, (&self.clock, &self.metrics), self.surroundings.as_ref()) {
                Ok(life) => self.begin(life, settings).await,
                Err(error) => {
                    let local = &mut self.shared.lock().view.local;
                    local.leaving = false;
                    local.busy.clear();
                    local.claiming.clear();
                    tracing::error!(event = "reload-refused", error = %error, "the old configuration is kept");
                }
            }
        }
        self.observe()
    }

    async fn begin(&mut self, life: Life, settings: Settings) {
        let Life { mut view, kit, executor } = life;
        self.seed = certfleet_core::hash::draw(&[view.me.incarnation.as_str()]);
        (self.done, self.finished) = mpsc::channel(QUEUE);
        (self.kit, self.executor) = (kit, Arc::new(executor));
        self.listeners.serve(Service::new(self.kit.store.clone(), Arc::new(FleetDoor { shared: self.shared.clone() }))).await;
        self.forget_answered();
        self.memory = MemoryLog::new(&settings.state);
        self.sight_stale = true;
        self.told = BTreeSet::new();
        {
            let mut seen = self.shared.lock();
            view.local.stood_in.clone_from(&seen.view.local.stood_in);
            remember(&mut view, &seen.view);
            (seen.view, seen.decider) = (view, Decider::default());
        }
        tracing::info!(event = "store-changed", incarnation = %self.shared.lock().view.me.incarnation);
        self.follow(settings).await;
    }
}

/// What is not on disk yet, only the life that ends knows.
fn remember(view: &mut View, before: &View) {
    for cert in &before.local.unsaved {
        if let Some(memory) = before.local.memory.get(cert) {
            view.local.memory.insert(cert.clone(), *memory);
            view.local.unsaved.insert(cert.clone());
        }
    }
}
