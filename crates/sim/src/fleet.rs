//! What a fleet is in a world: its members' identities, its first records, its configuration.

use std::path::Path;

use certfleet_core::envelope::{Expect, FORMAT};
use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;
use certfleet_core::records::{FleetRecord, NodeRecord};
use certfleet_core::spec::all_roles;
use certfleet_core::time::Timestamp;
use certfleet_core::trust::SigningKey;
use certfleet_node::identity::Identity;
use certfleet_node::trust::Pen;
use serde::Serialize;

use crate::draw::Draw;
use crate::engine::Engine;

/// Who founds a fleet: the one that has its key.
#[derive(Debug)]
pub struct Founder {
    key: SigningKey,
    now: Timestamp,
}

impl Founder {
    /// With a key of this world.
    pub fn new(draw: &Draw, now: Timestamp) -> Self {
        Self { key: signing_key(&mut draw.fork("fleet key")), now }
    }

    /// A machine that is about to be a member; its identity is on its disk.
    pub fn identity(&self, node: &NodeName, state: &Path, draw: &Draw) -> Identity {
        let fleet = "0123456789abcdef".parse().expect("a fleet's id");
        let keys = vec![self.key.verifying_key()];
        let mut identity = Identity::draw(fleet, "sim".into(), keys, node.clone()).expect("the system has randomness");
        // What the sealing key is, nothing asks for: it orders and decides nothing.
        identity.identity = format!("{node}-machine");
        identity.signing_key = signing_key(&mut draw.fork("signing key"));
        identity.save(state).expect("the disk can be written");
        identity
    }

    /// Writes the fleet's own record, by its first member.
    pub fn found(&self, engine: &Engine, first: &Identity) {
        let fleet = FleetRecord {
            id: first.fleet.clone(),
            name: first.fleet_name.clone(),
            format: FORMAT,
            epoch: 0,
            created_at: self.now,
            verifying_keys: first.verifying_keys.clone(),
            removals: Vec::new(),
            extra: Default::default(),
        };
        self.write(engine, first, &RecordKey::Fleet, &fleet);
    }

    /// Writes a member's record.
    pub fn admit(&self, engine: &Engine, member: &Identity) {
        let (signing_key, sealing_key) = member.public_keys();
        let record = NodeRecord {
            name: member.node.clone(),
            identity: member.identity.clone(),
            signing_key,
            sealing_key,
            granted: all_roles(),
            joined_at: self.now,
            grant: None,
            proof: None,
            extra: Default::default(),
        };
        self.write(engine, member, &RecordKey::Node(member.node.clone()), &record);
    }

    fn write<T: Serialize>(&self, engine: &Engine, by: &Identity, key: &RecordKey, record: &T) {
        let envelope = Pen::new(by).write_as_fleet(key, record, &Expect::Absent, &self.key).expect("it can be signed");
        engine.swap("founder", &key.key(), Some(&envelope), &Expect::Absent);
    }
}

fn signing_key(draw: &mut Draw) -> SigningKey {
    let mut seed = [0; 32];
    draw.fill(&mut seed);
    SigningKey::from_seed(&seed)
}

/// A certificate as the configuration has it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name, and its first identifier.
    pub name: String,
    /// Whether it has a second identifier now.
    pub has_www: bool,
    /// Further lines of its table.
    pub lines: &'static str,
}

impl Wanted {
    /// The identifiers that it should have.
    pub fn names(&self) -> Vec<String> {
        let www = self.has_www.then(|| format!("www.{}", self.name));
        [self.name.clone()].into_iter().chain(www).collect()
    }
}

/// The configuration of a machine whose disk is `dir`.
pub fn configuration(dir: &Path, wanted: &[Wanted]) -> String {
    let certificate = |cert: &Wanted| {
        let names: Vec<String> = cert.names().iter().map(|name| format!("\"{name}\"")).collect();
        format!("[[certificate]]\nnames = [{}]\ndeploy = [\"web\"]\n{}\n", names.join(", "), cert.lines)
    };
    let certificates: String = wanted.iter().map(certificate).collect();
    let at = dir.display();
    format!(
        "[fleet]\nname = \"sim\"\nstore = \"file:///simulated\"\nstate = \"{at}/state\"\n[answer]\nhttp = \"off\"\n\
         [issuer.ca]\ndirectory = \"https://ca.test/directory\"\nagree_tos = true\n\
         [deploy.web]\nkind = \"files\"\ndir = \"/live/{{name}}\"\n{certificates}"
    )
}
