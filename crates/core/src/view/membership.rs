//! Who is in the fleet, what they may do, and whether this node is one of them.

use std::time::Duration;

use super::{StoreState, View};
use crate::envelope::FORMAT;
use crate::key::{Key, RecordKey};
use crate::mutants::{Mutant, has};
use crate::names::{CertName, NodeName};
use crate::records::{NodeRecord, Presence, PresenceState};
use crate::spec::{KeyPolicy, Role, Roles, Specification};
use crate::time::Mono;

/// How long a node counts as live after its last beat was seen, in seconds: two idle beats and some slack.
pub const LIVE_SECONDS: u64 = 150;
/// How it is said that the store is away; the reason follows, and may be another at each try.
pub const STORE_AWAY: &str = "the store cannot be reached";

impl View {
    /// The store keys of everything known; what a full listing no longer has is to be applied as gone.
    pub fn known_keys(&self) -> Vec<Key> {
        self.accepted.keys().chain(self.strays.keys().filter(|key| !self.accepted.contains_key(*key))).cloned().collect()
    }

    /// Whether the store holds the fleet that this node joined, and this node is a member of it; if not, why.
    pub fn membership(&self) -> Result<(), String> {
        match &self.local.store {
            StoreState::Away(why) => return Err(format!("{STORE_AWAY}: {why}")),
            StoreState::Unread => return Err("the store has not been read yet".into()),
            StoreState::Ready => {}
        }
        let stray = self.strays.get(&RecordKey::Fleet.key());
        let fleet = match (&self.fleet, stray) {
            (_, Some(stray)) if stray.revision.is_some() && !self.store_is_ours() => {
                return Err(format!("the store's fleet record: {}", stray.why));
            }
            (Some(fleet), stray) if stray.is_none() || self.store_is_ours() => fleet,
            _ => return Err("the store is empty: is its file system mounted? (a fleet is made by `certfleet init`, never by `run`)".into()),
        };
        if let Some(why) = self.not_at_home() {
            return Err(why);
        }
        if fleet.format > FORMAT {
            return Err(format!(
                "the fleet uses record format {}, and this version reads {FORMAT}: upgrade certfleet on this node",
                fleet.format
            ));
        }
        self.my_place()
    }

    /// Whether something that only our fleet can have written stands in the store now.
    fn store_is_ours(&self) -> bool {
        let stands = |key: &Key| RecordKey::of(key).is_some_and(|record| super::take::is_kept(&record)) && !self.strays.contains_key(key);
        self.accepted.keys().any(stands)
    }

    fn my_place(&self) -> Result<(), String> {
        let me = &self.me.node;
        let was_removed = |identity: &str| self.fleet.as_ref().is_some_and(|fleet| fleet.removals.iter().any(|r| r.identity == identity));
        if was_removed(&self.me.identity) && !has(Mutant::IgnoreRemoval) {
            return Err(format!("node {me} was removed from the fleet"));
        }
        match self.nodes.get(me) {
            Some(record) if record.identity == self.me.identity => Ok(()),
            _ if self.joining.get(me).is_some_and(|seen| seen.value.identity == self.me.identity) => {
                Err(format!("node {me} waits to be let in by a node with the role issue"))
            }
            Some(record) if was_removed(&record.identity) => Err(format!("the store does not list node {me} as a member; join again")),
            Some(_) => Err(format!("another machine has joined as {me}; this one must join under another name")),
            None => Err(format!("the store does not list node {me} as a member; join again")),
        }
    }

    /// What this node may do: granted and configured.
    pub fn my_roles(&self) -> Roles {
        let granted = self.nodes.get(&self.me.node).map(|record| &record.granted);
        self.me.configured.iter().copied().filter(|role| granted.is_some_and(|g| g.contains(role))).collect()
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

    /// Until when a live node counts as live if it does not beat; for this node itself there is no such moment.
    pub(crate) fn live_until(&self, node: &NodeName) -> Option<Mono> {
        let seen = self.presence.get(node).filter(|_| *node != self.me.node)?;
        Some(seen.changed_at + Duration::from_secs(LIVE_SECONDS))
    }

    /// Until when the other process that writes this node's presence counts as live if it does not beat; none if it has said that it leaves.
    pub(crate) fn twin_until(&self) -> Option<Mono> {
        let seen = self.presence.get(&self.me.node).filter(|seen| seen.value.state == PresenceState::Live)?;
        self.local.duplicate.as_ref().map(|_| seen.changed_at + Duration::from_secs(LIVE_SECONDS) + self.local.lag)
    }

    /// This life has written its presence.
    pub(super) fn beaten(&mut self, presence: Presence, now: Mono) {
        self.local.said_news = self.local.beaten_at.as_ref().is_none_or(|(_, before)| !before.says_the_same(&presence));
        self.local.beaten_at = Some((now, presence));
    }

    /// A node has beaten, and what it said was not read: it lives, and what it said before stands.
    pub fn heard(&mut self, node: &NodeName, now: Mono) {
        if let Some(seen) = self.presence.get_mut(node) {
            seen.changed_at = now;
        }
    }

    /// Members that may do `role`, removed ones left out. What a node presents wins over what it was granted, since it can only be less.
    pub fn members_with(&self, role: Role) -> impl Iterator<Item = &NodeName> {
        self.nodes.values().filter(move |record| self.does(record, role)).map(|record| &record.name)
    }

    pub(super) fn does(&self, record: &NodeRecord, role: Role) -> bool {
        let presented = || self.presence.get(&record.name).map(|seen| &seen.value.roles);
        record.granted.contains(&role) && presented().is_none_or(|roles| roles.contains(&role)) && !self.is_removed(&record.name)
    }

    /// Whether the fleet has removed the machine that has this name.
    pub fn is_removed(&self, node: &NodeName) -> bool {
        self.nodes.contains_key(node) && !self.roster.members.contains_key(node)
    }

    /// How many nodes the fleet has removed so far; the list only grows.
    pub fn removals(&self) -> u64 {
        self.fleet.as_ref().map_or(0, |fleet| fleet.removals.len() as u64)
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

    /// Takes up another configuration.
    pub fn follow(&mut self, spec: crate::spec::FleetSpec) {
        let before = std::mem::replace(&mut self.spec, spec);
        let names = |spec: &'_ crate::spec::FleetSpec| spec.certificates.values().flat_map(|spec| spec.names.clone()).collect::<Vec<_>>();
        self.certs.configure(names(&before).iter(), names(&self.spec).iter());
        self.expand();
    }

    /// What the configuration wants of each certificate: those with a key of their own on each node, once for each node.
    pub(super) fn expand(&mut self) {
        self.issuers_in_use = self.spec.certificates.values().flat_map(|spec| &spec.issuers).cloned().collect();
        let mut wanted = std::collections::BTreeMap::new();
        for (cert, spec) in &self.spec.certificates {
            match spec.policy {
                KeyPolicy::Shared => drop(wanted.insert(cert.clone(), spec.clone())),
                KeyPolicy::PerNode => wanted.extend(self.owners(spec).map(|node| (cert.on_node(node), spec.of_node(node)))),
            }
        }
        if *self.wanted != wanted {
            self.wanted = wanted.into();
        }
    }

    /// The nodes that have a key and a certificate of their own; this one is among them before it is let in.
    fn owners<'a>(&'a self, spec: &'a Specification) -> impl Iterator<Item = &'a NodeName> {
        let members = self.roster.with_role(Role::Deploy).map(|(node, _)| node);
        let me = Some(&self.me.node).filter(|me| !self.roster.members.contains_key(*me) && self.me.configured.contains(&Role::Deploy));
        members.chain(me).filter(|node| spec.is_placed_on(node))
    }

    /// What is wanted of a certificate: by its record, else by the configuration.
    pub fn specification(&self, cert: &CertName) -> Option<&Specification> {
        self.certs.get(cert).map(|seen| &seen.value.spec).or_else(|| self.wanted.get(cert))
    }
}
