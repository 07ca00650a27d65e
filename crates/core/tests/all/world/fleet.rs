//! What an operator and fate do to the fleet: join, start, stop, crash, pause, cut, configure, back up, restore.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, ConfigHash, FleetId, NodeName};
use certfleet_core::records::{CertRecord, FleetRecord, NodeRecord, VersionRecord};
use certfleet_core::spec::{FleetSpec, IssuerSpec, Specification, TargetSpec, all_roles};
use certfleet_core::time::Now;
use certfleet_core::view::View;

use super::ca::FakeCa;
use super::machine::{Machine, TargetMood};
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
        let init: NodeName = "init".parse().expect("name");
        let fleet = FleetRecord {
            id: fleet_id(),
            name: "prod".into(),
            format: 1,
            epoch: 0,
            created_at: self.wall(),
            removals: Vec::new(),
            extra: Default::default(),
        };
        let expect = certfleet_core::envelope::Expect::Absent;
        self.store.put(&RecordKey::Fleet.key(), &init, &fleet, &expect).expect("the store is empty");
        for name in issuers {
            self.cas.insert(name.parse().expect("name"), FakeCa::new(name));
        }
    }

    /// A machine becomes a member; it does not run yet.
    pub fn join(&mut self, id: &str, spec: FleetSpec) {
        let node: NodeName = id.parse().expect("name");
        let record = NodeRecord {
            name: node.clone(),
            identity: format!("identity-{id}"),
            granted: all_roles(),
            joined_at: self.wall(),
            invitation: None,
            extra: Default::default(),
        };
        let key = RecordKey::Node(node.clone()).key();
        self.store.put(&key, &node, &record, &certfleet_core::envelope::Expect::Absent).expect("a new name");
        self.add(id, node, spec);
        self.announce(&key, id);
    }

    fn add(&mut self, id: &str, node: NodeName, spec: FleetSpec) {
        let machine = Machine {
            id: id.to_owned(),
            identity: format!("identity-{node}"),
            node,
            fleet: fleet_id(),
            spec,
            view: None,
            life: 0,
            paused: false,
            held: Vec::new(),
            cut_from_ca: false,
            cut_from_store: false,
            target: TargetMood::Works,
            off_seconds: 0,
            origin: Duration::from_secs(1000 * (self.machines.len() as u64 + 1)),
            memory: BTreeMap::new(),
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
        self.add(id, node, spec);
        let machine = self.machine(id);
        (machine.memory, machine.disk) = (memory, disk);
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

    fn read_all(&mut self, id: &str) {
        self.store.keys().iter().for_each(|key| self.deliver(id, key));
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
        for event in std::mem::take(&mut machine.held) {
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
            view.spec = spec;
            if !machine.paused {
                self.decide(id);
            }
        }
    }

    /// The store's content changes under everybody.
    pub fn change_store(&mut self, change: impl FnOnce(&mut super::store::FakeStore)) {
        let mut keys = self.store.keys();
        change(&mut self.store);
        keys.extend(self.store.keys());
        keys.sort();
        keys.dedup();
        keys.iter().for_each(|key| self.announce(key, ""));
    }

    pub fn cert_record(&self, cert: &CertName) -> Option<CertRecord> {
        self.store.record(&RecordKey::Cert(cert.clone()).key())
    }

    /// An operator's command changes a record.
    pub fn operate(&mut self, cert: &CertName, change: impl FnOnce(&CertRecord, &View, Now) -> CertRecord) {
        let (t, wall) = (self.t, self.wall());
        let key = RecordKey::Cert(cert.clone()).key();
        let Some(machine) = self.machines.values().find(|machine| machine.is_up()) else { self.fail("no machine is up") };
        let record = self.cert_record(cert).unwrap_or_else(|| self.fail("no record"));
        let changed = change(&record, machine.view.as_ref().expect("is up"), machine.now(t, wall));
        let expect = certfleet_core::envelope::Expect::Revision(self.store.get(&key).expect("it is there").1.clone());
        let node = machine.node.clone();
        self.insist(certfleet_core::invariants::record_step(Some(&record), &changed, |_| false));
        self.store.put(&key, &node, &changed, &expect).expect("nobody is in between");
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
        for machine in self.machines.values().filter(|m| m.is_up() && !m.paused && m.target == TargetMood::Works) {
            for ((cert, _), served) in &machine.disk {
                let Some(placed) = self.cert_record(cert).and_then(|record| record.placed) else { continue };
                self.insist(certfleet_core::invariants::serves_valid(&machine.node, served.not_after, placed.not_after, self.wall()));
            }
        }
    }
}

fn fleet_id() -> FleetId {
    "fleet-1".parse().expect("name")
}
