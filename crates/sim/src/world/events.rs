//! What is done to machines, as the checkers have to know it.

use super::{Observer, lock};
use crate::machine::Machine;
use certfleet_core::key::Key;
use certfleet_core::names::NodeName;
use certfleet_node::identity::Identity;
use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

impl Observer {
    /// Whether a copy of the machine runs.
    pub fn has_twin(&self, node: &NodeName) -> bool {
        self.twins().contains_key(node)
    }

    /// A copy of a machine is about to run.
    pub fn is_copied(&self, node: &NodeName, copy: &NodeName) {
        lock(&self.checkers).is_copied(node, copy);
    }

    /// A copy goes on in its original's place.
    pub fn takes_the_place_of(&self, copy: &NodeName, node: &NodeName) {
        lock(&self.checkers).takes_the_place_of(copy, node);
    }

    /// A machine's memory is gone.
    pub fn forgets(&self, who: &NodeName) {
        lock(&self.checkers).forgets(who);
    }

    /// A disk is gone that had these keys.
    pub fn are_gone(&self, keys: Vec<Key>) {
        lock(&self.checkers).losses.gone(keys);
    }

    /// A machine has this identity from now on.
    pub fn has_joined(&self, node: &NodeName, identity: &Identity) {
        lock(&self.checkers).fenced.joined(node, &identity.identity);
    }

    /// The node's process stands still for so long, or did until now.
    pub fn is_delayed(&self, node: &NodeName, by: Duration) {
        lock(&self.checkers).fenced.is_delayed(node, by);
    }

    /// A machine's disk is lost, with these keys.
    pub fn disk_lost(&self, node: &NodeName, keys: Vec<Key>) {
        lock(&self.checkers).disk_lost(node, keys);
    }

    /// A node was removed.
    pub fn was_removed(&self, node: &NodeName) {
        lock(&self.checkers).forged.forgets(node);
    }

    /// Somebody will write what nobody may.
    pub fn expect_forgeries(&self) {
        lock(&self.checkers).forged.is_to_come = true;
    }

    /// Nodes that are well and reach the store.
    pub fn undisturbed(&self) -> BTreeSet<NodeName> {
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return BTreeSet::new() };
        let machines = self.machines();
        let is_well = |machine: &&Machine| machine.is_well() && engine.is_reachable(machine.who.as_str()) && !self.has_twin(&machine.node);
        let well = machines.values().filter(is_well);
        well.map(|machine| machine.node.clone()).collect()
    }

    /// A backup is about to be brought back, and these nodes will have been there all the time.
    pub fn comes_back(&self, undisturbed: BTreeSet<NodeName>, were_stopped: bool) {
        let shown_old = self.engine.get().and_then(Weak::upgrade).map(|engine| engine.nature().visibility_delay());
        lock(&self.checkers).forged.comes_back(undisturbed, were_stopped, shown_old.unwrap_or_default());
    }

    /// Something happens to these nodes.
    pub fn are_disturbed(&self, is_disturbed: impl Fn(&NodeName) -> bool) {
        lock(&self.checkers).forged.are_disturbed(is_disturbed);
    }
}
