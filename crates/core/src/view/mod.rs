//! What one node knows: values only. `apply` takes in what was read from the store, `absorb` what came of an action; `decide` reads it all.
//!
//! Always holds: what is in the maps was signed by somebody who might write it when it was taken in; what was not is among the `strays`.
//! Always holds: for each record, `changed_at` is when *this* process first saw it as it is, and `read_at` when it last looked, both by its
//! own monotonic clock. Judging another node gone rests on these two and on no other clock.

mod absorb;
mod certs;
mod changes;
mod home;
mod keys;
mod local;
mod membership;
mod noted;
mod references;
mod shared;
mod sight;
mod strays;
mod take;

use std::collections::{BTreeMap, BTreeSet};

pub use absorb::{CaReply, InstallResult, KeySeen, Outcome};
pub use certs::Certs;
pub(crate) use changes::{Changes, First, of_cert, of_record, of_subject};
pub use home::Moves;
pub use local::{Bar, Blob, ClockCheck, Drive, Installed, Local, MadeKey, Memory, Pause, StoreState};
pub use membership::{LIVE_SECONDS, STORE_AWAY};
pub use noted::{Noted, NotedSet, Touched};
pub use shared::Shared;
pub use sight::Who;
pub(crate) use take::is_verbatim;
pub use take::{Accepted, Stray, Taken, is_kept};

use crate::decide::{Action, Event, Plan, Subject};
use crate::envelope::Revision;
use crate::key::Key;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, FleetId, Generation, Identifier, Incarnation, InvitationId, IssuerName, NodeName, SpkiHash, TargetName};
use crate::records::{
    AccountKeyRecord, AccountRecord, Attempt, FleetRecord, HomeRecord, InvitationRecord, NodeRecord, Presence, Report, RequestRecord,
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
    pub wanted: Noted<CertName, Specification>,
    /// The fleet, as the store says.
    pub fleet: Option<FleetRecord>,
    /// What this store is to the fleet; none if it says nothing, as where a fleet was made.
    pub home: Option<HomeRecord>,
    /// The nodes that were let in, removed ones among them.
    pub nodes: Shared<BTreeMap<NodeName, NodeRecord>>,
    /// Machines that ask to be let in.
    pub joining: BTreeMap<NodeName, Observed<NodeRecord>>,
    /// Who came with which invitation.
    pub invitations: BTreeMap<InvitationId, InvitationRecord>,
    /// Whose word counts: made of the two records above, whenever they change.
    pub roster: Shared<Roster>,
    /// Who is there.
    pub presence: Noted<NodeName, Observed<Presence>>,
    /// Which keys they say they cannot open, and since when they have said so.
    pub lacking: BTreeMap<NodeName, BTreeMap<SpkiHash, Mono>>,
    /// The account key.
    pub account_key: Option<AccountKeyRecord>,
    /// The accounts.
    pub accounts: BTreeMap<IssuerName, Observed<AccountRecord>>,
    /// The certificates' records.
    pub certs: Certs,
    /// The CAs that some certificate of the configuration may be asked of.
    pub issuers_in_use: BTreeSet<IssuerName>,
    /// What the nodes report.
    pub reports: Noted<CertName, BTreeMap<(NodeName, TargetName), Observed<Report>>>,
    /// Requests of nodes that have a key.
    pub requests: Noted<(CertName, NodeName), RequestRecord>,
    /// Which value each of the records above is.
    pub accepted: Noted<Key, Accepted>,
    /// Those of them that are never removed, and whose writer has no say any more: somebody who has writes them anew.
    pub voiceless: BTreeSet<Key>,
    /// Values that do not count, and why. What was known of their keys before stays.
    pub strays: Noted<Key, Stray>,
    /// What only this process knows.
    pub local: Local,
}

impl View {
    /// A node that has seen nothing yet.
    pub fn new(me: Me, spec: FleetSpec) -> Self {
        let roster = Roster::new(me.fleet.clone(), me.verifying_keys.clone()).into();
        let mut view = Self {
            me,
            spec,
            wanted: Noted::default(),
            fleet: None,
            home: None,
            nodes: Shared::default(),
            joining: BTreeMap::new(),
            invitations: BTreeMap::new(),
            roster,
            presence: Noted::default(),
            lacking: BTreeMap::new(),
            account_key: None,
            accounts: BTreeMap::new(),
            certs: Certs::default(),
            issuers_in_use: BTreeSet::new(),
            reports: Noted::default(),
            requests: Noted::default(),
            accepted: Noted::default(),
            voiceless: BTreeSet::new(),
            strays: Noted::default(),
            local: Local::default(),
        };
        view.certs.configure([].into_iter(), view.spec.certificates.values().flat_map(|spec| &spec.names));
        view.expand();
        view
    }

    /// Takes in a plan that is about to be carried out: its actions are under way from now on.
    pub fn begin(&mut self, plan: &Plan) {
        self.local.due_since.clone_from(&plan.due_since);
        self.start(&plan.actions);
    }

    /// These actions are under way from now on.
    pub(crate) fn start(&mut self, actions: &[(Subject, Action)]) {
        for (subject, action) in actions {
            self.local.busy.insert(subject.clone());
            match action {
                Action::MakeKey(cert, number, wanted) => {
                    let drive = Drive { asked: Some((**wanted).clone()), ..Drive::default() };
                    self.local.drives.insert((cert.clone(), *number), drive);
                    self.local.claiming.insert(cert.clone());
                }
                Action::Write(cert, _, _, Event::Keyed | Event::TakenOver) => drop(self.local.claiming.insert(cert.clone())),
                _ => {}
            }
        }
    }

    /// How many attempts this life of this node drives, or is about to.
    pub fn driven(&self) -> usize {
        let is_mine = |attempt: &Attempt| attempt.holder.as_ref().is_some_and(|holder| holder.incarnation == self.me.incarnation);
        let held = self.certs.held_by(&self.me.node).filter(|(_, attempt)| is_mine(attempt));
        let mut certs: BTreeSet<&CertName> = held.map(|(cert, _)| cert).collect();
        certs.extend(&self.local.claiming);
        certs.len()
    }

    /// Our own presence, once written by this life, may only be written by this life. One with a lower beat is older than ours: a late
    /// read, or a restored backup.
    fn notice_duplicate(&mut self) {
        let (Some(seen), Some((_, ours))) = (self.presence.get(&self.me.node), &self.local.beaten_at) else { return };
        if seen.value.incarnation == self.me.incarnation {
            self.local.duplicate = None;
        } else if seen.value.beat > ours.beat && !has(Mutant::IgnoreClone) {
            self.local.duplicate = Some(seen.value.incarnation.clone());
        }
    }

    /// Numbers that were seen in a record are never used again, also if the record forgets them.
    fn remember_number(&mut self, cert: &CertName) {
        let Some(number) = self.certs.get(cert).map(|seen| seen.value.last_number) else { return };
        if self.local.memory.get(cert).is_none_or(|memory| memory.number < number) {
            self.local.memory.entry(cert.clone()).or_default().number = number;
            self.local.unsaved.insert(cert.clone());
        }
    }

    /// A key that could not be opened was wrapped for this node: whatever waits for it is tried now.
    fn try_again_with(&mut self, spki: &SpkiHash, now: Mono) {
        for (cert, _) in self.certs.with_key(spki) {
            let slots: Vec<_> = of_cert(&self.local.targets, cert).map(|(target, _)| (cert.clone(), target.clone())).collect();
            for slot in slots {
                if let Some(installed) = self.local.targets.get_mut(&slot) {
                    installed.next_try = installed.next_try.min(now);
                }
            }
        }
    }

    /// Local progress belongs to an attempt that still runs (or is about to start) in the record.
    fn forget_stale_drives(&mut self, cert: &CertName) {
        let Some(record) = self.certs.get(cert).map(|seen| &seen.value) else { return };
        let mine = |number: Generation| {
            let runs = record
                .attempt
                .as_ref()
                .is_some_and(|a| a.number == number && a.holder.as_ref().is_some_and(|h| h.incarnation == self.me.incarnation));
            runs || record.set_aside.iter().any(|a| a.number == number) || (record.attempt.is_none() && number > record.last_number)
        };
        let stale: Vec<Generation> = of_cert(&self.local.drives, cert).map(|(number, _)| *number).filter(|number| !mine(*number)).collect();
        for number in stale {
            self.local.drives.remove(&(cert.clone(), number));
        }
    }

    /// The nodes on which `cert` is installed: placed there, a member, and with the role.
    pub fn placed_nodes(&self, cert: &CertName) -> impl Iterator<Item = &NodeName> {
        let placed = self.specification(cert).map(|spec| spec.placed_among(&self.nodes));
        placed.into_iter().flatten().filter(|(_, record)| self.does(record, Role::Deploy)).map(|(node, _)| node)
    }

    /// This node's targets that are not known to have a file for a configured certificate, ours or a stand-in: their servers may not start.
    pub fn targets_without_file(&self) -> impl Iterator<Item = (&CertName, &TargetName, &[Identifier])> {
        self.wanted.iter().flat_map(|(cert, spec)| self.without_file(cert, spec))
    }

    /// Those of one certificate.
    pub(crate) fn without_file<'a>(
        &'a self,
        cert: &'a CertName,
        spec: &'a Specification,
    ) -> impl Iterator<Item = (&'a CertName, &'a TargetName, &'a [Identifier])> {
        let deploys = self.me.configured.contains(&Role::Deploy) && spec.is_placed_on(&self.me.node);
        let targets = spec.deploy.iter().filter(move |target| {
            let is_here = deploys && self.spec.targets.get(*target).is_some_and(|spec| spec.is_on(&self.me.node));
            is_here && !self.local.stood_in.contains(&(cert.clone(), (*target).clone()))
        });
        targets.map(move |target| (cert, target, spec.names.as_slice()))
    }

    /// Every name that challenges are answered and requests are redirected for: those in the records and those in the own file.
    pub fn managed_names(&self) -> Vec<Identifier> {
        self.certs.managed_names().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
