//! What one node knows: values only. `apply` takes in what was read from the store, `absorb` what came of an action; `decide` reads it all.
//!
//! Always holds: for each record, `changed_at` is when *this* process first saw it as it is, and `read_at` when it last looked, both by its
//! own monotonic clock. Judging another node gone rests on these two and on no other clock.

mod absorb;
mod local;
mod references;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

pub use absorb::{CaReply, InstallResult, Outcome};
pub use local::{Bar, Blob, ClockCheck, Drive, Installed, Local, MadeKey, Memory, Pause, StoreState};

use crate::decide::{Action, Plan};
use crate::envelope::{Envelope, Revision};
use crate::key::{Key, RecordKey};
use crate::names::{CertName, FleetId, Identifier, Incarnation, IssuerName, NodeName, TargetName};
use crate::records::{AccountKeyRecord, AccountRecord, CertRecord, FleetRecord, NodeRecord, Presence, PresenceState, Report};
use crate::spec::{FleetSpec, Role, Roles};
use crate::time::Mono;

/// How long a node counts as live after its last beat was seen, in seconds: two idle beats and some slack.
pub const LIVE_SECONDS: u64 = 150;

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
    /// The fleet, as the store says.
    pub fleet: Option<FleetRecord>,
    /// The members.
    pub nodes: BTreeMap<NodeName, NodeRecord>,
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
    /// Values that could not be read, and why.
    pub unreadable: BTreeMap<Key, String>,
    /// What only this process knows.
    pub local: Local,
}

impl View {
    /// A node that has seen nothing yet.
    pub fn new(me: Me, spec: FleetSpec) -> Self {
        Self {
            me,
            spec,
            fleet: None,
            nodes: BTreeMap::new(),
            presence: BTreeMap::new(),
            account_key: None,
            accounts: BTreeMap::new(),
            certs: BTreeMap::new(),
            reports: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            local: Local::default(),
        }
    }

    /// Takes in a plan that is about to be carried out: its actions are under way from now on.
    pub fn begin(&mut self, plan: &Plan) {
        self.local.due_since.clone_from(&plan.due_since);
        self.local.busy.extend(plan.actions.iter().map(|(subject, _)| subject.clone()));
        for (_, action) in &plan.actions {
            if let Action::MakeKey(cert, number, key, names) = action {
                let drive = Drive { asked: Some((*key, names.clone())), ..Drive::default() };
                self.local.drives.insert((cert.clone(), *number), drive);
            }
        }
    }

    /// Takes in what stands (or no longer stands) under `key`.
    pub fn apply(&mut self, key: &Key, stored: Option<(&Envelope, &Revision)>, now: Mono) {
        self.unreadable.remove(key);
        if stored.is_none() && self.is_lost_with_its_store(key) {
            return self.refuse(key, "it is gone from the store, where nothing ever removes it".into());
        }
        let result = match RecordKey::of(key) {
            Some(RecordKey::Fleet) => take_plain(stored).map(|record| self.fleet = record),
            Some(RecordKey::AccountKey) => take_plain(stored).map(|record| self.account_key = record),
            Some(RecordKey::Node(node)) => take_plain(stored).map(|record| set(&mut self.nodes, node, record)),
            Some(RecordKey::Presence(node)) => take(&mut self.presence, node, stored, now),
            Some(RecordKey::Account(issuer)) => take(&mut self.accounts, issuer, stored, now),
            Some(RecordKey::Cert(cert)) => take(&mut self.certs, cert, stored, now),
            Some(RecordKey::Report(cert, node, target)) => take(self.reports.entry(cert).or_default(), (node, target), stored, now),
            Some(RecordKey::PrivateKey(_) | RecordKey::Version(..)) | None => Ok(()),
        };
        if let Err(why) = result {
            self.refuse(key, why);
        }
        self.after_apply(key);
    }

    /// Notes a value that is no envelope or no record. What was known of it before stays: a value that cannot be read changes nothing.
    pub fn refuse(&mut self, key: &Key, why: String) {
        self.unreadable.insert(key.clone(), why);
    }

    /// Records that are never removed. Where one vanishes, the store did (an unmounted path): nothing new is made in its place.
    fn is_lost_with_its_store(&self, key: &Key) -> bool {
        match RecordKey::of(key) {
            Some(RecordKey::AccountKey) => self.account_key.is_some(),
            Some(RecordKey::Account(issuer)) => self.accounts.contains_key(&issuer),
            Some(RecordKey::Cert(cert)) => self.certs.contains_key(&cert),
            _ => false,
        }
    }

    fn after_apply(&mut self, key: &Key) {
        match RecordKey::of(key) {
            Some(RecordKey::Presence(node)) if node == self.me.node => self.notice_duplicate(),
            Some(RecordKey::Cert(cert)) => {
                self.remember_number(&cert);
                self.forget_stale_drives(&cert);
            }
            _ => {}
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

    /// The store keys of everything known; what a full listing no longer has is to be applied as gone.
    pub fn known_keys(&self) -> Vec<Key> {
        let reports = self
            .reports
            .iter()
            .flat_map(|(cert, reports)| reports.keys().map(|(node, target)| RecordKey::Report(cert.clone(), node.clone(), target.clone())));
        let keys = (self.fleet.iter().map(|_| RecordKey::Fleet))
            .chain(self.account_key.iter().map(|_| RecordKey::AccountKey))
            .chain(self.nodes.keys().cloned().map(RecordKey::Node))
            .chain(self.presence.keys().cloned().map(RecordKey::Presence))
            .chain(self.accounts.keys().cloned().map(RecordKey::Account))
            .chain(self.certs.keys().cloned().map(RecordKey::Cert))
            .chain(reports);
        keys.map(|key| key.key()).chain(self.unreadable.keys().cloned()).collect()
    }

    /// Whether the store holds the fleet that this node joined, and this node is a member of it; if not, why.
    pub fn membership(&self) -> Result<(), String> {
        match &self.local.store {
            StoreState::Away(why) => return Err(format!("the store cannot be reached: {why}")),
            StoreState::Unread => return Err("the store has not been read yet".into()),
            StoreState::Ready => {}
        }
        let Some(fleet) = &self.fleet else {
            return Err("the store is empty: is its file system mounted? (a fleet is made by `certfleet init`, never by `run`)".into());
        };
        if fleet.id != self.me.fleet {
            return Err(format!("the store holds another fleet ({}, this node joined {})", fleet.id, self.me.fleet));
        }
        if fleet.removals.contains(&self.me.node) {
            return Err(format!("node {} was removed from the fleet", self.me.node));
        }
        match self.nodes.get(&self.me.node) {
            None => Err(format!("the store does not list node {} as a member; join again", self.me.node)),
            Some(record) if record.identity != self.me.identity => {
                Err(format!("another machine has joined as {}; this one must join under another name", self.me.node))
            }
            Some(_) => Ok(()),
        }
    }

    /// What this node may do: granted and configured.
    pub fn my_roles(&self) -> Roles {
        let granted = self.nodes.get(&self.me.node).map(|record| &record.granted);
        self.me.configured.iter().copied().filter(|role| granted.is_none_or(|g| g.contains(role))).collect()
    }

    /// Whether a node was seen beating lately.
    pub fn is_live(&self, node: &NodeName, now: Mono) -> bool {
        if *node == self.me.node {
            return !self.local.leaving;
        }
        self.presence
            .get(node)
            .is_some_and(|seen| seen.value.state == PresenceState::Live && now.since(seen.changed_at).as_secs() < LIVE_SECONDS)
    }

    /// Members that may do `role`, removed ones left out. What a node presents wins over what it was granted, since it can only be less.
    pub fn members_with(&self, role: Role) -> impl Iterator<Item = &NodeName> {
        self.nodes
            .values()
            .filter(move |record| {
                let presented = self.presence.get(&record.name).map(|seen| &seen.value.roles);
                let has = record.granted.contains(&role) && presented.is_none_or(|roles| roles.contains(&role));
                has && !self.is_removed(&record.name)
            })
            .map(|record| &record.name)
    }

    /// Whether the fleet has removed the node.
    pub fn is_removed(&self, node: &NodeName) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.removals.contains(node))
    }

    /// The nodes that may drive orders now; this one is among them if it has the role.
    pub fn live_issuers(&self, now: Mono) -> Vec<&NodeName> {
        self.members_with(Role::Issue).filter(|node| self.is_live(node, now)).collect()
    }

    /// Live `issue` nodes whose configuration is not this node's.
    pub fn differing_nodes(&self, now: Mono) -> Vec<&NodeName> {
        let differs =
            |node: &&NodeName| **node != self.me.node && self.presence.get(*node).is_some_and(|seen| seen.value.config != self.spec.hash);
        self.live_issuers(now).into_iter().filter(differs).collect()
    }

    /// The nodes on which `cert` is installed: placed there, a member, and with the role.
    pub fn placed_nodes(&self, cert: &CertName) -> Vec<&NodeName> {
        let Some(spec) = self.certs.get(cert).map(|seen| &seen.value.spec).or_else(|| self.spec.certificates.get(cert)) else {
            return Vec::new();
        };
        self.members_with(Role::Deploy).filter(|node| spec.is_placed_on(node)).collect()
    }

    /// This node's targets that are not known to have a file for a configured certificate, ours or a stand-in: their servers may not start.
    pub fn targets_without_file(&self) -> impl Iterator<Item = (&CertName, &TargetName, &[Identifier])> {
        let deploys = self.me.configured.contains(&Role::Deploy);
        let mine = self.spec.certificates.iter().filter(move |(_, spec)| deploys && spec.is_placed_on(&self.me.node));
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

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

fn take_plain<T: DeserializeOwned>(stored: Option<(&Envelope, &Revision)>) -> Result<Option<T>, String> {
    stored.map(|(envelope, _)| envelope.record()).transpose().map_err(|e| e.to_string())
}

fn take<K: Ord, T: DeserializeOwned>(
    map: &mut BTreeMap<K, Observed<T>>,
    key: K,
    stored: Option<(&Envelope, &Revision)>,
    now: Mono,
) -> Result<(), String> {
    let Some((envelope, revision)) = stored else {
        map.remove(&key);
        return Ok(());
    };
    if let Some(known) = map.get_mut(&key).filter(|known| known.revision == *revision) {
        known.read_at = now;
        return Ok(());
    }
    let value = envelope.record().map_err(|e| e.to_string())?;
    map.insert(key, Observed { value, revision: revision.clone(), changed_at: now, read_at: now });
    Ok(())
}

#[cfg(test)]
mod tests;
