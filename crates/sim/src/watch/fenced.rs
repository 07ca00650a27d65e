//! A node that was removed and was told so changes nothing: it begins no write any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::key::Key;
use certfleet_core::names::NodeName;
use certfleet_core::records::FleetRecord;
use tokio::time::Instant;

/// What a node had begun when it was told may take so long to be over.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// Who is who, and who was told that it is removed.
#[derive(Debug, Default)]
pub struct Fenced {
    identities: BTreeMap<NodeName, String>,
    told: BTreeMap<NodeName, Instant>,
    removed: BTreeSet<String>,
}

impl Fenced {
    /// A machine has this identity from now on.
    pub fn joined(&mut self, node: &NodeName, identity: &str) {
        self.identities.insert(node.clone(), identity.to_owned());
        self.told.remove(node);
    }

    /// A copy of a machine has the same identity.
    pub fn is_copied(&mut self, node: &NodeName, copy: &NodeName) {
        if let Some(identity) = self.identities.get(node).cloned() {
            self.joined(copy, &identity);
        }
    }

    /// The fleet's record was written.
    pub fn wrote(&mut self, fleet: &FleetRecord) {
        self.removed = fleet.removals.iter().map(|removal| removal.identity.clone()).collect();
    }

    /// Whether what this node writes counts no more.
    pub fn is_removed(&self, node: &NodeName) -> bool {
        self.identities.get(node).is_some_and(|identity| self.removed.contains(identity))
    }

    /// A node was shown the fleet's record.
    pub fn was_shown(&mut self, node: &NodeName, fleet: &FleetRecord) {
        let Some(identity) = self.identities.get(node) else { return };
        if fleet.removals.iter().any(|removal| removal.identity == *identity) {
            self.told.entry(node.clone()).or_insert_with(Instant::now);
        }
    }

    /// Its process stands still for so long, or did until now: what it had begun is over later.
    pub fn is_delayed(&mut self, node: &NodeName, by: Duration) {
        self.told.get_mut(node).into_iter().for_each(|at| *at = Instant::now() + by);
    }

    /// A node begins a write.
    pub fn begins(&self, node: &NodeName, key: &Key) -> Result<(), String> {
        match self.told.get(node).filter(|at| at.elapsed() > UNDER_WAY) {
            Some(at) => Err(format!("{node} writes {key}, and was told {} s ago that it is removed", at.elapsed().as_secs())),
            None => Ok(()),
        }
    }
}
