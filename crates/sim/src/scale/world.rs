//! The run itself: nodes decide, what they do takes its time, what comes of it is taken in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::decide::{Action, Call, Event, Subject, renewal_moment};
use certfleet_core::envelope::Expect;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, IssuerName, NodeName, VersionHash};
use certfleet_core::records::{CertRecord, Placed, Presence, Report, TargetState};
use certfleet_core::time::{Timestamp, until};
use certfleet_core::view::{Blob, InstallResult, KeySeen, MadeKey, Outcome};

use super::actor::Actor;
use super::ca::{CALL, Ca};
use super::figures::{Cost, Figures};
use super::fleet::{DAY, Fleet, at, key_of};
use super::queue::{Queue, step_of};
use super::store::{Kind, SEEN, Store, WRITE};
use super::{Curve, Scale};

/// What making and sealing a key takes, beside the write.
const MAKE_KEY: Duration = Duration::from_millis(30);
/// What listing all keys and chains takes.
const LIST: Duration = Duration::from_secs(60);
/// What installing takes: reading key and chain, files, a reload, a handshake.
pub(super) const INSTALL: Duration = Duration::from_millis(1000);

/// All of it.
pub struct World {
    pub(super) fleet: Fleet,
    pub(super) actors: Vec<Actor>,
    /// Which of them a node is.
    pub(super) acting: BTreeMap<usize, usize>,
    pub(super) queue: Queue<Happening>,
    pub(super) ca: Ca,
    pub(super) store: Store,
    /// Of each certificate: the number that was ordered last, and until when what each node serves at the latest is valid.
    ordered: Vec<Generation>,
    pub(super) served_until: Vec<Option<Timestamp>>,
    pub(super) figures: Figures,
}

/// What happens.
pub(super) enum Happening {
    Done(usize, Subject, Outcome),
    Asked(usize, CertName, Generation, IssuerName, Call),
    LookedThrough(usize),
    Written(usize, Box<(CertName, Expect, CertRecord, Event)>),
    Seen(usize, Arc<(CertName, CertRecord, u64, NodeName)>),
    Beat(usize, NodeName, Presence),
    /// By whom, which certificate, and what.
    Reported(usize, usize, Report),
    Reread(usize, Subject, Vec<Key>),
}

impl World {
    pub fn new(scale: &Scale) -> Self {
        let fleet = Fleet::new(scale);
        let mut actors: Vec<Actor> = (0..scale.issuers).map(|n| Actor::issuing(&fleet, n)).collect();
        let apart = (scale.nodes - scale.issuers) / scale.sampled.max(1);
        actors.extend((0..scale.sampled).map(|n| Actor::deploying(&fleet, scale.issuers + n * apart)));
        let acting = actors.iter().enumerate().map(|(actor, it)| (it.n, actor)).collect();
        let (ca, store, figures) = (Ca::new(fleet.life()), Store::new(scale), empty(scale));
        let (ordered, served_until) = (vec![Generation(0); scale.certificates], vec![None; scale.certificates]);
        let mut world = Self { fleet, actors, acting, queue: Queue::default(), ca, store, ordered, served_until, figures };
        (0..scale.certificates).for_each(|cert| world.begin(cert));
        let silent = (0..scale.nodes).filter(|node| !world.acting.contains_key(node)).map(|node| world.fleet.node(node));
        let (silent, end): (Vec<NodeName>, Duration) = (silent.collect(), world.fleet.life());
        world.actors.iter_mut().for_each(|actor| actor.hears_all_along(silent.iter().cloned(), end));
        world
    }

    fn begin(&mut self, cert: usize) {
        if self.fleet.scale.new {
            return self.due(Duration::ZERO);
        }
        let placed = self.fleet.placed(cert);
        self.ca.knows(&placed.names);
        self.due(since(renewal_moment(&self.fleet.cert(cert), &placed)));
    }

    /// To its end; tells now and then how many days have passed and how much was placed.
    pub fn run(mut self, mut tell: impl FnMut(u64, u64)) -> Figures {
        let end = self.fleet.life();
        let (mut now, mut deciding): (Duration, BTreeSet<usize>) = (Duration::ZERO, (0..self.actors.len()).collect());
        loop {
            for actor in std::mem::take(&mut deciding) {
                for (subject, action) in self.actors[actor].turn(now) {
                    self.carry_out(actor, subject, action, now);
                }
            }
            let next = self.next(now);
            if next.as_secs() / DAY.as_secs() > now.as_secs() / DAY.as_secs() {
                tell(next.as_secs() / DAY.as_secs(), self.figures.placed.sum());
            }
            if next >= end {
                return self.end(end);
            }
            now = next;
            deciding.extend((0..self.actors.len()).filter(|actor| self.actors[*actor].wake().is_some_and(|wake| step_of(wake) <= now)));
            while let Some(happening) = self.queue.take(now) {
                self.happen(happening, now, &mut deciding);
            }
        }
    }

    /// When something happens next, or somebody decides.
    fn next(&self, now: Duration) -> Duration {
        let wakes = self.actors.iter().filter_map(Actor::wake).map(step_of);
        let next = wakes.chain(self.queue.first()).min().unwrap_or(Duration::MAX);
        next.max(step_of(now + Duration::from_nanos(1)))
    }

    fn carry_out(&mut self, actor: usize, subject: Subject, action: Action, now: Duration) {
        let done = |outcome| Happening::Done(actor, subject.clone(), outcome);
        let (span, happening) = match action {
            Action::Beat(presence, _) => {
                self.beat(actor, &presence, now);
                (WRITE, done(Outcome::Beaten(presence)))
            }
            Action::CheckClock(issuer) => {
                self.ca.count(now);
                (CALL, done(Outcome::ClockChecked(issuer, Ok(0))))
            }
            Action::MakeKey(cert, number, _) => {
                self.store.count(Kind::Key, now);
                let key = key_of(&cert, number);
                let csr = key.as_str().as_bytes().to_vec();
                (MAKE_KEY + WRITE, done(Outcome::KeyMade(cert, number, MadeKey { key, csr })))
            }
            Action::Write(cert, expect, record, event) => (WRITE, Happening::Written(actor, Box::new((cert, expect, *record, event)))),
            Action::Call(cert, number, issuer, call) => (CALL, Happening::Asked(actor, cert, number, issuer, call)),
            Action::StoreVersion(cert, version) => {
                self.store.count(Kind::Version, now);
                let hash = VersionHash::of(format!("{cert}/{}", version.generation).as_bytes());
                (WRITE, done(Outcome::VersionStored(cert, version.generation, hash)))
            }
            Action::LookThrough => (LIST, Happening::LookedThrough(actor)),
            Action::Remove(blobs) => (WRITE, done(Outcome::Removed(self.remove(&blobs, now)))),
            Action::Install(target, certs) => (INSTALL, done(Outcome::Installed(target, certs.into_iter().map(installed).collect()))),
            Action::Report(cert, _, report, _) => {
                let cert = self.fleet.number(&cert);
                self.queue.put(now + WRITE, done(Outcome::Done));
                (WRITE, Happening::Reported(self.actors[actor].n, cert, report))
            }
            Action::Reread(_, keys) => (WRITE, Happening::Reread(actor, subject.clone(), keys)),
            other => {
                self.figures.must(false, "something that a fleet without faults does not do", || format!("{other:?}"));
                (WRITE, done(Outcome::Failed("not in this run".into())))
            }
        };
        self.queue.put(now + span, happening);
    }

    fn happen(&mut self, happening: Happening, now: Duration, deciding: &mut BTreeSet<usize>) {
        let actor = match happening {
            Happening::Done(actor, subject, outcome) => {
                self.actors[actor].view.absorb(&subject, outcome, at(now));
                actor
            }
            Happening::Asked(actor, cert, number, issuer, call) => {
                self.ask(actor, cert, number, issuer, call, now);
                actor
            }
            Happening::LookedThrough(actor) => {
                let blobs = self.store.rubbish.values().cloned().collect();
                self.actors[actor].view.absorb(&Subject::Rubbish, Outcome::LookedThrough(blobs), at(now));
                actor
            }
            Happening::Written(actor, what) => {
                self.written(actor, *what, now);
                actor
            }
            Happening::Seen(actor, what) => {
                let (cert, record, change, writer) = &*what;
                self.actors[actor].take_cert(cert, record.clone(), *change, writer, now);
                actor
            }
            Happening::Beat(actor, node, presence) => {
                self.actors[actor].take_presence(node, presence, now);
                actor
            }
            Happening::Reported(node, cert, report) => return self.reported(node, cert, &report, now, deciding),
            Happening::Reread(actor, subject, keys) => {
                self.reread(actor, &subject, &keys, now);
                actor
            }
        };
        deciding.insert(actor);
    }

    fn beat(&mut self, actor: usize, presence: &Presence, now: Duration) {
        self.store.count(Kind::Beat, now);
        let node = self.actors[actor].node.clone();
        for other in (0..self.actors.len()).filter(|other| *other == actor || self.actors[*other].view.presence.contains_key(&node)) {
            self.queue.put(now + SEEN, Happening::Beat(other, node.clone(), presence.clone()));
        }
    }

    fn ask(&mut self, actor: usize, cert: CertName, number: Generation, issuer: IssuerName, call: Call, now: Duration) {
        let is_order = matches!(call, Call::NewOrder(..));
        let reply = self.ca.call(call, now);
        if is_order && reply.is_ok() {
            self.figures.orders.add(now, 1);
            let before = std::mem::replace(&mut self.ordered[self.fleet.number(&cert)], number);
            self.figures.must(before < number, "an attempt was ordered twice", || format!("{cert} {number} at {now:?}"));
        }
        let subject = Subject::Cert(cert.clone());
        self.actors[actor].view.absorb(&subject, Outcome::Called(cert, number, issuer, reply), at(now));
    }

    fn written(&mut self, actor: usize, (cert, expect, record, event): (CertName, Expect, CertRecord, Event), now: Duration) {
        let n = self.fleet.number(&cert);
        let writer = self.actors[actor].node.clone();
        if let Some(change) = self.store.swap(n, &expect, now) {
            self.watch(n, &cert, &record, event, now);
            let seen = Arc::new((cert.clone(), record.clone(), change, writer.clone()));
            for other in self.others_with(n, actor) {
                self.queue.put(now + SEEN, Happening::Seen(other, seen.clone()));
            }
            self.actors[actor].take_cert(&cert, record, change, &writer, now);
        } else {
            self.read_back(actor, &cert, now);
        }
        self.actors[actor].view.absorb(&Subject::Cert(cert), Outcome::Done, at(now));
    }

    /// Those that know a certificate, but one.
    pub(super) fn others_with(&self, cert: usize, but: usize) -> Vec<usize> {
        let placed = self.fleet.placed_on(cert);
        let acting = (0..self.fleet.scale.issuers).chain(placed.filter_map(|node| self.acting.get(&node).copied()));
        acting.filter(|actor| *actor != but).collect()
    }

    /// Somebody was faster: what stands there is read.
    fn read_back(&mut self, actor: usize, cert: &CertName, now: Duration) {
        let known = self.actors[..self.fleet.scale.issuers].iter().filter_map(|other| other.view.certs.get(cert).map(|seen| (other, seen)));
        let latest = known.max_by_key(|(_, seen)| seen.revision.change);
        if let Some((other, seen)) = latest {
            let (record, change, writer) = (seen.value.clone(), seen.revision.change, other.node.clone());
            self.actors[actor].take_cert(cert, record, change, &writer, now);
        }
    }

    fn reread(&mut self, actor: usize, subject: &Subject, keys: &[Key], now: Duration) {
        let view = &mut self.actors[actor].view;
        for key in keys {
            match RecordKey::of(key) {
                Some(RecordKey::Presence(node)) => view.presence.get_mut(&node).into_iter().for_each(|seen| seen.read_at = at(now).mono),
                Some(RecordKey::Cert(cert)) => view.certs.looked_at(&cert, at(now).mono),
                _ => {}
            }
        }
        view.absorb(subject, Outcome::Done, at(now));
    }

    fn remove(&mut self, blobs: &[Blob], now: Duration) -> Vec<Key> {
        for blob in blobs {
            self.store.count(Kind::Removal, now);
            self.store.rubbish.remove(&blob.key);
        }
        blobs.iter().map(|blob| blob.key.clone()).collect()
    }
}

fn installed((cert, placed): (CertName, Placed)) -> InstallResult {
    InstallResult { cert, placed, state: TargetState::Verified, reason: None, settled: true, key: KeySeen::Opened }
}

/// So long after the run began.
pub(super) fn since(moment: Timestamp) -> Duration {
    until(at(Duration::ZERO).wall, moment)
}

fn empty(scale: &Scale) -> Figures {
    Figures {
        scale: scale.clone(),
        due: Curve::default(),
        orders: Curve::default(),
        placed: Curve::default(),
        lag: Default::default(),
        attempt: None,
        least_left: (None, None),
        refused: BTreeMap::new(),
        requests: (0, 0),
        waiting_max: 0,
        writes: BTreeMap::new(),
        conflicts: 0,
        issuing: Cost::default(),
        deploying: Cost::default(),
        wrong: BTreeMap::new(),
    }
}
