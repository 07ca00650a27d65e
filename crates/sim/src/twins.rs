//! Copied machines: an operator copies one, disk and all, and both run; later one of the two is switched off.

use certfleet_core::names::NodeName;
use certfleet_node::identity::Identity;

use crate::machine::{Machine, Standing};
use crate::scenario::Scene;

impl Scene {
    /// Copies a machine that has joined, and starts the copy. The names do not point to that one.
    pub fn copy(&self, node: &NodeName) {
        let observer = &self.world.observer;
        let has_joined = self.with(node, |machine| machine.standing == Standing::Member && identity_of(machine).is_some());
        if self.world.site.carrier.as_ref() == Some(node) || !has_joined || observer.has_twin(node) {
            return;
        }
        let who: NodeName = format!("{node}-copy").parse().expect("a name");
        let mut copy = self.with(node, |machine| machine.copied(who.clone(), &self.dir_of(&who)));
        observer.is_copied(node, &who);
        copy.start();
        observer.twins().insert(node.clone(), copy);
    }

    /// Switches off the copy of a machine, or the machine itself: the copy then goes on in its place, if the fleet takes it for the same.
    pub fn switch_off(&self, node: &NodeName, keeps_copy: bool) {
        let observer = &self.world.observer;
        let Some(mut copy) = observer.twins().remove(node) else { return };
        copy.kill();
        let is_same = self.with(node, |machine| machine.disks == copy.disks && machine.standing != Standing::Outside);
        let gone = if keeps_copy && is_same {
            observer.takes_the_place_of(&copy.who, node);
            self.with(node, |machine| {
                machine.kill();
                let mut copy = copy.in_place_of(machine);
                copy.start();
                std::mem::replace(machine, copy)
            })
        } else {
            observer.forgets(&copy.who);
            copy
        };
        let left = self.with(node, |machine| machine.keys());
        observer.are_gone(gone.keys().into_iter().filter(|key| !left.contains(key)).collect());
        std::fs::remove_dir_all(gone.dir()).expect("the disk can be written");
    }

    /// The same of all copies.
    pub fn switch_off_copies(&self) {
        let nodes: Vec<NodeName> = self.world.observer.twins().keys().cloned().collect();
        nodes.iter().for_each(|node| self.switch_off(node, false));
    }
}

fn identity_of(machine: &Machine) -> Option<Identity> {
    Identity::load(&machine.state()).ok().flatten()
}
