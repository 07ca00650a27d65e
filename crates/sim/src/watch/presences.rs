//! What the nodes' presences say, as whoever reads the store at once sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::names::{ConfigHash, Incarnation, NodeName, SpkiHash};
use certfleet_core::records::{FleetRecord, Presence, PresenceState};
use certfleet_core::spec::Roles;
use tokio::time::Instant;

/// Beats of a holder come every second; one that lets no more than this pass between two lives, for whoever looks.
const HOLDING_GAP: Duration = Duration::from_secs(4);
/// The same of a node that rests.
const IDLE_GAP: Duration = Duration::from_secs(65);

/// One node's.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// Its life.
    pub incarnation: Incarnation,
    /// Whether it goes on.
    pub is_live: bool,
    /// What it does.
    pub roles: Roles,
    /// Its configuration, since when, and the one before.
    pub config: (ConfigHash, Instant, Option<ConfigHash>),
    last: Instant,
    holding_since: Instant,
    beating_since: Instant,
}

impl Sighting {
    /// Whether it has beaten every second or so from `moment` until now.
    pub fn holds_since(&self, moment: Instant) -> bool {
        self.is_live && self.last.elapsed() <= HOLDING_GAP && self.holding_since <= moment + HOLDING_GAP
    }

    /// Whether it has beaten for so long, at least as who rests does.
    pub fn beats_for(&self, span: Duration) -> bool {
        self.is_live && self.last.elapsed() <= IDLE_GAP && self.beating_since.elapsed() >= span
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Presences {
    nodes: BTreeMap<NodeName, Sighting>,
    lacked: BTreeSet<SpkiHash>,
    removed: BTreeSet<NodeName>,
    changed_at: Option<Instant>,
}

impl Presences {
    /// A presence was written.
    pub fn wrote(&mut self, node: &NodeName, presence: &Presence) {
        self.lacked.extend(presence.lacks.iter().cloned());
        if self.removed.contains(node) {
            return;
        }
        let now = Instant::now();
        let before = self.nodes.get(node).filter(|before| before.incarnation == presence.incarnation);
        let within = |gap: Duration| before.filter(|before| before.last.elapsed() <= gap);
        let config = match before.map(|before| &before.config) {
            Some(same) if same.0 == presence.config => same.clone(),
            other => (presence.config.clone(), now, other.map(|other| other.0.clone())),
        };
        let sighting = Sighting {
            incarnation: presence.incarnation.clone(),
            is_live: presence.state == PresenceState::Live,
            roles: presence.roles.clone(),
            config,
            last: now,
            holding_since: within(HOLDING_GAP).map_or(now, |before| before.holding_since),
            beating_since: within(IDLE_GAP).map_or(now, |before| before.beating_since),
        };
        self.nodes.insert(node.clone(), sighting);
    }

    /// The fleet's record was written: who is removed there presents nothing any more. No name of a removed node is taken by another.
    pub fn removed(&mut self, fleet: &FleetRecord) {
        let removed: BTreeSet<NodeName> = fleet.removals.iter().map(|removal| removal.node.clone()).collect();
        if removed != self.removed {
            self.nodes.retain(|node, _| !removed.contains(node));
            (self.removed, self.changed_at) = (removed, Some(Instant::now()));
        }
    }

    /// Another machine has taken the node's place, or nobody sees what it presented: that does not count any more.
    pub fn replaced(&mut self, node: &NodeName) {
        self.nodes.remove(node);
        self.changed_at = Some(Instant::now());
    }

    /// Whether somebody was removed or replaced so lately, so that not all may know of it.
    pub fn has_changed_within(&self, span: Duration) -> bool {
        self.changed_at.is_some_and(|at| at.elapsed() < span)
    }

    /// One node's.
    pub fn of(&self, node: &NodeName) -> Option<&Sighting> {
        self.nodes.get(node)
    }

    /// All.
    pub fn all(&self) -> impl Iterator<Item = (&NodeName, &Sighting)> {
        self.nodes.iter()
    }

    /// Whether a node has ever said that it cannot open this key.
    pub fn was_lacked(&self, key: &SpkiHash) -> bool {
        self.lacked.contains(key)
    }
}
