//! A world: machines, a store, a CA, and who sees everything that happens.
//!
//! Always holds: an observer only looks. What it finds wrong stands in the history, and ends the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Identifier, NodeName, SpkiHash};
use certfleet_core::records::{CertRecord, Placed};
use certfleet_deploy::Material;
use certfleet_edge::Reply;
use certfleet_node::keeper::Keeper;
use http::Method;
use tokio::time::Instant;

use crate::ca::{Ca, Habits, Internet};
use crate::draw::Draw;
use crate::engine::{Engine, Reader};
use crate::history::History;
use crate::machine::{Machine, Site};
use crate::servers::Visitor;
use crate::watch::{Checkers, serving};

/// Where challenges are answered (RFC 8555 section 8.3).
const CHALLENGE_PATH: &str = "/.well-known/acme-challenge/";

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
    machines: Mutex<BTreeMap<NodeName, Machine>>,
    checkers: Mutex<Checkers>,
    placed: Mutex<BTreeMap<(CertName, String), Placed>>,
    draw: Mutex<Draw>,
    engine: OnceLock<Weak<Engine>>,
    ca: OnceLock<Weak<Ca>>,
}

impl World {
    /// One without machines.
    pub fn new(habits: Habits, draw: &Draw) -> Self {
        let history = Arc::new(History::default());
        let observer = Arc::new(Observer {
            history: history.clone(),
            machines: Mutex::default(),
            checkers: Mutex::default(),
            placed: Mutex::default(),
            draw: Mutex::new(draw.fork("vantage points")),
            engine: OnceLock::new(),
            ca: OnceLock::new(),
        });
        let engine = Engine::new(Some(observer.clone()));
        let ca = Ca::new(habits, observer.clone(), draw.fork("ca"));
        let _ = (observer.engine.set(Arc::downgrade(&engine)), observer.ca.set(Arc::downgrade(&ca)));
        let site = Site { engine, ca, visitor: observer.clone(), history, wall: habits.wall };
        Self { site, observer }
    }

    /// The record of a certificate.
    pub fn record(&self, cert: &CertName) -> Option<CertRecord> {
        self.observer.record(cert)
    }
}

impl Drop for World {
    /// Ends the daemons: they hold the world.
    fn drop(&mut self) {
        self.observer.machines().clear();
    }
}

impl Observer {
    /// The machines.
    pub fn machines(&self) -> MutexGuard<'_, BTreeMap<NodeName, Machine>> {
        lock(&self.machines)
    }

    /// How many certificates were issued.
    pub fn issued_count(&self) -> usize {
        lock(&self.checkers).issuance.count
    }

    /// Judges what the machines serve now.
    pub fn look_around(&self) {
        let Some(ca) = self.ca.get().and_then(Weak::upgrade) else { return };
        let now = ca.now();
        for machine in self.machines().values() {
            let is_calm = machine.calm_since.is_some_and(|since| Instant::now() >= since + serving::CALM);
            if !machine.is_up() || !is_calm {
                continue;
            }
            for ((_, cert), leaf) in machine.servers.served() {
                let judged = self.record(&cert).map_or(Ok(()), |record| serving::serving(&machine.node, &leaf, &record, now));
                self.judge(judged);
            }
        }
    }

    fn judge<E: std::fmt::Display>(&self, judged: Result<(), E>) {
        if let Err(violation) = judged {
            self.history.violated(violation);
        }
    }

    fn record(&self, cert: &CertName) -> Option<CertRecord> {
        let engine = self.engine.get()?.upgrade()?;
        engine.envelope(&RecordKey::Cert(cert.clone()).key())?.record().ok()
    }

    fn wrote_certificate(&self, who: &str, cert: &CertName, before: Option<&Envelope>, after: &CertRecord) {
        self.history.say(who, || format!("{cert} {}", told(after)));
        let ca = self.ca.get().and_then(Weak::upgrade);
        let is_over = |order: &str| ca.as_ref().is_none_or(|ca| ca.is_over(order));
        let mut checkers = lock(&self.checkers);
        let judged = checkers.records.wrote(cert, before, after, is_over);
        checkers.issuance.wrote(cert, after);
        drop(checkers);
        self.judge(judged.map_err(|violation| format!("{cert}: {violation}")));
        if let Some(placed) = &after.placed {
            lock(&self.placed).insert((cert.clone(), placed.serial.clone()), placed.clone());
        }
    }

    /// Whether the private half is where it should be: in the store, or on the disk of the one node whose it is and nowhere else.
    fn is_kept(&self, cert: &CertName, key: &SpkiHash) -> bool {
        let at = RecordKey::PrivateKey(key.clone()).key();
        let is_stored = self.engine.get().and_then(Weak::upgrade).is_some_and(|engine| engine.envelope(&at).is_some());
        match cert.node() {
            None => is_stored,
            Some(node) => !is_stored && self.state_of(&node).is_some_and(|state| Keeper::new(&state).get(&at).is_some()),
        }
    }

    fn state_of(&self, node: &NodeName) -> Option<PathBuf> {
        self.machines().get(node).map(Machine::state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(record: &CertRecord) -> String {
    let placed = record.placed.as_ref().map_or(0, |placed| placed.placement.generation.0);
    match &record.attempt {
        Some(attempt) => {
            let holder = attempt.holder.as_ref().map_or("nobody", |holder| holder.node.as_str());
            format!("attempt {} {} by {holder}, placed {placed}", attempt.number, attempt.step.name())
        }
        None => format!("idle, placed {placed}, {} failures", record.failures.count),
    }
}

impl Reader for Observer {
    fn wrote(&self, who: &str, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>) {
        match (RecordKey::of(key), after) {
            (Some(RecordKey::Presence(_)), _) => {}
            (Some(RecordKey::Cert(cert)), Some(after)) => match after.record::<CertRecord>() {
                Ok(record) => self.wrote_certificate(who, &cert, before, &record),
                Err(error) => self.history.violated(format!("{who} wrote {key}, which cannot be read: {error}")),
            },
            (_, Some(_)) => self.history.say(who, || format!("writes {key}")),
            (_, None) => self.history.say(who, || format!("deletes {key}")),
        }
    }
}

impl Visitor for Observer {
    fn installed(&self, node: &NodeName, material: &Material) {
        let (cert, leaf) = (&material.cert, &material.leaf);
        self.history.say(node.as_str(), || format!("serves {cert} generation {}", material.generation));
        let placed = lock(&self.placed).get(&(cert.clone(), leaf.serial.clone())).cloned();
        match placed {
            Some(placed) => {
                let judged = lock(&self.checkers).placements.installed(node, cert, &placed);
                self.judge(judged);
            }
            None => self.history.violated(format!("{node} installs certificate {} of {cert}, which nobody placed", leaf.serial)),
        }
    }
}

impl Internet for Observer {
    fn ask(&self, host: &Identifier, token: &str) -> Result<String, String> {
        let machines = self.machines();
        let tables: Vec<_> = machines.values().filter_map(|machine| Some((machine.node.clone(), machine.answers()?))).collect();
        if tables.is_empty() {
            return Err("connection refused".into());
        }
        let (node, table) = lock(&self.draw).one(&tables).clone();
        match table.load().respond(Some(host.as_str()), &Method::GET, &format!("{CHALLENGE_PATH}{token}")) {
            Reply::Challenge { key_authorization } => Ok(key_authorization),
            other => Err(format!("{node} answered {other:?}")),
        }
    }

    fn taken(&self, order: &str, key: &SpkiHash) {
        let whose = lock(&self.checkers).issuance.attempt(order, key);
        self.history.say("ca", || format!("takes the request of {order}"));
        match whose {
            Ok((cert, _)) => {
                let record = self.record(&cert);
                let judged = lock(&self.checkers).issuance.taken(record.as_ref(), key);
                self.judge(judged);
            }
            Err(why) => self.history.violated(why),
        }
    }

    fn issued(&self, order: &str, key: &SpkiHash, serial: u64) {
        self.history.say("ca", || format!("issues certificate {serial:04x} for {order}"));
        let whose = lock(&self.checkers).issuance.attempt(order, key);
        let Ok(whose) = whose else { return };
        let is_kept = self.is_kept(&whose.0, key);
        let judged = lock(&self.checkers).issuance.issued(&whose, serial, is_kept);
        self.judge(judged);
    }
}
