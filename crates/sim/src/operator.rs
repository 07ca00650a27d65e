//! The operator: gives commands on a machine of the fleet, by the code that the commands call. The way to the store is good there.

use std::sync::Arc;

use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;
use certfleet_core::records::{FleetRecord, NodeRecord};
use certfleet_core::spec::{Role, all_roles};
use certfleet_node::identity::Identity;
use certfleet_node::membership::{Joiner, join, remove_node};
use certfleet_node::operator::view_of;

use crate::engine::Line;
use crate::gate::Gate;
use crate::link::{Link, Weather};
use crate::machine::{Machine, Standing};
use crate::scenario::Scene;

/// Its name in the history.
pub const OPERATOR: &str = "operator";
/// The same, when it restores a backup.
pub const RESTORER: &str = "restorer";

impl Scene {
    /// `node remove`, on a machine that stays; not where the fleet could not do its work without the node.
    pub async fn remove(&self, node: &NodeName, compromised: bool) {
        let staying = self.others(node);
        if self.is_needed(node) || !self.members().contains(node) || !self.is_in(node) {
            return;
        }
        let by = staying.iter().find(|staying| self.can(&[(*staying).clone()], Role::Issue)).unwrap_or(&staying[0]);
        let done = self.give_removal(by, node, compromised).await;
        // Where the command fails afterwards, for want of room on its disk, the node is removed all the same.
        if self.world.observer.is_removed(node) {
            self.with(node, |machine| machine.standing = Standing::Removed);
            self.world.observer.was_removed(node);
        }
        self.tell(&format!("removes {node}"), done);
    }

    /// A machine loses its disk, and joins in its own place, where somebody else can let it in.
    pub async fn rebuild(&self, node: &NodeName) {
        if !self.can(&self.others(node), Role::Issue) || self.carries(node) || !self.members().contains(node) {
            return;
        }
        let gone = self.with(node, Machine::lose_disk);
        self.world.observer.disk_lost(node, gone);
        self.let_join(node).await;
    }

    /// Every machine without an identity asks to be let in.
    pub async fn let_all_join(&self) {
        for node in self.members() {
            if self.with(&node, |machine| machine.standing == Standing::Outside) {
                self.let_join(&node).await;
            }
        }
    }

    async fn let_join(&self, node: &NodeName) {
        let done = self.give_join(node).await;
        self.with(node, |machine| {
            machine.standing = if done.is_ok() { Standing::Member } else { Standing::Outside };
            machine.start();
        });
        self.tell(&format!("lets {node} join anew"), done);
    }

    async fn give_removal(&self, by: &NodeName, node: &NodeName, compromised: bool) -> Result<(), String> {
        let settings = self.with(by, |machine| machine.settings());
        let identity = Identity::load(&settings.state).ok().flatten().ok_or("the machine has not joined")?;
        let (store, now) = (self.line(OPERATOR, Some(&identity)), self.world.site.ca.now());
        let view = view_of(store.as_ref(), &settings, &identity, now).await.map_err(|error| error.to_string())?;
        let what = (node, compromised);
        let removed = remove_node(store.as_ref(), &settings, &identity, &view, what, self.founder.key(), now).await;
        removed.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Again with the same keys, should the first asking have been lost.
    async fn give_join(&self, node: &NodeName) -> Result<(), String> {
        let (settings, disk) = self.with(node, |machine| (machine.settings(), machine.disks));
        let (draw, now) = (self.draw.fork(&format!("{node}, disk {disk}")), self.world.site.ca.now());
        if Identity::load(&settings.state).ok().flatten().is_none() {
            let identity = self.founder.identity(node, disk, &settings.state, &draw);
            self.world.observer.has_joined(node, &identity);
        }
        let fleet = self.world.site.engine.envelope(&RecordKey::Fleet.key()).and_then(|fleet| fleet.record::<FleetRecord>().ok());
        let epoch = fleet.map_or(0, |fleet| fleet.epoch);
        let token = self.founder.token(node, (disk, epoch), self.shape.granted_to(node), &draw);
        let joiner = Joiner::new(&settings, &token, None).map_err(|error| error.to_string())?;
        let identity = Identity::load(&settings.state).ok().flatten();
        let joined = join(self.line(OPERATOR, identity.as_ref()).as_ref(), &settings, &token, joiner, now).await;
        joined.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A line by which commands reach the store, given on the machine with this identity; else on one that carries it.
    pub fn line(&self, who: &str, identity: Option<&Identity>) -> Arc<Line> {
        let site = &self.world.site;
        let link = Link::new(who, "store", &Gate::default(), &site.history, self.draw.fork(who));
        link.set(Weather { latency_ms: 0, ..Weather::default() });
        Line::new(&site.engine, who, &Arc::new(link), identity.map(|identity| identity.signing_key.verifying_key()))
    }

    /// Whether the machine is a member, and does not only ask to be one.
    pub fn is_in(&self, node: &NodeName) -> bool {
        let own = Identity::load(&self.with(node, |machine| machine.state())).ok().flatten();
        let latest = self.world.observer.latest_known(&RecordKey::Node(node.clone()).key());
        let member = latest.and_then(|envelope| envelope.record::<NodeRecord>().ok());
        own.map(|own| own.identity) == member.map(|member| member.identity)
    }

    /// Whether the fleet could not do its work without a node.
    pub fn is_needed(&self, node: &NodeName) -> bool {
        let others = self.others(node);
        self.carries(node) || all_roles().into_iter().any(|role| !self.can(&others, role))
    }

    fn others(&self, node: &NodeName) -> Vec<NodeName> {
        self.members().into_iter().filter(|member| member != node).collect()
    }

    fn can(&self, nodes: &[NodeName], role: Role) -> bool {
        let is_out = |machine: &mut Machine| machine.is_shut_in() || machine.standing == Standing::Outside;
        let is_shut_in = |node: &NodeName| role == Role::Issue && self.with(node, is_out);
        nodes.iter().any(|node| self.shape.with_role(role).contains(node) && !is_shut_in(node))
    }

    fn carries(&self, node: &NodeName) -> bool {
        self.world.site.carrier.as_ref() == Some(node)
    }

    fn tell(&self, what: &str, done: Result<(), String>) {
        let how = done.err().map_or(String::new(), |why| format!(", and cannot: {why}"));
        self.world.observer.history.say(OPERATOR, || format!("{what}{how}"));
    }
}
