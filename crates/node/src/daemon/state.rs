//! What the loop and the admin listener share: the view, the latest plan, and what is made of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use certfleet_core::decide::{Decider, Plan};
use certfleet_core::time::Now;
use certfleet_core::view::{StoreState, View};
use certfleet_edge::{AdminSource, AnswerTable, Answers, Health};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::AnswerSettings;
use crate::memory::KnownAnswers;
use crate::metrics::Metrics;
use crate::status::{Status, status};

/// What the loop and the admin listener share.
#[derive(Debug)]
pub struct Shared {
    seen: Mutex<Seen>,
    /// What challenges are answered with.
    pub answers: AnswerTable,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Rises when who is in, or what is placed where, may be another.
    changed: watch::Sender<u64>,
}

/// The view and what came of it last.
#[derive(Debug)]
pub struct Seen {
    /// What the node knows.
    pub view: View,
    /// What it has decided so far.
    pub decider: Decider,
    /// The kind of the store.
    pub store: &'static str,
    /// Listeners that could not be bound, and why.
    pub deaf: Vec<String>,
    /// Why what was seen is not on disk, if it is not.
    pub unkept: Option<String>,
    /// What is answered now.
    pub known: KnownAnswers,
}

impl Seen {
    /// The latest plan, without its actions.
    pub fn plan(&self) -> &Plan {
        self.decider.plan()
    }
}

impl Shared {
    /// Starts with what earlier lives of this node knew.
    pub fn new(view: View, known: KnownAnswers, answers: AnswerTable, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        let seen = Seen { view, decider: Decider::default(), store: "unknown", deaf: Vec::new(), unkept: None, known };
        Self { seen: Mutex::new(seen), answers, metrics, clock, changed: watch::Sender::new(0) }
    }

    /// Whoever follows [`Self::changes`] looks again.
    pub fn tell_changed(&self) {
        self.changed.send_modify(|times| *times += 1);
    }

    /// Changes when who is in, or what is placed where, may have.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// The shared part. A panic elsewhere leaves it usable: it is changed only whole.
    pub fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what is known into the table that the listeners read.
    pub fn publish_answers(&self, known: &KnownAnswers, settings: &AnswerSettings) {
        let by_name = settings.thumbprints.iter().chain(&known.by_name).cloned();
        let answers = Answers::new(known.names.iter().cloned(), known.thumbprint.clone(), by_name, settings.redirect);
        self.answers.store(Arc::new(answers));
    }

    /// The document of `status`.
    pub fn document(&self) -> Status {
        let seen = self.lock();
        let mut document = status(&seen.view, seen.plan(), seen.store, self.clock.now());
        document.troubles.extend(seen.deaf.iter().chain(&seen.unkept).cloned());
        document
    }
}

impl AdminSource for Shared {
    fn status(&self) -> String {
        serde_json::to_string_pretty(&self.document()).unwrap_or_default()
    }

    /// Healthy is a node that knows its fleet and whose listeners are there; what it says otherwise names each reason.
    fn healthy(&self) -> Health {
        let seen = self.lock();
        let mut reasons: Vec<String> = seen.view.membership().err().into_iter().collect();
        reasons.extend(seen.plan().troubles.iter().filter(|trouble| !reasons.contains(trouble)).cloned().collect::<Vec<_>>());
        reasons.extend(seen.deaf.iter().chain(&seen.unkept).cloned());
        health(reasons)
    }

    /// Ready is a node that has looked at its store, and whose targets all have a file: the web servers can start.
    fn ready(&self) -> Health {
        let seen = self.lock();
        let without = seen.view.targets_without_file();
        let mut reasons: Vec<String> = without.map(|(cert, target, _)| format!("deploy.{target} has no file for {cert} yet")).collect();
        if seen.view.local.store == StoreState::Unread {
            reasons.push("the store has not been read yet".into());
        }
        health(reasons)
    }

    fn metrics(&self) -> String {
        self.metrics.render(&self.lock().view, self.clock.now())
    }
}

fn health(reasons: Vec<String>) -> Health {
    if reasons.is_empty() {
        return Health { ok: true, text: "ok\n".into() };
    }
    Health { ok: false, text: reasons.iter().map(|reason| format!("{reason}\n")).collect() }
}
