//! Who is in, and what strangers do: invitations, machines that come with them, removals, and everything that somebody who can write the
//! store (or owns a member) might put there.

use std::time::Duration;

use certfleet_core::decide::Action;
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::records::{FleetRecord, NodeRecord, PrivateKeyRecord, Removal};
use certfleet_core::secret::Wrap;
use certfleet_core::spec::{FleetSpec, Role, Roles};
use certfleet_core::time::{Mono, later};
use certfleet_core::trust::{Grant, Proof, SignedGrant};
use certfleet_core::view::{View, is_kept};
use serde_json::Value;

use super::machine::Machine;
use super::store::{fleet_id, signing_key};
use super::{Happening, Ticket, World};

/// What an invitation says.
pub struct Invitation {
    pub pattern: String,
    pub roles: Roles,
    pub uses: u32,
    pub life: Duration,
    pub replace: bool,
}

impl World {
    /// The fleet key writes a record.
    pub(super) fn put_as_fleet<T: serde::Serialize>(&mut self, key: &Key, record: &T) {
        let expect = self.store.get(key).map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision.clone()));
        self.put_as_fleet_over(key, record, &expect);
    }

    fn put_as_fleet_over<T: serde::Serialize>(&mut self, key: &Key, record: &T, expect: &Expect) {
        let init: NodeName = "init".parse().expect("name");
        let envelope = self.store.put(key, (&init, &signing_key("the fleet")), record, expect).expect("nobody is in between");
        self.book(key, &envelope);
        self.announce(key, "");
    }

    /// `invite`.
    pub fn invite(&mut self, token: &str, invitation: Invitation) {
        let grant = Grant {
            id: token.parse().expect("name"),
            fleet: fleet_id(),
            fleet_name: "prod".into(),
            epoch: self.fleet().map_or(0, |fleet| fleet.epoch),
            store: "file:///srv/certfleet".into(),
            node: invitation.pattern.parse().expect("a pattern"),
            roles: invitation.roles,
            uses: invitation.uses,
            expires_at: later(self.wall(), invitation.life),
            replace: invitation.replace,
            servers: Vec::new(),
            join_key: signing_key(token).verifying_key(),
        };
        self.tokens.insert(token.to_owned(), grant);
    }

    /// `join`: a machine that was not there, or one that was rebuilt, asks to be let in.
    pub fn come(&mut self, id: &str, node: &str, token: &str, spec: FleetSpec) {
        let grant = self.tokens.get(token).cloned().unwrap_or_else(|| self.fail(&format!("there is no token {token}")));
        self.built += 1;
        let identity = format!("identity-{id}-{}", self.built);
        self.add(id, node.parse().expect("name"), identity, grant.roles.clone(), spec);
        let record = self.asking(id, &grant, token);
        let (pen, node) = (self.machine(id).pen(), record.name.clone());
        let key = RecordKey::Joining(node.clone()).key();
        let expect = self.store.get(&key).map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision.clone()));
        let envelope = self.store.put(&key, (&node, &pen), &record, &expect).expect("nobody is in between");
        self.book(&key, &envelope);
        self.announce(&key, id);
    }

    fn asking(&mut self, id: &str, grant: &Grant, token: &str) -> NodeRecord {
        let machine = self.machine(id);
        let (signing, sealing) = (machine.pen().verifying_key(), machine.sealing_key());
        let (node, identity) = (machine.node.clone(), machine.identity.clone());
        let claim = Proof { invitation: &grant.id, node: &node, identity: &identity, keys: (&signing, &sealing) };
        let proof = Some(claim.sign(&signing_key(token)));
        let grant_text = Some(SignedGrant::new(grant, &signing_key("the fleet")));
        NodeRecord {
            name: node,
            identity,
            signing_key: signing,
            sealing_key: sealing,
            granted: grant.roles.clone(),
            joined_at: self.wall(),
            grant: grant_text,
            proof,
            extra: Default::default(),
        }
    }

    /// `node remove`, given on a machine that is a member. What the removed one wrote last, that machine vouches for first: the others may all
    /// be down, and never have seen it.
    pub fn remove(&mut self, id: &str, compromised: bool) {
        self.vouch_instead_of(id);
        self.remove_alone(id, compromised);
    }

    /// The same, where nobody vouches for anything.
    pub fn remove_alone(&mut self, id: &str, compromised: bool) {
        let view = self.view_beside(id);
        let machine = self.machine(id);
        let (node, identity) = (machine.node.clone(), machine.identity.clone());
        let Some(mut fleet) = view.fleet.clone() else { return self.say("", "the command finds no fleet") };
        fleet.removals.push(Removal { node, identity, at: self.wall(), compromised });
        let key = RecordKey::Fleet.key();
        self.put_as_fleet_over(&key, &fleet, &view.base(&key));
    }

    /// What a command knows that is given on another machine than this one, whether its daemon runs or not.
    fn view_beside(&self, id: &str) -> View {
        let machine = self.issuer_beside(id).unwrap_or_else(|| self.fail("there is no other machine to give a command on"));
        let mut view = machine.fresh_view("command");
        let mut keys = view.known_keys();
        keys.extend(self.store.keys());
        for (key, stored) in keys.iter().map(|key| self.find(key)) {
            view.apply(&key, stored.as_ref().map(|(envelope, revision)| (envelope, revision)), Mono::default());
        }
        view
    }

    fn issuer_beside(&self, id: &str) -> Option<&Machine> {
        self.machines.values().find(|machine| machine.id != id && machine.roles.contains(&Role::Issue) && self.is_member(&machine.id))
    }

    fn vouch_instead_of(&mut self, id: &str) {
        let (from, old) = (self.machine(id).node.clone(), self.machine(id).pen().verifying_key());
        let Some((node, pen)) = self.issuer_beside(id).map(|machine| (machine.node.clone(), machine.pen())) else { return };
        for key in self.store.keys() {
            let is_it = |envelope: &&Envelope| envelope.writer == from && envelope.is_signed_by(&fleet_id(), &key, [&old]);
            let Some((envelope, revision)) = self.store.get(&key).filter(|(envelope, _)| is_it(envelope) && self.watch.is_honest(envelope))
            else {
                continue;
            };
            if RecordKey::of(&key).is_some_and(|record| is_kept(&record)) {
                let (body, expect) = (envelope.body.clone(), Expect::Revision(revision.clone()));
                let envelope = self.store.put(&key, (&node, &pen), &body, &expect).expect("nobody is in between");
                self.book(&key, &envelope);
                self.announce(&key, "");
            }
        }
    }

    /// `store restore`: the backup, and a new epoch by the fleet key.
    pub fn restore(&mut self) {
        let fleet = self.fleet().expect("there is a fleet");
        let backup = self.backup.clone();
        let values: Vec<(Key, Envelope)> =
            backup.keys().into_iter().filter_map(|key| Some((key.clone(), backup.get(&key)?.0.clone()))).collect();
        self.watch.restored(values.into_iter());
        self.change_store(|store| store.restore(&backup));
        self.put_as_fleet(&RecordKey::Fleet.key(), &FleetRecord { epoch: fleet.epoch + 1, ..fleet });
    }

    /// `account rotate`, on the first machine that may.
    pub fn rotate_account(&mut self) {
        let issues = |machine: &&super::machine::Machine| machine.is_up() && machine.roles.contains(&certfleet_core::spec::Role::Issue);
        let Some(machine) = self.machines.values().find(issues) else { return self.say("", "no machine with the role issue is up") };
        let view = machine.view.as_ref().expect("is up");
        let base = view.base(&RecordKey::AccountKey.key());
        let action = Action::PrepareAccountKey(view.account_readers(), view.removals(), base);
        let ticket = Ticket { machine: machine.id.clone(), life: machine.life, subject: action.subject(), action };
        self.later(Duration::from_millis(1), Happening::Effect(Box::new(ticket)));
    }

    /// Somebody writes to the store: what stands there, with fields changed, in the name and with the key of `writer`; the old signature
    /// stays if there is no key.
    pub fn forge(&mut self, key: &Key, writer: Option<&str>, fields: &[String]) {
        let Some((before, _)) = self.store.get(key).map(|(envelope, revision)| (envelope.clone(), revision.clone())) else {
            return self.say("", "there is nothing to forge");
        };
        let mut envelope = Envelope { nonce: self.store.nonce(), change: before.change.saturating_add(1), ..before };
        for (field, value) in fields.iter().filter_map(|field| field.split_once('=')) {
            set(&mut envelope, field, value);
        }
        if let Some(id) = writer {
            let (node, pen) = (self.machine(id).node.clone(), self.machine(id).pen());
            envelope = Envelope { writer: node, ..envelope }.signed(&fleet_id(), key, &pen);
        }
        let counts = RecordKey::of(key).zip(self.roster()).is_some_and(|(record, roster)| roster.check(&record, &envelope).is_ok());
        let stood = self.find(key);
        self.store.force(key, envelope.clone());
        self.look_for_lost(&stood);
        if counts {
            self.book(key, &envelope);
        }
        self.announce(key, "");
    }

    /// Something else than a record.
    pub fn spoil(&mut self, key: &Key) {
        self.change_store(|store| store.spoil(key));
    }

    pub fn delete(&mut self, key: &Key) {
        self.change_store(|store| store.delete(key));
    }

    /// What stood there once stands there again.
    pub fn replay(&mut self, key: &Key, number: usize) {
        match self.store.earlier(key, number).cloned() {
            Some(envelope) => self.change_store(|store| store.force(key, envelope)),
            None => self.say("", "there is nothing to replay"),
        }
    }

    /// Two values change places.
    pub fn swap(&mut self, one: &Key, other: &Key) {
        let value = |key: &Key| self.store.get(key).map(|(envelope, _)| envelope.clone());
        match (value(one), value(other)) {
            (Some(first), Some(second)) => self.change_store(|store| {
                store.force(one, second);
                store.force(other, first);
            }),
            _ => self.say("", "there is nothing to swap"),
        }
    }

    /// The wrap of the key in use, for one node, is spoilt; by whoever wrote the key.
    pub fn break_wrap(&mut self, cert: &certfleet_core::names::CertName, node: &str) {
        let spki = self.cert_record(cert).and_then(|record| record.placed).unwrap_or_else(|| self.fail("nothing is placed")).key;
        let key = RecordKey::PrivateKey(spki.clone()).key();
        let (before, _) = self.store.get(&key).expect("the key is in the store");
        let (writer, mut record) = (before.writer.clone(), before.record::<PrivateKeyRecord>().expect("a key's record"));
        let expect = Expect::Revision(self.store.get(&key).expect("looked at above").1.clone());
        record.key.wraps.insert(node.parse().expect("name"), Wrap(vec![0]));
        self.store.delete(&RecordKey::Wrap(spki, node.parse().expect("name")).key());
        let pen = self.machine(writer.as_str()).pen();
        let envelope = self.store.put(&key, (&writer, &pen), &record, &expect).expect("nobody is in between");
        self.book(&key, &envelope);
        self.announce(&key, "");
    }
}

/// A field of the envelope, or one of the record by its path.
fn set(envelope: &mut Envelope, field: &str, value: &str) {
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    match field {
        "change" => envelope.change = value.as_u64().expect("a number"),
        "writer" => envelope.writer = value.as_str().expect("text").parse().expect("name"),
        "garbage" => envelope.body = value,
        _ => {
            let mut place = &mut envelope.body;
            for part in field.split('.') {
                place = match place {
                    Value::Array(items) => match part.parse::<usize>().ok().filter(|index| *index < items.len()) {
                        Some(index) => &mut items[index],
                        None => return,
                    },
                    Value::Object(fields) => fields.entry(part).or_insert(Value::Null),
                    _ => return,
                };
            }
            *place = value;
        }
    }
}
