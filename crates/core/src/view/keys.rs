//! What is known of keys: who could read them, and whether anybody still can.

use std::time::Duration;

use super::View;
use crate::decide::Readers;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, Identifier, NodeName, SpkiHash};
use crate::records::{CertRecord, NodeRecord, Presence};
use crate::spec::{Role, Specification};
use crate::time::{Mono, Now};

/// How long all who should have a key must have lacked it before it counts as lost, in seconds: one of them may be about to open it.
const LOST_SECONDS: u64 = 60;

impl View {
    /// Whether a node that was removed as compromised could read a key of this specification that was made when the fleet's list had
    /// `after_removals` entries.
    pub fn is_exposed(&self, spec: &Specification, after_removals: u64) -> bool {
        self.later_compromises(after_removals).any(|node| spec.is_placed_on(node))
    }

    /// The same of the placed key of a certificate, which the node may also have made.
    pub fn is_placed_exposed(&self, cert: &CertName, record: &CertRecord, spec: &Specification) -> bool {
        let Some(placed) = &record.placed else { return false };
        let mut nodes = self.later_compromises(placed.after_removals);
        nodes.any(|node| spec.is_placed_on(node) || (self.has_issued(node) && may_have_made(node, cert, record)))
    }

    /// Whether the machine with this record can know the placed key of a certificate: as a reader, or because it may have made it.
    pub fn can_know(&self, machine: &NodeRecord, cert: &CertName, record: &CertRecord) -> bool {
        let reads = machine.granted.contains(&Role::Deploy) && record.spec.is_placed_on(&machine.name);
        reads || (machine.granted.contains(&Role::Issue) && may_have_made(&machine.name, cert, record))
    }

    /// Whether a node that was removed as compromised since could read the account key.
    pub fn is_account_exposed(&self) -> bool {
        let Some(key) = &self.account_key else { return false };
        self.later_compromises(key.current.after_removals).any(|node| self.has_issued(node))
    }

    /// Of a removed node only the name is known for certain; its record may be a successor's. Rather once too often than not.
    fn has_issued(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_none_or(|record| record.granted.contains(&Role::Issue))
    }

    fn later_compromises(&self, after_removals: u64) -> impl Iterator<Item = &NodeName> {
        let removals = self.fleet.iter().flat_map(|fleet| &fleet.removals);
        removals
            .skip(usize::try_from(after_removals).unwrap_or(usize::MAX))
            .filter(|r| r.compromised && !has(Mutant::KeepExposed))
            .map(|r| &r.node)
    }

    /// The thumbprint of the account key in use.
    pub fn account_thumbprint(&self) -> Option<&str> {
        self.account_key.as_ref().map(|key| key.current.thumbprint.as_str())
    }

    /// Names that are validated now by an account with another key, as while the key is being changed: its thumbprint.
    pub fn other_thumbprints(&self) -> impl Iterator<Item = (&Identifier, &str)> {
        let usual = self.account_thumbprint();
        let is_one = self.accounts.values().all(|account| Some(account.value.thumbprint.as_str()) == usual);
        let attempts = self.certs.running().map(|(_, attempt)| attempt).take_while(move |_| !is_one);
        let others = attempts.filter_map(move |attempt| {
            let thumbprint = self.accounts.get(&attempt.issuer)?.value.thumbprint.as_str();
            (Some(thumbprint) != usual).then(|| attempt.names.iter().map(move |name| (name, thumbprint)))
        });
        others.flatten()
    }

    /// The members that are meant to read a certificate's key.
    pub fn readers(&self, spec: &Specification) -> Readers {
        let members = spec.placed_among(&self.roster.members).filter(|(_, member)| member.granted.contains(&Role::Deploy));
        members.map(|(node, member)| (node.clone(), member.sealing_key)).collect()
    }

    /// The members that are meant to read the account key.
    pub fn account_readers(&self) -> Readers {
        self.roster.with_role(Role::Issue).map(|(node, member)| (node.clone(), member.sealing_key)).collect()
    }

    /// From when on the key of `cert` counts as lost: all live nodes on which that is placed say that they cannot open it, and have said so
    /// for a while.
    pub fn lost_at(&self, cert: &CertName, key: &SpkiHash, now: Now) -> Option<Mono> {
        let placed = self.placed_nodes(cert).filter(|node| self.is_live(node, now.mono));
        self.lacked_since(placed, key).map(|since| since + self.lost_after())
    }

    /// Whether all live `issue` nodes say that they cannot open the account key.
    pub fn is_account_lost(&self, now: Now) -> bool {
        let Some(key) = &self.account_key else { return false };
        let issuers = self.live_issuers(now.mono);
        self.lacked_since(issuers.iter().copied(), &key.current.spki).is_some_and(|since| now.mono.since(since) >= self.lost_after())
    }

    /// Where the store may show the old, a new wrap is seen late, and so is that nobody lacks the key any more.
    fn lost_after(&self) -> Duration {
        Duration::from_secs(LOST_SECONDS) + 2 * self.local.lag
    }

    /// A node has said which keys it lacks. However often it beats, what it said before it has lacked since then.
    pub(super) fn note_lacks(&mut self, node: &NodeName, said: &Presence, now: Mono) {
        let before = self.lacking.remove(node).unwrap_or_default();
        let since = said.lacks.iter().map(|key| (key.clone(), before.get(key).copied().unwrap_or(now)));
        self.lacking.insert(node.clone(), since.collect());
    }

    /// Since when all of `nodes` have lacked the key; none if one of them does not say so, or there are none.
    fn lacked_since<'n>(&self, nodes: impl Iterator<Item = &'n NodeName>, key: &SpkiHash) -> Option<Mono> {
        let mut since = None;
        for node in nodes {
            let lacks = if *node == self.me.node { *self.local.lacks.get(key)? } else { *self.lacking.get(node)?.get(key)? };
            since = since.max(Some(lacks));
        }
        since
    }
}

/// Whether the node drove an attempt that can have made the placed key: that of its generation, or, of a key that is kept, any earlier one.
/// Where the history does not go back so far, it may have.
fn may_have_made(node: &NodeName, cert: &CertName, record: &CertRecord) -> bool {
    let Some(placed) = record.placed.as_ref().filter(|_| cert.node().is_none()) else { return false };
    let generation = placed.placement.generation;
    let is_known = record.history.iter().any(|entry| entry.number == generation);
    let mut entries = record.history.iter().filter(|entry| record.spec.reuse || entry.number == generation);
    !is_known || entries.any(|entry| entry.drivers.contains(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, cert, mono, presence, record, seen, view};

    #[test]
    fn a_key_is_lost_when_all_have_lacked_it_for_as_long_as_a_new_wrap_takes_to_be_seen() {
        let (mut view, key) = (view(), SpkiHash::of(b"k"));
        view.certs.insert(cert(), seen(record(), 0, 0));
        let nodes: Vec<NodeName> = view.nodes.keys().cloned().collect();
        for (n, node) in (1..).zip(&nodes) {
            assert_eq!(view.lost_at(&cert(), &key, at(9)), None, "{node} has not said that it lacks the key");
            view.presence.insert(node.clone(), seen(presence(node.as_str(), 1), 9, 9));
            view.note_lacks(node, &Presence { lacks: vec![key.clone()], ..presence(node.as_str(), 1) }, mono(n));
        }
        view.local.lacks.insert(key.clone(), mono(1));
        let last = nodes.len() as u64;
        assert_eq!(view.lost_at(&cert(), &key, at(9)), Some(mono(last + 60)));
        view.local.lag = Duration::from_secs(30);
        assert_eq!(view.lost_at(&cert(), &key, at(9)), Some(mono(last + 120)));
    }
}
