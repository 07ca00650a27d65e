//! A backup of the store that an operator brings back with the engine's own means, while the daemons run or are stopped (`store restore`, which
//! begins a new epoch, is another thing).

use std::fmt;
use std::time::Duration;

use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;

use crate::draw::Draw;
use crate::machine::Standing;
use crate::scenario::Scene;

/// A backup, and how it is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backup {
    /// How old it is.
    age: Duration,
    /// Whether the daemons are stopped meanwhile.
    are_stopped: bool,
}

impl Backup {
    /// Some seconds old, or up to an hour.
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let unit = *draw.one(&[1, 60, 60]);
        Self { age: Duration::from_secs(draw.between(5, 60) * unit), are_stopped: draw.once_in_a_thousand(500) }
    }

    pub(super) fn strike(self, scene: &Scene) {
        let observer = &scene.world.observer;
        // Who is stopped knows afterwards what is on its disk.
        let forgets = |node: &NodeName| self.are_stopped && scene.with(node, |machine| machine.has_full_disk());
        let witnesses = observer.undisturbed().into_iter().filter(|node| scene.is_in(node) && !forgets(node)).collect();
        let running: Vec<NodeName> = scene.nodes().into_iter().filter(|node| scene.with(node, |machine| machine.is_up())).collect();
        let stopped = if self.are_stopped { running } else { Vec::new() };
        stopped.iter().for_each(|node| scene.with(node, |machine| machine.kill()));
        observer.comes_back(witnesses, self.are_stopped);
        let count = scene.world.site.engine.bring_back(self.age);
        observer.history.say("store", || format!("a backup is brought back, in which {count} keys are others"));
        stopped.iter().for_each(|node| scene.with(node, |machine| machine.start()));
        scene.unsettle_all();
        scene.members().iter().for_each(|node| ask_again(scene, node, true));
    }
}

/// Whose asking to be let in is not in the backup, or does not count any more, asks once more, when somebody gets round to it.
pub(super) fn ask_again(scene: &Scene, node: &NodeName, still_counts: bool) {
    let asking = RecordKey::Joining(node.clone()).key();
    let waits = still_counts && scene.world.site.engine.envelope(&asking).is_some();
    if !scene.is_in(node) && !waits {
        scene.with(node, |machine| machine.standing = Standing::Outside);
    }
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store's backup of {} s ago{}", self.age.as_secs(), if self.are_stopped { ", with all stopped" } else { "" })
    }
}
