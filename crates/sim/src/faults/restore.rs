//! `store backup`, and `store restore` some time later, with all daemons stopped: a new epoch.

use certfleet_core::names::NodeName;
use certfleet_node::operator::{Restoring, backup_of, restore_to};

use super::backup::ask_again;
use crate::machine::{Machine, Standing};
use crate::operator::RESTORER;
use crate::scenario::Scene;

/// A backup is made on this machine, if it can.
pub(super) async fn save(scene: &mut Scene, node: &NodeName) {
    let (machine, now) = (scene.with(node, |machine| machine.loaded()), scene.world.site.ca.now());
    let made = backup_of(scene.line(RESTORER, None).as_ref(), &machine, now).await;
    let told = made.as_ref().map_or_else(|error| format!("cannot make a backup: {error}"), |_| "makes a backup".into());
    scene.world.observer.history.say(RESTORER, || told);
    scene.saved = made.ok().map(|made| made.text);
}

/// The backup is restored on this machine. Who was running is stopped first, copies too, and started again.
pub(super) async fn restore(scene: &mut Scene, node: &NodeName) {
    let Some(text) = scene.saved.take().filter(|_| scene.with(node, |machine| machine.standing == Standing::Member)) else { return };
    let running: Vec<NodeName> = scene.nodes().into_iter().filter(|node| scene.with(node, |machine| machine.is_up())).collect();
    scene.switch_off_copies();
    scene.nodes().iter().for_each(|node| scene.with(node, Machine::kill));
    let (machine, at) = (scene.with(node, |machine| machine.loaded()), scene.world.site.ca.now());
    let how = Restoring { fleet_key: None, replace: true, force: true, at };
    let done = restore_to(scene.line(RESTORER, None).as_ref(), &machine, &text, scene.founder.key(), &how).await;
    let told = match done {
        Ok(restored) => format!("restores the backup of {}: epoch {}", restored.made_at, restored.epoch),
        Err(error) => format!("cannot restore the backup: {error}"),
    };
    scene.world.observer.history.say(RESTORER, || told);
    running.iter().for_each(|node| scene.with(node, Machine::start));
    // Tokens of the old epoch are good for nothing.
    scene.members().iter().for_each(|node| ask_again(scene, node, false));
    scene.unsettle_all();
}
