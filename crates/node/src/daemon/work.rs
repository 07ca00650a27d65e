//! What the loop does with each message, and what it starts after it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::decide::Subject;
use certfleet_core::key::Key;
use certfleet_core::mutants::has_any as has_any_mutant;
use certfleet_core::names::NodeName;
use certfleet_core::view::{StoreState, View};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::door::FleetDoor;
use super::listeners::{Listeners, Members};
use super::moving::Moving;
use super::news::tell_apart;
use super::parts::{DaemonError, Kit, Life};
use super::state::{Seen as SharedSeen, Shared};
use super::surroundings::Surroundings;
use crate::central::Service;
use crate::clock::Clock;
use crate::config::Settings;
use crate::executor::{Executed, Executor, Found};
use crate::identity::Identity;
use crate::memory::{AnswersAt, KnownAnswers, MemoryLog};
use crate::metrics::Metrics;
use crate::observe::{Seen, observe};

/// How many messages may wait for the loop.
pub(super) const QUEUE: usize = 256;
/// A development build compares so many of its decisions with those by the view as a whole: one in this many.
const TURNS_BETWEEN_CHECKS: u64 = 64;

/// A daemon: its view, and what its loop does with each message.
pub(super) struct Daemon {
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
    pub(super) kit: Kit,
    pub(super) executor: Arc<Executor>,
    pub(super) surroundings: Arc<dyn Surroundings>,
    pub(super) tasks: JoinSet<()>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) seed: u64,
    look_again: Arc<Notify>,
    pub(super) done: mpsc::Sender<Executed>,
    pub finished: mpsc::Receiver<Executed>,
    pub(super) listeners: Listeners,
    pub(super) memory: MemoryLog,
    pub(super) answers_stale: bool,
    /// What is answered is on disk.
    pub(super) answers_kept: bool,
    /// What the answers were made of when they were told last.
    answered: Option<AnswersAt>,
    /// Who is in, what is placed where, or whether the store is there, may be another since it was last told.
    pub(super) sight_stale: bool,
    /// How often it has decided.
    turns: u64,
    pub(super) told: BTreeSet<String>,
    pub(super) moving: Option<Moving>,
}

impl Daemon {
    pub fn new(settings: Settings, identity: Identity, surroundings: Arc<dyn Surroundings>) -> Result<Self, DaemonError> {
        let clock = surroundings.clock();
        let metrics = Arc::new(Metrics::default());
        let Life { view, kit, executor } = Life::begin(&settings, &identity, (&clock, &metrics), surroundings.as_ref())?;
        let me = &view.me;
        let seed = certfleet_core::hash::draw(&[me.incarnation.as_str()]);
        tracing::info!(event = "started", node = %me.node, fleet = %identity.fleet_name, incarnation = %me.incarnation, version = %me.version);
        let memory = MemoryLog::new(&settings.state);
        let mut known = KnownAnswers::load(&settings.state)?.unwrap_or_default();
        known.names.extend(view.managed_names());
        let shared = Arc::new(Shared::new(view, known.clone(), surroundings.answers(), metrics.clone(), clock.clone()));
        shared.publish_answers(&known, &settings.answer);
        let door = Arc::new(FleetDoor { shared: shared.clone() });
        surroundings.serves(door.clone());
        let service = Service::new(kit.store.clone(), door);
        let listeners = Listeners::new(shared.clone(), Members { service, key: identity.signing_key.clone() });
        let (done, finished) = mpsc::channel(QUEUE);
        let look_again = Arc::new(Notify::new());
        Ok(Self {
            settings,
            shared,
            identity,
            kit,
            executor: Arc::new(executor),
            surroundings,
            tasks: JoinSet::new(),
            clock,
            metrics,
            seed,
            look_again,
            done,
            finished,
            listeners,
            memory,
            answers_stale: true,
            answers_kept: true,
            answered: None,
            sight_stale: true,
            turns: 0,
            told: BTreeSet::new(),
            moving: None,
        })
    }

    /// Decides and starts what the plan says; gives the moment to decide again.
    pub fn turn(&mut self) -> Instant {
        while self.tasks.try_join_next().is_some() {}
        let now = self.clock.now();
        let mut seen = self.shared.lock();
        seen.view.local.lag = self.kit.store.visibility_delay();
        seen.view.local.withholds = self.kit.store.withholds();
        let SharedSeen { view, decider, .. } = &mut *seen;
        // Whoever develops pays for seeing that nothing was overlooked; what was overlooked stays, so now and then is enough.
        self.turns += 1;
        let is_checked = cfg!(debug_assertions) && !has_any_mutant() && self.turns.is_multiple_of(TURNS_BETWEEN_CHECKS);
        let actions = if is_checked { decider.decide_checked(view, now, self.seed) } else { decider.decide(view, now, self.seed) };
        seen.store = self.kit.store.kind();
        for (subject, action) in actions {
            let (executor, done) = (self.executor.clone(), self.done.clone());
            let task = async move {
                // Nobody listens any more only where the daemon has ended.
                let _ = done.send(executor.execute(subject, action).await).await;
            };
            self.surroundings.start(&mut self.tasks, Box::pin(task));
        }
        let wake_at = seen.plan().wake_at;
        let (news, over) = tell_apart(&mut self.told, &seen.plan().troubles);
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
        self.publish();
        self.keep();
    }

    pub fn saw(&mut self, what: Seen) {
        let now = self.clock.now();
        let mut seen = self.shared.lock();
        seen.view.local.withholds = self.kit.store.withholds();
        self.sight_stale |= match &what {
            Seen::Some(found, _) => bears_on_sight(found),
            Seen::Everything(..) | Seen::Away(_) => true,
            Seen::Beats(_) => false,
        };
        match what {
            Seen::Away(why) => seen.view.local.store = StoreState::Away(why),
            Seen::Everything(found, unreadable) => {
                let there: BTreeSet<Key> =
                    found.iter().map(|(key, _)| key).chain(unreadable.iter().map(|value| &value.key)).cloned().collect();
                self.answers_stale = true;
                self.kit.take_in(&mut seen.view, &found, unreadable, now.mono);
                for key in seen.view.known_keys().into_iter().filter(|key| !there.contains(key)) {
                    seen.view.apply(&key, None, now.mono);
                }
                seen.view.store_is_back(now.mono);
                seen.view.local.store = StoreState::Ready;
            }
            Seen::Beats(nodes) => nodes.iter().for_each(|node| seen.view.heard(node, now.mono)),
            Seen::Some(found, unreadable) => {
                self.answers_stale |= bears_on_answers(&found);
                let is_whole = self.kit.take_in(&mut seen.view, &found, unreadable, now.mono);
                seen.view.local.store = StoreState::Ready;
                self.read_all_unless(is_whole, &mut seen.view);
            }
        }
    }

    pub fn executed(&mut self, executed: Executed) {
        let now = self.clock.now();
        let mut seen = self.shared.lock();
        self.answers_stale |= bears_on_answers(&executed.found);
        self.sight_stale |= bears_on_sight(&executed.found) || executed.store_away.is_some();
        let is_whole = self.kit.take_in(&mut seen.view, &executed.found, Vec::new(), now.mono);
        seen.view.absorb(&executed.subject, executed.outcome, now);
        if let Some(why) = executed.store_away {
            seen.view.local.store = StoreState::Away(why);
            self.look_again.notify_one();
        }
        self.read_all_unless(is_whole, &mut seen.view);
    }

    /// A store that the fleet lives in from now on was not taken in while it did not.
    fn read_all_unless(&self, is_whole: bool, view: &mut View) {
        if !is_whole {
            view.local.store = StoreState::Unread;
            self.look_again.notify_one();
        }
    }

    /// What is answered follows the view while the store is there, and is remembered for when it is not.
    pub fn publish(&mut self) {
        let mut seen = self.shared.lock();
        if !self.answers_stale || seen.view.membership().is_err() {
            return;
        }
        self.answers_stale = false;
        let made_of = AnswersAt::of(&seen.view);
        if self.answered.as_ref() == Some(&made_of) {
            return;
        }
        self.answered = Some(made_of);
        let known = KnownAnswers::of(&seen.view);
        if known == seen.known {
            return;
        }
        seen.known = known.clone();
        drop(seen);
        self.shared.publish_answers(&known, &self.settings.answer);
        self.answers_kept = false;
    }

    /// Another view counts its changes anew.
    pub(super) fn forget_answered(&mut self) {
        self.answered = None;
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
        let holds = seen.view.certs.held_by(&seen.view.me.node).filter_map(|(_, attempt)| attempt.holder.as_ref());
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
    pub fn observe(&mut self) -> mpsc::Receiver<Seen> {
        let (tell, seen) = mpsc::channel(QUEUE);
        let observing = observe(self.kit.store.clone(), self.node(), tell, self.look_again.clone());
        self.surroundings.start(&mut self.tasks, Box::pin(observing));
        seen
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
