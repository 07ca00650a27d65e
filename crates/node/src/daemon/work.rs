//! What the loop does with each message, and what it starts after it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use certfleet_core::decide::{Subject, decide};
use certfleet_core::key::Key;
use certfleet_core::names::NodeName;
use certfleet_core::view::{Me, StoreState, View};
use certfleet_store::Store;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::door::FleetDoor;
use super::listeners::{Listeners, Members};
use super::parts::{DaemonError, Kit, executor};
use super::state::Shared;
use super::surroundings::Surroundings;
use crate::central::Service;
use crate::clock::Clock;
use crate::config::Settings;
use crate::executor::{Executed, Executor, Found};
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::memory::{self, KnownAnswers};
use crate::metrics::Metrics;
use crate::observe::{Seen, observe};
use crate::trust::Pen;

/// How many messages may wait for the loop.
pub(super) const QUEUE: usize = 256;

/// A daemon: its view, and what its loop does with each message.
pub(super) struct Daemon {
    settings: Settings,
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    kit: Kit,
    executor: Arc<Executor>,
    surroundings: Arc<dyn Surroundings>,
    tasks: JoinSet<()>,
    clock: Arc<dyn Clock>,
    seed: u64,
    look_again: Arc<Notify>,
    done: mpsc::Sender<Executed>,
    pub finished: mpsc::Receiver<Executed>,
    listeners: Listeners,
    kept: memory::Memories,
    answers_stale: bool,
    /// Who is in, what is placed where, or whether the store is there, may be another since it was last told.
    sight_stale: bool,
    told: BTreeSet<String>,
}

impl Daemon {
    pub fn new(settings: Settings, identity: Identity, surroundings: Arc<dyn Surroundings>) -> Result<Self, DaemonError> {
        let clock = surroundings.clock();
        let metrics = Arc::new(Metrics::default());
        let me = Me {
            node: identity.node.clone(),
            incarnation: surroundings.incarnation()?,
            identity: identity.identity.clone(),
            fleet: identity.fleet.clone(),
            verifying_keys: identity.verifying_keys.clone(),
            configured: settings.roles.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let seed = certfleet_core::hash::draw(&[me.incarnation.as_str()]);
        tracing::info!(event = "started", node = %me.node, fleet = %identity.fleet_name, incarnation = %me.incarnation, version = %me.version);
        let mut view = View::new(me, settings.spec.clone());
        let kept = memory::load(&settings.state)?;
        view.local.memory.clone_from(&kept);
        let keeper = Keeper::new(&settings.state);
        for (key, envelope) in keeper.all("") {
            view.recall(&key, &envelope, clock.now().mono);
        }
        let mut known = KnownAnswers::load(&settings.state)?.unwrap_or_default();
        known.names.extend(view.managed_names());
        let store = surroundings.store(&settings, &identity);
        let roster = Arc::new(ArcSwap::from_pointee(view.roster.clone()));
        let shared = Arc::new(Shared::new(view, known.clone(), surroundings.answers(), metrics.clone(), clock.clone()));
        shared.publish_answers(&known, &settings.answer);
        let kit = Kit { pen: Pen::new(&identity), roster, keeper, store: store.clone(), clock: clock.clone(), metrics };
        let executor = Arc::new(executor(&settings, &kit, surroundings.as_ref())?);
        let service = Service::new(store.clone(), Arc::new(FleetDoor { shared: shared.clone() }));
        let listeners = Listeners::new(shared.clone(), Members { service, key: identity.signing_key.clone() });
        let (done, finished) = mpsc::channel(QUEUE);
        let look_again = Arc::new(Notify::new());
        Ok(Self {
            settings,
            shared,
            store,
            kit,
            executor,
            surroundings,
            tasks: JoinSet::new(),
            clock,
            seed,
            look_again,
            done,
            finished,
            listeners,
            kept,
            answers_stale: true,
            sight_stale: true,
            told: BTreeSet::new(),
        })
    }

    /// Decides and starts what the plan says; gives the moment to decide again.
    pub fn turn(&mut self) -> Instant {
        while self.tasks.try_join_next().is_some() {}
        let now = self.clock.now();
        let mut seen = self.shared.lock();
        seen.view.local.lag = self.store.visibility_delay();
        seen.view.local.withholds = self.store.withholds();
        let plan = decide(&seen.view, now, self.seed);
        seen.view.begin(&plan);
        seen.store = self.store.kind();
        for (subject, action) in plan.actions.iter().cloned() {
            let (executor, done) = (self.executor.clone(), self.done.clone());
            let task = async move {
                // Nobody listens any more only where the daemon has ended.
                let _ = done.send(executor.execute(subject, action).await).await;
            };
            self.surroundings.start(&mut self.tasks, Box::pin(task));
        }
        let wake_at = plan.wake_at;
        let news: Vec<String> = plan.troubles.iter().filter(|trouble| !self.told.contains(*trouble)).cloned().collect();
        let over: Vec<String> = self.told.iter().filter(|trouble| !plan.troubles.contains(*trouble)).cloned().collect();
        self.told.clone_from(&plan.troubles);
        seen.plan = plan;
        drop(seen);
        if std::mem::take(&mut self.sight_stale) {
            self.shared.tell_changed();
        }
        news.iter().for_each(|trouble| tracing::warn!(event = "trouble", "{trouble}"));
        over.iter().for_each(|trouble| tracing::info!(event = "trouble-over", "{trouble}"));
        let wait = wake_at.map_or(Duration::from_secs(3600), |moment| moment.since(now.mono));
        Instant::now() + wait
    }

    /// Takes in what is waiting without deciding in between.
    pub fn drain(&mut self, seen: &mut mpsc::Receiver<Seen>) {
        for _ in 0..QUEUE {
            if let Ok(executed) = self.finished.try_recv() {
                self.executed(executed);
            } else if let Ok(what) = seen.try_recv() {
                self.saw(what);
            } else {
                break;
            }
        }
        self.keep_memory();
        self.publish();
    }

    pub fn saw(&mut self, what: Seen) {
        let now = self.clock.now();
        let mut seen = self.shared.lock();
        seen.view.local.withholds = self.store.withholds();
        self.sight_stale |= match &what {
            Seen::Some(found, _) => bears_on_sight(found),
            Seen::Everything(..) | Seen::Away(_) => true,
            Seen::Beats(_) => false,
        };
        match what {
            Seen::Away(why) => {
                seen.view.local.store = StoreState::Away(why);
                return;
            }
            Seen::Everything(found, unreadable) => {
                let there: BTreeSet<&Key> = found.iter().map(|(key, _)| key).chain(unreadable.iter().map(|value| &value.key)).collect();
                let gone: Vec<Key> = seen.view.known_keys().into_iter().filter(|key| !there.contains(key)).collect();
                for key in gone {
                    seen.view.apply(&key, None, now.mono);
                }
                self.answers_stale = true;
                self.kit.take_in(&mut seen.view, &found, unreadable, now.mono);
                seen.view.store_is_back(now.mono);
            }
            Seen::Beats(nodes) => nodes.iter().for_each(|node| seen.view.heard(node, now.mono)),
            Seen::Some(found, unreadable) => {
                self.answers_stale |= bears_on_answers(&found);
                self.kit.take_in(&mut seen.view, &found, unreadable, now.mono);
            }
        }
        seen.view.local.store = StoreState::Ready;
    }

    pub fn executed(&mut self, executed: Executed) {
        let now = self.clock.now();
        let mut seen = self.shared.lock();
        self.answers_stale |= bears_on_answers(&executed.found);
        self.sight_stale |= bears_on_sight(&executed.found) || executed.store_away.is_some();
        self.kit.take_in(&mut seen.view, &executed.found, Vec::new(), now.mono);
        seen.view.absorb(&executed.subject, executed.outcome, now);
        if let Some(why) = executed.store_away {
            seen.view.local.store = StoreState::Away(why);
            self.look_again.notify_one();
        }
    }

    /// What was seen is on disk before anything is decided by it.
    fn keep_memory(&mut self) {
        let seen = self.shared.lock();
        if seen.view.local.memory == self.kept {
            return;
        }
        self.kept.clone_from(&seen.view.local.memory);
        drop(seen);
        if let Err(error) = memory::save(&self.settings.state, &self.kept) {
            tracing::error!(event = "memory-not-kept", error = %error);
        }
    }

    /// What is answered follows the view while the store is there, and is remembered for when it is not.
    pub fn publish(&mut self) {
        let mut seen = self.shared.lock();
        if !self.answers_stale || seen.view.membership().is_err() {
            return;
        }
        self.answers_stale = false;
        let known = KnownAnswers::of(&seen.view);
        if known == seen.known {
            return;
        }
        seen.known = known.clone();
        drop(seen);
        self.shared.publish_answers(&known, &self.settings.answer);
        if let Err(error) = known.save(&self.settings.state) {
            tracing::error!(event = "answers-not-kept", error = %error);
        }
    }

    /// This node's name.
    pub fn node(&self) -> NodeName {
        self.kit.pen.node().clone()
    }

    /// Every target has a file: the web servers can start.
    pub fn is_ready(&self) -> bool {
        let seen = self.shared.lock();
        let waiting = seen.view.local.busy.iter().any(|subject| matches!(subject, Subject::StandIn(..)));
        !waiting
    }

    pub fn leave(&mut self) {
        tracing::info!(event = "stopping");
        self.shared.lock().view.local.leaving = true;
    }

    /// Whether nothing is held any more, the fleet knows that this node goes, and what it wrote about that was told.
    pub fn has_let_go(&self) -> bool {
        let seen = self.shared.lock();
        let said = seen
            .view
            .local
            .beaten_at
            .as_ref()
            .is_none_or(|(_, presence)| presence.state == certfleet_core::records::PresenceState::Leaving);
        let away = seen.view.membership().is_err();
        let holds = seen.view.certs.values().filter_map(|cert| cert.value.attempt.as_ref()?.holder.as_ref());
        let mut holds = holds.filter(|holder| holder.incarnation == seen.view.me.incarnation);
        let writing = seen.view.local.busy.iter().any(|subject| matches!(subject, Subject::Presence | Subject::Cert(_)));
        away || (said && !writing && holds.next().is_none())
    }

    /// Listens where the settings say.
    pub async fn listen(&mut self) {
        if self.surroundings.listens() {
            self.listeners.follow(&self.settings).await;
        }
    }

    /// Reads the store from now on and tells what is seen.
    pub fn observe(&mut self, seen: mpsc::Sender<Seen>) {
        let observing = observe(self.store.clone(), self.node(), seen, self.look_again.clone());
        self.surroundings.start(&mut self.tasks, Box::pin(observing));
    }

    pub async fn reload(&mut self, settings: Settings) {
        if let Some(fixed) = fixed_difference(&self.settings, &settings) {
            tracing::error!(
                event = "reload-refused",
                "{fixed} cannot change while running; restart certfleet for it. The old configuration is kept"
            );
            return;
        }
        match executor(&settings, &self.kit, self.surroundings.as_ref()) {
            Err(error) => tracing::error!(event = "reload-refused", error = %error, "the old configuration is kept"),
            Ok(executor) => {
                self.executor = Arc::new(executor);
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
        }
    }
}

fn fixed_difference(old: &Settings, new: &Settings) -> Option<&'static str> {
    match () {
        () if old.store != new.store => Some("fleet.store"),
        () if old.state != new.state => Some("fleet.state"),
        () => None,
    }
}

/// Whether who is in, or what is placed where, may have changed.
fn bears_on_sight(found: &[Found]) -> bool {
    found.iter().any(|(key, _)| ["fleet", "nodes", "certs"].iter().any(|prefix| key.is_under(prefix)))
}

/// Whether what is answered may have changed; looking costs all certificates, so it is done only then.
fn bears_on_answers(found: &[Found]) -> bool {
    found.iter().any(|(key, _)| key.is_under("certs") || key.is_under("accounts"))
}
