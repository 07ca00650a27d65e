//! A world: machines, a store, a CA, and who sees everything that happens.
//!
//! Always holds: an observer only looks. What it finds wrong stands in the history, and ends the run.

mod ca;
mod events;
mod servers;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{CertRecord, Placed};
use certfleet_core::spec::Role;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::ca::{Ca, Habits, Limit};
use crate::draw::Draw;
use crate::engine::Engine;
use crate::fleet::FIRST;
use crate::history::History;
use crate::machine::{Machine, Site};
use crate::shape::Shape;
use crate::watch::{Checkers, Withheld};

/// A world.
#[derive(Debug)]
pub struct World {
    /// What all machines share.
    pub site: Site,
    /// Who sees everything.
    pub observer: Arc<Observer>,
}

/// Who sees everything.
#[derive(Debug)]
pub struct Observer {
    /// What happened.
    pub history: Arc<History>,
    /// To which nodes the names point.
    answering: Vec<NodeName>,
    /// Which nodes issue.
    issuing: Vec<NodeName>,
    machines: Mutex<BTreeMap<NodeName, Machine>>,
    /// Copies of machines that run, by whose.
    twins: Mutex<BTreeMap<NodeName, Machine>>,
    checkers: Mutex<Checkers>,
    placed: Mutex<BTreeMap<(CertName, String), Placed>>,
    /// Which certificate is placed now, and since when.
    placed_at: Mutex<BTreeMap<CertName, (String, Instant)>>,
    /// The serial numbers of those that restored backups placed.
    restored: Mutex<BTreeSet<String>>,
    draw: Mutex<Draw>,
    /// Told at each step of an attempt.
    pub steps: Notify,
    engine: OnceLock<Weak<Engine>>,
    ca: OnceLock<Weak<Ca>>,
}

impl World {
    /// One without machines.
    pub fn new(habits: Habits, shape: &Shape, draw: &Draw) -> Self {
        let history = Arc::new(History::default());
        let observer = Arc::new(Observer {
            history: history.clone(),
            answering: shape.with_role(Role::Answer),
            issuing: shape.with_role(Role::Issue),
            machines: Mutex::default(),
            twins: Mutex::default(),
            checkers: Mutex::new(Checkers::of(withheld(shape))),
            placed: Mutex::default(),
            placed_at: Mutex::default(),
            restored: Mutex::default(),
            draw: Mutex::new(draw.fork("vantage points")),
            steps: Notify::new(),
            engine: OnceLock::new(),
            ca: OnceLock::new(),
        });
        let engine = Engine::of(shape.engine, Some(observer.clone()), draw.fork("engine"));
        let ca = Ca::new(habits, observer.clone(), draw.fork("ca"));
        let _ = (observer.engine.set(Arc::downgrade(&engine)), observer.ca.set(Arc::downgrade(&ca)));
        let carrier = shape.has_carrier().then(|| FIRST.parse().expect("a name"));
        let site = Site { engine, ca, visitor: observer.clone(), history, carrier };
        Self { site, observer }
    }

    /// The record of a certificate.
    pub fn record(&self, cert: &CertName) -> Option<CertRecord> {
        self.observer.record(cert)
    }
}

/// Who is served a store by the first node, and may not see all of it.
fn withheld(shape: &Shape) -> Withheld {
    let others = shape.names().into_iter().skip(1).filter(|_| shape.has_carrier());
    Withheld::from(others.map(|node| (node.clone(), shape.granted_to(&node))))
}

impl Drop for World {
    /// Ends the daemons: they hold the world.
    fn drop(&mut self) {
        self.observer.machines().clear();
        self.observer.twins().clear();
    }
}

impl Observer {
    /// The machines.
    pub fn machines(&self) -> MutexGuard<'_, BTreeMap<NodeName, Machine>> {
        lock(&self.machines)
    }

    /// Copies of machines that run, by whose.
    pub fn twins(&self) -> MutexGuard<'_, BTreeMap<NodeName, Machine>> {
        lock(&self.twins)
    }

    /// Whether the fleet has removed the node.
    pub fn is_removed(&self, node: &NodeName) -> bool {
        lock(&self.checkers).fenced.is_removed(node)
    }

    /// Whether a member has seen what stands under a key; what was written before the world began nobody has at first.
    pub fn is_known(&self, key: &Key) -> bool {
        lock(&self.checkers).forged.is_known(key)
    }

    /// What stood under a key before: of those that are never removed all, of others what they said.
    pub fn earlier(&self, key: &Key) -> Vec<Envelope> {
        let checkers = lock(&self.checkers);
        [checkers.forged.earlier(key), checkers.older.of(key)].concat()
    }

    /// Whether a node serves what was placed after this.
    pub fn is_above(&self, node: &NodeName, cert: &CertName, placed: &Placed) -> bool {
        lock(&self.checkers).placements.is_above(node, cert, placed)
    }

    /// What a member wrote last, whatever stands there now, if anybody can put it right.
    pub fn latest_known(&self, key: &Key) -> Option<Envelope> {
        let is_lost = lock(&self.checkers).forged.is_lost_for_good(key);
        if is_lost { self.engine.get()?.upgrade()?.envelope(key) } else { self.latest(key) }
    }

    /// What a member wrote last, whatever stands there now.
    fn latest(&self, key: &Key) -> Option<Envelope> {
        let genuine = lock(&self.checkers).forged.genuine(key).map(|genuine| genuine.cloned());
        genuine.unwrap_or_else(|| self.engine.get()?.upgrade()?.envelope(key))
    }

    /// What was forged and nobody has put right.
    pub fn left_forged(&self) -> Option<Key> {
        lock(&self.checkers).forged.left().cloned()
    }

    /// How many certificates too many an engine's lost writes led to.
    pub fn extra_count(&self) -> usize {
        lock(&self.checkers).losses.count()
    }

    /// How many certificates were issued.
    pub fn issued_count(&self) -> usize {
        lock(&self.checkers).issuance.count
    }

    /// How often the CA refused an order because of a limit.
    pub fn limited(&self) -> BTreeMap<Limit, usize> {
        lock(&self.checkers).limits.counts().clone()
    }

    fn judge<E: std::fmt::Display>(&self, checker: &str, judged: Result<(), E>) {
        if let Err(violation) = judged {
            self.history.violated(format!("{checker}: {violation}"));
        }
    }

    fn record(&self, cert: &CertName) -> Option<CertRecord> {
        self.latest(&RecordKey::Cert(cert.clone()).key())?.record().ok()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
