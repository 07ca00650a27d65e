//! What one node knows: values only. `apply` takes in what was read from the store, `absorb` what came of an action; `decide` reads it all.
//!
//! Always holds: what is in the maps was signed by somebody who might write it when it was taken in; what was not is among the `strays`.
//! Always holds: for each record, `changed_at` is when *this* process first saw it as it is, and `read_at` when it last looked, both by its
//! own monotonic clock. Judging another node gone rests on these two and on no other clock.

mod absorb;
mod home;
mod keys;
mod local;
mod membership;
mod references;
mod sight;
mod strays;
mod take;

use std::collections::{BTreeMap, BTreeSet};

pub use absorb::{CaReply, InstallResult, Outcome};
pub use home::Moves;
pub use local::{Bar, Blob, ClockCheck, Drive, Installed, Local, MadeKey, Memory, Pause, StoreState};
pub use membership::{LIVE_SECONDS, STORE_AWAY};
pub use sight::Who;
pub(crate) use take::is_verbatim;
pub use take::{Accepted, Stray, Taken, is_kept};

use crate::decide::{Action, Plan};
use crate::envelope::Revision;
use crate::key::Key;
use crate::names::{CertName, FleetId, Identifier, Incarnation, InvitationId, IssuerName, NodeName, SpkiHash, TargetName};
use crate::records::{
    AccountKeyRecord, AccountRecord, CertRecord, FleetRecord, HomeRecord, InvitationRecord, NodeRecord, Presence, Report, RequestRecord,
};
use crate::spec::{FleetSpec, Role, Roles, Specification};
use crate::time::Mono;
use crate::trust::{Roster, VerifyingKey};

/// A record as this process saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed<T> {
    /// The record.
    pub value: T,
    /// Its revision, for the next compare-and-swap.
    pub revision: Revision,
    /// When it was first seen as it is.
    pub changed_at: Mono,
    /// When it was last looked at.
    pub read_at: Mono,
}

/// Who this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Its name.
    pub node: NodeName,
    /// This life of it.
    pub incarnation: Incarnation,
    /// What it drew when it joined.
    pub identity: String,
    /// The fleet it joined.
    pub fleet: FleetId,
    /// The fleet's keys, as it learnt them when it joined.
    pub verifying_keys: Vec<VerifyingKey>,
    /// What the configuration lets it do.
    pub configured: Roles,
    /// The software's version.
    pub version: String,
}

/// Everything a node knows.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Who it is.
    pub me: Me,
    /// Its own configuration.
    pub spec: FleetSpec,
    /// The certificates that it asks for, one for each node where each has a key of its own.
    pub wanted: BTreeMap<CertName, Specification>,
    /// The fleet, as the store says.
    pub fleet: Option<FleetRecord>,
    /// What this store is to the fleet; none if it says nothing, as where a fleet was made.
    pub home: Option<HomeRecord>,
    /// The nodes that were let in, removed ones among them.
    pub nodes: BTreeMap<NodeName, NodeRecord>,
    /// Machines that ask to be let in.
    pub joining: BTreeMap<NodeName, Observed<NodeRecord>>,
    /// Who came with which invitation.
    pub invitations: BTreeMap<InvitationId, InvitationRecord>,
    /// Whose word counts: made of the two records above, whenever they change.
    pub roster: Roster,
    /// Who is there.
    pub presence: BTreeMap<NodeName, Observed<Presence>>,
    /// The account key.
    pub account_key: Option<AccountKeyRecord>,
    /// The accounts.
    pub accounts: BTreeMap<IssuerName, Observed<AccountRecord>>,
    /// The certificates' records.
    pub certs: BTreeMap<CertName, Observed<CertRecord>>,
    /// What the nodes report.
    pub reports: BTreeMap<CertName, BTreeMap<(NodeName, TargetName), Observed<Report>>>,
    /// Requests of nodes that have a key.
    pub requests: BTreeMap<(CertName, NodeName), RequestRecord>,
    /// Which value each of the records above is.
    pub accepted: BTreeMap<Key, Accepted>,
    /// Those of them that are never removed, and whose writer has no say any more: somebody who has writes them anew.
    pub voiceless: BTreeSet<Key>,
    /// Values that do not count, and why. What was known of their keys before stays.
    pub strays: BTreeMap<Key, Stray>,
    /// What only this process knows.
    pub local: Local,
}

impl View {
    /// A node that has seen nothing yet.
    pub fn new(me: Me, spec: FleetSpec) -> Self {
        let roster = Roster::new(me.fleet.clone(), me.verifying_keys.clone());
        let mut view = Self {
            me,
            spec,
            wanted: BTreeMap::new(),
            fleet: None,
            home: None,
            nodes: BTreeMap::new(),
            joining: BTreeMap::new(),
            invitations: BTreeMap::new(),
            roster,
            presence: BTreeMap::new(),
            account_key: None,
            accounts: BTreeMap::new(),
            certs: BTreeMap::new(),
            reports: BTreeMap::new(),
            requests: BTreeMap::new(),
            accepted: BTreeMap::new(),
            voiceless: BTreeSet::new(),
            strays: BTreeMap::new(),
            local: Local::default(),
        };
        view.expand();
        view
    }

    /// Takes in a plan that is about to be carried out: its actions are under way from now on.
    pub fn begin(&mut self, plan: &Plan) {
        self.local.due_since.clone_from(&plan.due_since);
        self.local.busy.extend(plan.actions.iter().map(|(subject, _)| subject.clone()));
        for (_, action) in &plan.actions {
            if let Action::MakeKey(cert, number, wanted) = action {
                let drive = Drive { asked: Some((**wanted).clone()), ..Drive::default() };
                self.local.drives.insert((cert.clone(), *number), drive);
            }
        }
    }

    /// Our own presence, once written by this life, may only be written by this life. One with a lower beat is older than ours: a late
    /// read, or a restored backup.
    fn notice_duplicate(&mut self) {
        let (Some(seen), Some((_, ours))) = (self.presence.get(&self.me.node), &self.local.beaten_at) else { return };
        if seen.value.incarnation != self.me.incarnation && seen.value.beat > ours.beat {
            self.local.duplicate = Some(seen.value.incarnation.clone());
        }
    }

    /// Numbers that were seen in a record are never used again, also if the record forgets them.
    fn remember_number(&mut self, cert: &CertName) {
        let Some(number) = self.certs.get(cert).map(|seen| seen.value.last_number) else { return };
        let memory = self.local.memory.entry(cert.clone()).or_default();
        memory.number = memory.number.max(number);
    }

    /// A key that could not be opened was wrapped for this node: whatever waits for it is tried now.
    fn try_again_with(&mut self, spki: &SpkiHash, now: Mono) {
        let waits = |cert: &CertName| self.certs.get(cert).and_then(|seen| seen.value.placed.as_ref()).is_some_and(|p| p.key == *spki);
        for (_, installed) in self.local.targets.iter_mut().filter(|((cert, _), _)| waits(cert)) {
            installed.next_try = installed.next_try.min(now);
        }
    }

    /// Local progress belongs to an attempt that still runs (or is about to start) in the record.
    fn forget_stale_drives(&mut self, cert: &CertName) {
        let Some(record) = self.certs.get(cert).map(|seen| &seen.value) else { return };
        let mine = |number| {
            let runs = record
                .attempt
                .as_ref()
                .is_some_and(|a| a.number == number && a.holder.as_ref().is_some_and(|h| h.incarnation == self.me.incarnation));
            runs || record.set_aside.iter().any(|a| a.number == number) || (record.attempt.is_none() && number > record.last_number)
        };
        self.local.drives.retain(|(name, number), _| name != cert || mine(*number));
    }

    /// The nodes on which `cert` is installed: placed there, a member, and with the role.
    pub fn placed_nodes(&self, cert: &CertName) -> Vec<&NodeName> {
        let Some(spec) = self.specification(cert) else { return Vec::new() };
        self.members_with(Role::Deploy).filter(|node| spec.is_placed_on(node)).collect()
    }

    /// This node's targets that are not known to have a file for a configured certificate, ours or a stand-in: their servers may not start.
    pub fn targets_without_file(&self) -> impl Iterator<Item = (&CertName, &TargetName, &[Identifier])> {
        let deploys = self.me.configured.contains(&Role::Deploy);
        let mine = self.wanted.iter().filter(move |(_, spec)| deploys && spec.is_placed_on(&self.me.node));
        let pairs = mine.flat_map(|(cert, spec)| spec.deploy.iter().map(move |target| (cert, target, spec.names.as_slice())));
        pairs.filter(|(cert, target, _)| {
            let is_here = self.spec.targets.get(*target).is_some_and(|spec| spec.is_on(&self.me.node));
            is_here && !self.local.stood_in.contains(&((*cert).clone(), (*target).clone()))
        })
    }

    /// Every name that challenges are answered and requests are redirected for: those in the records and those in the own file.
    pub fn managed_names(&self) -> Vec<Identifier> {
        let records = self.certs.values().map(|seen| &seen.value).filter(|record| !record.retired || record.attempt.is_some());
        let recorded = records.flat_map(|record| {
            let running = record.attempt.iter().flat_map(|attempt| &attempt.names);
            let placed = record.placed.iter().flat_map(|placed| &placed.names);
            record.spec.names.iter().chain(running).chain(placed)
        });
        let mut names: Vec<_> = recorded.chain(self.spec.certificates.values().flat_map(|spec| &spec.names)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests;
