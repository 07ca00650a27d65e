//! What a world is, drawn from its seed: how many nodes, who does what there, the engine, the certificates, how long it is disturbed.
//!
//! The shapes are those of the design's section 9 as far as the product has them: one node that orders for all, workers that order for
//! themselves while one answers, equals, keys that each node has for itself, many names. Deliberately not here, since the product has not got
//! it yet: two fleets with one account, answers fetched from peers, relays, targets that one node serves for all.

use certfleet_core::names::NodeName;
use certfleet_core::spec::{Role, Roles, all_roles};

use crate::draw::Draw;
use crate::engine::{KINDS, Kind, Nature};
use crate::fleet::Wanted;

/// What a certificate's table may say besides.
const LINES: [&str; 4] = ["", "rollout = { canary = 1 }", "key = { reuse = true }", PER_NODE];
/// Its key is each node's own.
pub const PER_NODE: &str = "key = { policy = \"per-node\" }";
/// How many nodes there usually are.
const NODES: [u64; 12] = [1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 4, 5];
/// The largest fleet.
const NODES_MAX: u64 = 50;
/// Longest disturbance of a small fleet, in minutes.
const MINUTES_MAX: u64 = 12 * 60;
/// The usual ones.
const MINUTES_USUAL: (u64, u64) = (20, 90);
/// That of a large fleet.
const MINUTES_LARGE: u64 = 20;
/// Of a thousand small fleets so many may be disturbed for longer.
const LONG: u64 = 15;

/// Who does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Every node does everything.
    AllEqual,
    /// The first orders and answers, the others deploy.
    Central,
    /// The first answers, the others order and deploy.
    WorkerOrigin,
    /// As equals, each node with keys of its own.
    Balancers,
    /// As equals, with many certificates.
    Redirects,
}

const TOPOLOGIES: [Topology; 8] = [
    Topology::AllEqual,
    Topology::AllEqual,
    Topology::AllEqual,
    Topology::AllEqual,
    Topology::Central,
    Topology::WorkerOrigin,
    Topology::Balancers,
    Topology::Redirects,
];

/// A world.
#[derive(Debug)]
pub struct Shape {
    /// Who does what.
    pub topology: Topology,
    /// How many nodes.
    pub nodes: u64,
    /// The store.
    pub engine: Nature,
    /// The certificates at first.
    pub wanted: Vec<Wanted>,
    /// How long it is disturbed, in minutes.
    pub minutes: u64,
    /// Whether the tokens grant no more than the configuration says.
    pub grants_are_narrow: bool,
}

impl Shape {
    /// Of a seed.
    pub fn of(draw: &Draw) -> Self {
        let mut draw = draw.fork("shape");
        let nodes = match draw.between(0, 999) {
            0 => draw.between(11, NODES_MAX),
            1..=10 => draw.between(6, 10),
            _ => *draw.one(&NODES),
        };
        let topology = match nodes {
            1 => Topology::AllEqual,
            2..=10 => *draw.one(&TOPOLOGIES),
            _ => *draw.one(&TOPOLOGIES[..6]),
        };
        let engine = Nature::of(*draw.one(&KINDS), &mut draw);
        // Who serves its store mostly orders for all, too; then there is something that it does not show.
        let is_central = engine.kind == Kind::Central && nodes > 1 && draw.fork("central").once_in_a_thousand(600);
        let topology = if is_central { Topology::Central } else { topology };
        let certificates = match topology {
            Topology::Redirects if nodes <= 5 => draw.between(4, 6),
            _ if nodes <= 5 => draw.between(1, 3).min(draw.between(1, 3)),
            _ => 1,
        };
        let lines = |draw: &mut Draw| match topology {
            Topology::Balancers => PER_NODE,
            // A key for each of many nodes is an attempt for each.
            _ if nodes > 10 => *draw.one(&LINES[..3]),
            _ => *draw.one(&LINES),
        };
        let wanted = (0..certificates).map(|n| Wanted::new(n, lines(&mut draw))).collect();
        let minutes = match nodes {
            6.. => MINUTES_LARGE,
            _ if draw.once_in_a_thousand(LONG) => draw.between(MINUTES_USUAL.1, MINUTES_MAX),
            _ => draw.between(MINUTES_USUAL.0, MINUTES_USUAL.1),
        };
        Self { topology, nodes, engine, wanted, minutes, grants_are_narrow: draw.once_in_a_thousand(500) || is_central }
    }

    /// What the configuration lets a node do; the first is number 1.
    pub fn roles(&self, number: u64) -> Roles {
        match (self.topology, number) {
            (Topology::Central, 1) => [Role::Issue, Role::Answer].into(),
            (Topology::Central, _) => [Role::Deploy].into(),
            (Topology::WorkerOrigin, 1) => [Role::Answer].into(),
            (Topology::WorkerOrigin, _) => [Role::Issue, Role::Deploy].into(),
            _ => all_roles(),
        }
    }

    /// The names of all nodes.
    pub fn names(&self) -> Vec<NodeName> {
        (1..=self.nodes).map(|number| format!("n{number}").parse().expect("a name")).collect()
    }

    /// The nodes that have a role.
    pub fn with_role(&self, role: Role) -> Vec<NodeName> {
        self.names().into_iter().zip(1..).filter(|(_, number)| self.roles(*number).contains(&role)).map(|(node, _)| node).collect()
    }

    /// What a node's token grants.
    pub fn granted(&self, number: u64) -> Roles {
        if self.grants_are_narrow { self.roles(number) } else { all_roles() }
    }

    /// What a node's token grants, by its name.
    pub fn granted_to(&self, node: &NodeName) -> Roles {
        self.names().iter().zip(1..).find(|(name, _)| *name == node).map(|(_, number)| self.granted(number)).unwrap_or_default()
    }

    /// Whether one node's machine carries the store.
    pub fn has_carrier(&self) -> bool {
        self.engine.kind == Kind::Central
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worlds_are_mostly_small_and_of_every_kind() {
        let shapes: Vec<Shape> = (0..2_000).map(|seed| Shape::of(&Draw::new(seed))).collect();
        let count = |what: &dyn Fn(&Shape) -> bool| shapes.iter().filter(|shape| what(shape)).count();
        assert!(count(&|shape| shape.nodes <= 5) > 1_950 && count(&|shape| shape.nodes > 10) > 0);
        assert!(KINDS.iter().all(|kind| count(&|shape| shape.engine.kind == *kind) > 100));
        assert!(TOPOLOGIES.iter().all(|topology| count(&|shape| shape.topology == *topology) > 100));
        let can_issue = |shape: &Shape, role| (1..=shape.nodes).any(|number| shape.roles(number).contains(&role));
        assert!(shapes.iter().all(|shape| [Role::Issue, Role::Answer, Role::Deploy].iter().all(|role| can_issue(shape, *role))));
    }
}
