//! What must hold in the world besides the invariants of records: whoever knows everything looks on and keeps books of what was written in
//! earnest, so that nothing else is ever acted on, and nobody can open what is not meant for it.

use std::collections::{BTreeMap, BTreeSet};

use certfleet_core::decide::{Action, Call};
use certfleet_core::envelope::{Envelope, Nonce};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, InvitationId, SpkiHash};
use certfleet_core::records::{Attempt, CertRecord, FleetRecord, NodeRecord, Placed};
use certfleet_core::spec::Role;
use certfleet_core::trust::{Grant, Roster, may_write};
use certfleet_core::view::is_kept;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::World;
use super::machine::Machine;

/// The books.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// The last value of each key that was written in earnest.
    truth: BTreeMap<Key, Value>,
    honest: BTreeSet<Nonce>,
    placed: Vec<(CertName, Placed)>,
    attempts: Vec<(CertName, Attempt)>,
    keys: BTreeMap<SpkiHash, Option<CertName>>,
    admitted: BTreeMap<InvitationId, BTreeSet<String>>,
    /// Keys of which a write was taken away before a second `issue` node had seen it (before all had, if nothing or an older value was left
    /// there, which the others believe), or that a member wrote after it was removed and before some node heard of that. As with an engine that loses acknowledged writes, a certificate's number may be used again, and a second
    /// certificate may come of one attempt.
    lost: BTreeSet<Key>,
}

impl Watch {
    /// The last value that was written in earnest.
    pub fn truth<T: DeserializeOwned>(&self, key: &RecordKey) -> Option<T> {
        T::deserialize(self.truth.get(&key.key())?).ok()
    }

    /// Whether somebody wrote it who may.
    pub fn is_honest(&self, envelope: &Envelope) -> bool {
        self.honest.contains(&envelope.nonce)
    }

    /// A key was made for a certificate, or for the account.
    pub fn key_made(&mut self, spki: &SpkiHash, cert: Option<&CertName>) {
        self.keys.insert(spki.clone(), cert.cloned());
    }

    /// Whose key it is.
    pub fn cert_of(&self, spki: &SpkiHash) -> Option<CertName> {
        self.keys.get(spki).cloned().flatten()
    }

    /// Somebody wrote it who may.
    pub fn wrote(&mut self, key: &Key, envelope: &Envelope) {
        self.honest.insert(envelope.nonce.clone());
        self.truth.insert(key.clone(), envelope.body.clone());
        self.may_lead_on(key, envelope);
    }

    /// Somebody may act on what it asks for.
    fn may_lead_on(&mut self, key: &Key, envelope: &Envelope) {
        let (Some(RecordKey::Cert(cert)), Ok(record)) = (RecordKey::of(key), envelope.record::<CertRecord>()) else { return };
        self.placed.extend(record.placed.map(|placed| (cert.clone(), placed)));
        self.attempts.extend(record.attempt.into_iter().chain(record.set_aside).map(|attempt| (cert.clone(), attempt)));
    }

    /// Whether writes of a certificate's record were lost.
    pub fn has_lost(&self, cert: &CertName) -> bool {
        self.lost.contains(&RecordKey::Cert(cert.clone()).key())
    }

    /// A backup was restored by the word of the fleet key.
    pub fn restored(&mut self, values: impl Iterator<Item = (Key, Envelope)>) {
        self.truth.clear();
        values.for_each(|(key, envelope)| self.wrote(&key, &envelope));
    }

    /// Whose order it is.
    pub fn attempt_of(&self, order: &str, key: &SpkiHash) -> Option<(CertName, Generation)> {
        let mut attempts = self.attempts.iter().filter(|(_, attempt)| attempt.step.order() == Some(order) && attempt.key == *key);
        attempts.next().map(|(cert, attempt)| (cert.clone(), attempt.number))
    }

    fn may_be_placed(&self, cert: &CertName, placed: &Placed) -> bool {
        let same = |known: &Placed| Placed { resumed: placed.resumed, ..known.clone() } == *placed;
        self.placed.iter().any(|(name, known)| name == cert && same(known))
    }

    fn may_be_called(&self, cert: &CertName, call: &Call) -> bool {
        let mut attempts = self.attempts.iter().filter(|(name, _)| name == cert).map(|(_, attempt)| attempt);
        let by_order = |attempt: &Attempt, order: &str| attempt.step.order() == Some(order);
        attempts.any(|attempt| match call {
            Call::NewOrder(names, _) => attempt.names == *names,
            Call::Look(order) | Call::Fetch(order) => by_order(attempt, order),
            Call::Ready(urls) => urls.iter().all(|url| url.split_once('#').is_some_and(|(order, _)| by_order(attempt, order))),
            Call::Finalize(order, csr) => by_order(attempt, order) && attempt.csr == *csr,
        })
    }
}

impl World {
    /// What the fleet key said last, of what stands in the store or is known to a machine that it leaves in: the rest is as if never said.
    pub fn fleet(&self) -> Option<FleetRecord> {
        let key = RecordKey::Fleet.key();
        let stands = self.store.get(&key).map(|(envelope, _)| &envelope.nonce);
        let said = self.store.history(&key).filter(|envelope| self.watch.is_honest(envelope)).filter_map(|envelope| {
            let mut knowing = self.machines.values().filter(|machine| machine.knows(&key, &envelope.nonce)).peekable();
            let is_there = stands == Some(&envelope.nonce);
            let fleet: FleetRecord = (is_there || knowing.peek().is_some()).then(|| envelope.record().ok())??;
            let leaves_in = |machine: &Machine| !fleet.removals.iter().any(|removal| removal.identity == machine.identity);
            let counts = is_there || knowing.any(leaves_in);
            counts.then_some((fleet, envelope))
        });
        let latest = said.max_by_key(|(fleet, envelope)| (fleet.epoch, fleet.removals.len(), envelope.change, envelope.nonce.clone()));
        latest.map(|(fleet, _)| fleet)
    }

    pub fn node_record(&self, id: &str) -> Option<NodeRecord> {
        let machine = self.machines.get(id)?;
        let record: NodeRecord = self.watch.truth(&RecordKey::Node(machine.node.clone()))?;
        (record.identity == machine.identity).then_some(record)
    }

    pub fn was_removed(&self, id: &str) -> bool {
        let machine = self.machines.get(id);
        let removals = self.fleet().into_iter().flat_map(|fleet| fleet.removals);
        removals.into_iter().any(|removal| machine.is_some_and(|machine| machine.identity == removal.identity))
    }

    /// Whether the machine is a member now. One that alone has read of its own removal stands back.
    pub fn is_member(&self, id: &str) -> bool {
        self.node_record(id).is_some() && !self.was_removed(id) && !self.machines[id].stands_back()
    }

    pub fn members(&self) -> Vec<String> {
        self.machines.keys().filter(|id| self.is_member(id)).cloned().collect()
    }

    /// A certificate's record: the latest that was written in earnest and that a member knows.
    pub(super) fn known_record(&self, cert: &CertName) -> Option<CertRecord> {
        let key = RecordKey::Cert(cert.clone()).key();
        let members: Vec<_> = self.machines.values().filter(|machine| self.is_member(&machine.id)).collect();
        let is_known = |nonce: &Nonce| self.watch.honest.contains(nonce) && members.iter().any(|machine| machine.knows(&key, nonce));
        self.store.history(&key).find(|envelope| is_known(&envelope.nonce)).and_then(|envelope| envelope.record().ok())
    }

    /// After a stranger's deed, what stood there before: whether it is lost. Who never saw it and finds nothing there, or something older,
    /// may begin anew before those that saw it have put it right.
    pub(super) fn look_for_lost(&mut self, (key, stored): &super::Found) {
        // The fleet's and the nodes' records any member puts back that knows them.
        let may_be = |record: &RecordKey| is_kept(record) && !matches!(record, RecordKey::Fleet | RecordKey::Node(_));
        let Some((envelope, _)) = stored.as_ref().filter(|_| RecordKey::of(key).is_some_and(|record| may_be(&record))) else { return };
        let now = self.store.get(key).map(|(now, _)| now);
        let is_gone = now.is_none_or(|now| now.nonce != envelope.nonce);
        let may_write = |machine: &&Machine| self.is_member(&machine.id) && machine.roles.contains(&Role::Issue);
        let writers = self.machines.values().filter(may_write).count();
        let known = self.machines.values().filter(may_write).filter(|machine| machine.knows(key, &envelope.nonce)).count();
        let is_believed = known < writers && now.is_none_or(|now| self.watch.is_honest(now));
        if is_gone && (known < 2 || is_believed) && self.watch.is_honest(envelope) {
            self.say("", &format!("a write of {key} is lost before others saw it"));
            self.watch.lost.insert(key.clone());
        }
    }

    /// Who is in, by what was written in earnest.
    pub fn roster(&self) -> Option<Roster> {
        let nodes: Vec<NodeRecord> = self.machines.keys().filter_map(|id| self.node_record(id)).collect();
        self.fleet().map(|fleet| Roster::of(&fleet, &nodes))
    }

    /// A machine or an operator wrote a value.
    pub(super) fn book(&mut self, key: &Key, envelope: &Envelope) {
        self.watch.wrote(key, envelope);
        self.look_at_readers(key);
        if let (Some(RecordKey::Node(_)), Ok(record)) = (RecordKey::of(key), envelope.record::<NodeRecord>()) {
            self.count_use(&record);
        }
    }

    fn count_use(&mut self, record: &NodeRecord) {
        let Some(grant) = record.grant.as_ref().and_then(|signed| serde_json::from_str::<Grant>(&signed.grant).ok()) else { return };
        let admitted = self.watch.admitted.entry(grant.id.clone()).or_default();
        admitted.insert(record.identity.clone());
        let count = admitted.len();
        if count > grant.uses as usize {
            self.fail(&format!("INVARIANT: a token for {} let {count} in", grant.uses));
        }
    }

    /// Nobody can open a key that is not meant for it.
    fn look_at_readers(&self, key: &Key) {
        for (cert, wraps) in self.readers_in(key) {
            for (id, node) in wraps.values().flat_map(|wrap| self.opened_by(wrap)) {
                let granted = self.node_record(id).map(|record| record.granted).unwrap_or_default();
                let is_meant = match &cert {
                    None => granted.contains(&Role::Issue),
                    Some(cert) => granted.contains(&Role::Deploy) && self.is_placed_on(cert, id),
                };
                if !is_meant {
                    self.fail(&format!("INVARIANT: {id} ({node}) can open {key}, and is not meant to"));
                }
            }
        }
    }

    fn is_placed_on(&self, cert: &CertName, id: &str) -> bool {
        let node = &self.machines[id].node;
        let recorded = self.watch.truth::<CertRecord>(&RecordKey::Cert(cert.clone())).map(|record| record.spec);
        let views = self.machines.values().filter_map(|machine| machine.view.as_ref());
        let configured = views.filter_map(|view| view.wanted.get(cert).cloned());
        recorded.into_iter().chain(configured).any(|spec| spec.is_placed_on(node))
    }

    /// A machine took a value for good: somebody wrote it in earnest, or a member did of whose removal the machine has not heard. Whoever
    /// writes the store can keep it from hearing, so that it acts on that.
    pub(super) fn look_at_taken(&mut self, id: &str, key: &Key, envelope: &Envelope) {
        if self.watch.honest.contains(&envelope.nonce) {
            return;
        }
        let view = self.machines[id].view.as_ref();
        let record = RecordKey::of(key);
        let members = view.and_then(|view| view.roster.members.get(&envelope.writer));
        let signed = members.is_some_and(|member| envelope.is_signed_by(&super::store::fleet_id(), key, [&member.signing_key]));
        let may = record.zip(members).is_some_and(|(record, member)| may_write(&record, &envelope.writer, &member.granted));
        if !(signed && may) {
            self.fail(&format!("INVARIANT: {id} takes in {key}, which {} had no right to write", envelope.writer));
        }
        self.watch.may_lead_on(key, envelope);
        self.watch.lost.insert(key.clone());
    }

    /// Nothing is done that no record which was written in earnest asks for.
    pub(super) fn look_at_action(&self, id: &str, action: &Action) {
        match action {
            Action::Install(_, batch) => {
                let wrong = batch.iter().find(|(cert, placed)| !self.watch.may_be_placed(cert, placed));
                if let Some((cert, placed)) = wrong {
                    self.fail(&format!("INVARIANT: {id} installs {:?} of {cert}, which nobody placed", placed.placement));
                }
            }
            Action::Call(cert, _, _, call) if !self.watch.may_be_called(cert, call) => {
                self.fail(&format!("INVARIANT: {id} calls {call:?} for {cert}, which no record asks for"));
            }
            _ => {}
        }
    }

    /// Of a fleet at rest: nothing stands in the store that nobody wrote in earnest, nobody has anything to put right, and a machine that
    /// was removed as compromised can open nothing that is in use. What is wrong, if anything. Where a write was lost, a node that may not
    /// write there can know more than all that may: it does not take what they have until that is outdone. And who came with an invitation
    /// is not written again before somebody else comes with it: what stands there meanwhile is as good as nothing.
    pub fn is_safe(&self) -> Result<(), String> {
        let is_moot = |key: &Key| self.watch.lost.contains(key) && matches!(RecordKey::of(key), Some(RecordKey::Invitation(_)));
        let kept = |key: &Key| RecordKey::of(key).is_some_and(|record| is_kept(&record)) && !is_moot(key);
        for (key, nonce) in self.store.keys().iter().filter_map(|key| Some((key.clone(), self.store.get(key)?.0.nonce.clone()))) {
            if kept(&key) && !self.watch.honest.contains(&nonce) {
                return Err(format!("{key} is forged"));
            }
        }
        for machine in self.machines.values().filter(|machine| self.is_member(&machine.id)) {
            let may_know_more = |key: &Key| self.watch.lost.contains(key) && !machine.roles.contains(&Role::Issue);
            let strays = machine.view.iter().flat_map(|view| &view.strays).filter(|(key, _)| kept(key) && !may_know_more(key));
            if let Some((key, stray)) = strays.into_iter().next() {
                return Err(format!("{} does not take {key} for good: {}", machine.id, stray.why));
            }
        }
        self.compromised().iter().try_for_each(|id| self.opens_nothing_in_use(id))
    }

    fn compromised(&self) -> Vec<String> {
        let removals = self.fleet().map(|fleet| fleet.removals).unwrap_or_default();
        let is = |identity: &str| removals.iter().any(|removal| removal.compromised && removal.identity == identity);
        self.machines.values().filter(|machine| is(&machine.identity)).map(|machine| machine.id.clone()).collect()
    }

    fn opens_nothing_in_use(&self, id: &str) -> Result<(), String> {
        let account: Option<certfleet_core::records::AccountKeyRecord> = self.store.record(&RecordKey::AccountKey.key());
        let account = account.map(|record| ("the account".to_owned(), record.current.spki));
        let certs = self.store.keys().into_iter().filter_map(|key| match RecordKey::of(&key) {
            Some(RecordKey::Cert(cert)) => Some((cert.to_string(), self.cert_record(&cert).filter(|record| !record.retired)?.placed?.key)),
            _ => None,
        });
        for (what, spki) in certs.chain(account) {
            if self.can_open(id, &spki) {
                return Err(format!("{id} was compromised and can open the key of {what}"));
            }
        }
        Ok(())
    }
}
