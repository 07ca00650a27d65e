//! What an operator and fate do to the fleet: join, start, stop, crash, pause, cut, configure, back up, restore.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, ConfigHash, NodeName};
use certfleet_core::records::{CertRecord, FleetRecord, NodeRecord, VersionRecord};
use certfleet_core::spec::{FleetSpec, IssuerSpec, Role, Roles, Specification, TargetSpec};
use certfleet_core::time::Now;
use certfleet_core::view::View;

use super::ca::FakeCa;
use super::machine::{Machine, TargetMood};
use super::store::{fleet_id, signing_key};
use super::{Happening, World};

/// The one target of every machine.
pub const TARGET: &str = "nginx";

/// A configuration with these certificates and issuers.
pub fn configuration(certificates: BTreeMap<CertName, Specification>, issuers: &[String]) -> FleetSpec {
    let issuer = |name: &String| IssuerSpec {
        directory: format!("https://{name}.test/directory"),
        contact: Vec::new(),
        agree_tos: true,
        profile: None,
    };
    let hash = ConfigHash::of(&serde_json::to_vec(&certificates).expect("serialises"));
    let issuers = issuers.iter().map(|name| (name.parse().expect("name"), issuer(name))).collect();
    FleetSpec { hash, certificates, issuers, targets: [(TARGET.parse().expect("name"), TargetSpec::default())].into() }
}

impl World {
    /// `init`: the fleet in an empty store, and its CAs.
    pub fn found(&mut self, issuers: &[String]) {
        let fleet = FleetRecord {
            id: fleet_id(),
            name: "prod".into(),
            format: 1,
            epoch: 0,
            created_at: self.wall(),
            verifying_keys: vec![signing_key("the fleet").verifying_key()],
            removals: Vec::new(),
            extra: Default::default(),
        };
        self.put_as_fleet(&RecordKey::Fleet.key(), &fleet);
        for name in issuers {
            self.cas.insert(name.parse().expect("name"), FakeCa::new(name));
        }
    }

    /// A machine becomes a member by the fleet key; it does not run yet.
    pub fn join(&mut self, id: &str, roles: Roles, spec: FleetSpec) {
        let node: NodeName = id.parse().expect("name");
        self.add(id, node.clone(), format!("identity-{id}"), roles.clone(), spec);
        let machine = self.machine(id);
        let record = NodeRecord {
            name: node.clone(),
            identity: machine.identity.clone(),
            signing_key: machine.pen().verifying_key(),
            sealing_key: machine.sealing_key(),
            granted: roles,
            joined_at: self.wall(),
            grant: None,
            proof: None,
            extra: Default::default(),
        };
        self.put_as_fleet(&RecordKey::Node(node).key(), &record);
    }

    pub(super) fn add(&mut self, id: &str, node: NodeName, identity: String, roles: Roles, spec: FleetSpec) {
        let machine = Machine {
            id: id.to_owned(),
            identity,
            node,
            fleet: fleet_id(),
            spec,
            view: None,
            decider: Default::default(),
            life: self.machines.get(id).map_or(0, |before| before.life),
            paused: false,
            held: Vec::new(),
            cut_from_ca: false,
            cut_from_store: false,
            target: TargetMood::Works,
            roles,
            slow: Vec::new(),
            own_keys: BTreeSet::new(),
            opened: BTreeSet::new(),
            off_seconds: 0,
            origin: Duration::from_secs(1000 * (self.machines.len() as u64 + 1)),
            memory: BTreeMap::new(),
            moves: Default::default(),
            records: BTreeMap::new(),
            disk: BTreeMap::new(),
            troubles: Vec::new(),
            waits: BTreeMap::new(),
            wake: None,
            pace: (0, 0),
        };
        self.machines.insert(id.to_owned(), machine);
    }

    /// A copy of a machine's disk on another machine, which starts at once.
    pub fn clone_machine(&mut self, from: &str, id: &str) {
        let origin = self.machine(from);
        let (node, spec, memory, disk) = (origin.node.clone(), origin.spec.clone(), origin.memory.clone(), origin.disk.clone());
        let (records, identity, roles, keys) =
            (origin.records.clone(), origin.identity.clone(), origin.roles.clone(), origin.opened.clone());
        self.add(id, node, identity, roles, spec);
        let machine = self.machine(id);
        (machine.memory, machine.disk, machine.records, machine.opened) = (memory, disk, records, keys);
        self.start(id);
    }

    /// The daemon starts, reads the store and decides.
    pub fn start(&mut self, id: &str) {
        if self.machine(id).is_up() {
            return;
        }
        self.say(id, "starts");
        self.machine(id).boot();
        self.read_all(id);
        self.decide(id);
    }

    /// A full listing: what is known and not in it is gone. Who counts is read first, so that nothing is taken for good that a member wrote
    /// after it was removed.
    pub(super) fn read_all(&mut self, id: &str) {
        let mut keys = self.machine(id).view.as_ref().map(View::known_keys).unwrap_or_default();
        keys.extend(self.store.keys());
        keys.sort_by_key(|key| (!key.is_under("fleet"), !key.is_under("nodes"), key.clone()));
        keys.dedup();
        keys.iter().for_each(|key| self.deliver(id, key));
        self.try_account_keys(id);
    }

    pub fn crash(&mut self, id: &str) {
        if self.machine(id).is_up() {
            self.say(id, "crashes");
            self.machine(id).die();
        }
    }

    /// SIGTERM.
    pub fn stop(&mut self, id: &str) {
        self.say(id, "is told to stop");
        if let Some(view) = &mut self.machine(id).view {
            view.local.leaving = true;
        }
        self.decide(id);
    }

    /// SIGSTOP.
    pub fn pause(&mut self, id: &str) {
        self.say(id, "is paused");
        self.machine(id).paused = true;
    }

    /// SIGCONT: what was held happens now, in the order in which it would have.
    pub fn resume(&mut self, id: &str) {
        if !self.machine(id).paused {
            return;
        }
        self.say(id, "goes on");
        let machine = self.machine(id);
        machine.paused = false;
        let mut held = std::mem::take(&mut machine.held);
        // Of many changes, those of who counts are read first.
        let is_about_members =
            |event: &Happening| matches!(event, Happening::Deliver(_, _, key) if key.is_under("fleet") || key.is_under("nodes"));
        held.sort_by_key(|event| !is_about_members(event));
        for event in held {
            let event = if matches!(event, Happening::Wake(..)) { None } else { Some(event) };
            event.into_iter().for_each(|event| self.later(Duration::from_micros(1), event));
        }
        if self.machine(id).is_up() {
            self.decide(id);
        }
    }

    /// Off the store, or on it again.
    pub fn cut_from_store(&mut self, id: &str, cut: bool) {
        self.machine(id).cut_from_store = cut;
        if !cut {
            self.read_all(id);
        }
        if let Some(view) = &mut self.machine(id).view {
            let away = certfleet_core::view::StoreState::Away("timed out".into());
            view.local.store = if cut { away } else { certfleet_core::view::StoreState::Ready };
            self.decide(id);
        }
    }

    /// A new configuration, re-read at once if the daemon runs.
    pub fn configure(&mut self, id: &str, spec: FleetSpec) {
        let machine = self.machine(id);
        machine.spec = spec.clone();
        if let Some(view) = &mut machine.view {
            view.follow(spec);
            if !machine.paused {
                self.decide(id);
            }
        }
    }

    /// The store's content changes under everybody.
    pub fn change_store(&mut self, change: impl FnOnce(&mut super::store::FakeStore)) {
        let mut keys = self.store.keys();
        let before: Vec<super::Found> = keys.iter().map(|key| self.find(key)).collect();
        change(&mut self.store);
        before.iter().for_each(|found| self.look_for_lost(found));
        keys.extend(self.store.keys());
        keys.sort();
        keys.dedup();
        keys.iter().for_each(|key| self.announce(key, ""));
    }

    pub fn cert_record(&self, cert: &CertName) -> Option<CertRecord> {
        self.store.record(&RecordKey::Cert(cert.clone()).key())
    }

    /// An operator's command changes a record, on a machine that may and that takes for good what stands there.
    pub fn operate(&mut self, cert: &CertName, change: impl FnOnce(&CertRecord, &View, Now) -> CertRecord) {
        let (t, wall) = (self.t, self.wall());
        let key = RecordKey::Cert(cert.clone()).key();
        let revision = self.store.get(&key).map(|(_, revision)| revision.clone());
        let takes_it = |machine: &&Machine| {
            let view = machine.view.as_ref().filter(|_| self.is_member(&machine.id) && machine.roles.contains(&Role::Issue));
            view.is_some_and(|view| view.accepted.get(&key).map(|accepted| &accepted.revision) == revision.as_ref())
        };
        let (Some(revision), Some(machine)) = (&revision, self.machines.values().find(takes_it)) else {
            return self.say("", "the command finds no record that counts");
        };
        let view = machine.view.as_ref().expect("is up");
        let record = view.certs[cert].value.clone();
        let changed = change(&record, view, machine.now(t, wall));
        let expect = certfleet_core::envelope::Expect::Revision(revision.clone());
        let (node, pen) = (machine.node.clone(), machine.pen());
        self.insist(certfleet_core::invariants::record_step(Some(&record), &changed, |_| false));
        let envelope = self.store.put(&key, (&node, &pen), &changed, &expect).expect("nobody is in between");
        self.book(&key, &envelope);
        self.announce(&key, "");
    }

    /// `rollout back`.
    pub fn go_back(&mut self, cert: &CertName, number: u64) {
        let key: Key = RecordKey::Version(cert.clone(), certfleet_core::names::Generation(number)).key();
        let version: VersionRecord = self.store.record(&key).unwrap_or_else(|| self.fail("no such version"));
        let hash = self.store.get(&key).expect("it is there").0.body_hash();
        let issued = self.cas.values().flat_map(|ca| &ca.issued).find(|issued| issued.key == version.key);
        let leaf = issued.unwrap_or_else(|| self.fail("never issued")).leaf.clone();
        self.operate(cert, |record, view, now| certfleet_core::decide::go_back(view, cert, record, &version, hash, &leaf, now));
    }

    /// Nobody up serves an expired certificate while a valid one is placed; asked when all had time to install it.
    pub fn check_served(&self) {
        for machine in self.machines.values().filter(|m| m.is_up() && !m.paused && m.target == TargetMood::Works && self.is_member(&m.id)) {
            for ((cert, _), served) in &machine.disk {
                let Some(placed) = self.cert_record(cert).and_then(|record| record.placed) else { continue };
                self.insist(certfleet_core::invariants::serves_valid(&machine.node, served.not_after, placed.not_after, self.wall()));
            }
        }
    }
}
