//! What a fleet is in a world: its members' identities, its first records, its configuration.

use std::path::Path;
use std::time::Duration;

use certfleet_core::envelope::{Expect, FORMAT};
use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;
use certfleet_core::records::{FleetRecord, NodeRecord};
use certfleet_core::spec::{Role, Roles, all_roles};
use certfleet_core::time::{Timestamp, later};
use certfleet_core::trust::{Grant, SignedGrant, SigningKey};
use certfleet_node::identity::Identity;
use certfleet_node::token::Token;
use certfleet_node::trust::Pen;
use serde::Serialize;

use crate::draw::Draw;
use crate::engine::Engine;

/// The fleet's id.
const FLEET: &str = "0123456789abcdef";
/// How long a token is good after the world began: longer than any clock is wrong.
const TOKEN_LIFE: Duration = Duration::from_secs(200 * 86_400);

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

    /// A machine that is about to be a member; its identity is on its disk, which is its first or a later one.
    pub fn identity(&self, node: &NodeName, disk: u64, state: &Path, draw: &Draw) -> Identity {
        let fleet = FLEET.parse().expect("a fleet's id");
        let keys = vec![self.key.verifying_key()];
        let mut identity = Identity::draw(fleet, "sim".into(), keys, node.clone()).expect("the system has randomness");
        // What the sealing key is, nothing asks for: it orders and decides nothing.
        identity.identity = format!("{node}-machine-{disk}");
        identity.signing_key = signing_key(&mut draw.fork("signing key"));
        identity.save(state).expect("the disk can be written");
        identity
    }

    /// The fleet key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// A token of this epoch for a machine that takes the node's place with another disk.
    pub fn token(&self, node: &NodeName, (disk, epoch): (u64, u64), roles: Roles, draw: &Draw) -> Token {
        let join_key = signing_key(&mut draw.fork("join key"));
        let grant = Grant {
            id: format!("{node}-{disk}-{epoch}").parse().expect("a name"),
            fleet: FLEET.parse().expect("a fleet's id"),
            fleet_name: "sim".into(),
            epoch,
            store: "file:///simulated".into(),
            node: node.as_str().parse().expect("a name is a pattern"),
            roles,
            uses: 1,
            expires_at: later(self.now, TOKEN_LIFE),
            replace: true,
            servers: Vec::new(),
            join_key: join_key.verifying_key(),
        };
        Token { grant: SignedGrant::new(&grant, &self.key), verifying_keys: vec![self.key.verifying_key()], join_key }
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
    pub fn admit(&self, engine: &Engine, member: &Identity, granted: Roles) {
        let (signing_key, sealing_key) = member.public_keys();
        let record = NodeRecord {
            name: member.node.clone(),
            identity: member.identity.clone(),
            signing_key,
            sealing_key,
            granted,
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
    /// Whether it is in the configuration now.
    pub is_there: bool,
    /// Whether it is left out on the first node now.
    pub skips_first: bool,
    /// Further lines of its table.
    pub lines: &'static str,
}

impl Wanted {
    /// The certificate of this number.
    pub fn new(number: u64, lines: &'static str) -> Self {
        Self { name: format!("c{number}.example"), has_www: false, is_there: true, skips_first: false, lines }
    }

    /// The identifiers that it should have.
    pub fn names(&self) -> Vec<String> {
        let www = self.has_www.then(|| format!("www.{}", self.name));
        [self.name.clone()].into_iter().chain(www).collect()
    }

    /// The node that it is not placed on.
    pub fn is_placed_on(&self, node: &NodeName) -> bool {
        self.is_there && !(self.skips_first && node.as_str() == FIRST)
    }

    fn table(&self, all: &[NodeName]) -> String {
        let quoted = |all: &[String]| all.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ");
        let nodes: Vec<String> = all.iter().filter(|node| self.is_placed_on(node)).map(NodeName::to_string).collect();
        let nodes = if self.skips_first { format!("nodes = [{}]\n", quoted(&nodes)) } else { String::new() };
        format!("[[certificate]]\nnames = [{}]\ndeploy = [\"web\"]\n{nodes}{}\n", quoted(&self.names()), self.lines)
    }
}

/// The name of the first node.
pub const FIRST: &str = "n1";

/// The configuration of a machine whose disk is `dir`, in a fleet of these nodes with what each does.
pub fn configuration(dir: &Path, nodes: &[(NodeName, Roles)], wanted: &[Wanted]) -> String {
    let names: Vec<NodeName> = nodes.iter().map(|(node, _)| node.clone()).collect();
    let certificates: String = wanted.iter().filter(|cert| cert.is_there).map(|cert| cert.table(&names)).collect();
    let overlay = |(node, roles): &(NodeName, Roles)| {
        let roles: Vec<&str> = roles.iter().map(|role| word(*role)).collect();
        format!("[node.{node}]\nroles = [{}]\n", roles.join(", "))
    };
    let overlays: String = nodes.iter().filter(|(_, roles)| *roles != all_roles()).map(overlay).collect();
    let at = dir.display();
    format!(
        "[fleet]\nname = \"sim\"\nstore = \"file:///simulated\"\nstate = \"{at}/state\"\n[answer]\nhttp = \"off\"\n\
         [issuer.ca]\ndirectory = \"https://ca.test/directory\"\nagree_tos = true\n\
         [deploy.web]\nkind = \"files\"\ndir = \"/live/{{name}}\"\n{overlays}{certificates}"
    )
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Issue => "\"issue\"",
        Role::Answer => "\"answer\"",
        Role::Deploy => "\"deploy\"",
    }
}
