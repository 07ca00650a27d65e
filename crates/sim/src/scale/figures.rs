//! What a run gave.

use std::collections::BTreeMap;
use std::time::Duration;

use super::store::Kind;
use super::{Curve, Scale};
use crate::ca::Limit;

/// What a run gave.
#[derive(Debug)]
pub struct Figures {
    /// What was run.
    pub scale: Scale,
    /// When renewals were due, as each certificate's moment says.
    pub due: Curve,
    /// Orders that the CA took.
    pub orders: Curve,
    /// Certificates that were placed.
    pub placed: Curve,
    /// The longest and the sum of the times from due to placed.
    pub lag: (Duration, Duration),
    /// The shortest: what an attempt takes that waits for nothing.
    pub attempt: Option<Duration>,
    /// The least that was left of the generation before when a new one was placed, and the least when it was served everywhere.
    pub least_left: (Option<Duration>, Option<Duration>),
    /// Orders that the CA refused.
    pub refused: BTreeMap<Limit, u64>,
    /// Requests to the CA, and the most within a second.
    pub requests: (u64, u64),
    /// Most certificates that waited for others to be driven first.
    pub waiting_max: usize,
    /// What was written to the store, by hour.
    pub writes: BTreeMap<Kind, Curve>,
    /// Writes of a record that came too late.
    pub conflicts: u64,
    /// What deciding cost those that issue, and those that deploy.
    pub issuing: Cost,
    /// The same of a deploying node.
    pub deploying: Cost,
    /// What went wrong; of each kind the first.
    pub wrong: BTreeMap<&'static str, String>,
}

/// What deciding cost.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// How many nodes that is.
    pub nodes: usize,
    /// How often something was decided.
    pub turns: u64,
    /// What the first decision took, which looks at everything.
    pub first: Duration,
    /// What all others took.
    pub took: Duration,
    /// The longest of them.
    pub longest: Duration,
    /// How often certificates were looked at after the first decision.
    pub looked_at: u64,
    /// What one takes when another node was heard of.
    pub beat: Duration,
    /// What the view takes in memory; of the first of several.
    pub view_bytes: u64,
    /// What was decided takes in memory.
    pub decided_bytes: u64,
}

impl Cost {
    /// Together with that of another node.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            nodes: self.nodes + 1,
            turns: self.turns + other.turns,
            first: self.first.max(other.first),
            took: self.took + other.took,
            longest: self.longest.max(other.longest),
            looked_at: self.looked_at + other.looked_at,
            beat: self.beat.max(other.beat),
            view_bytes: self.view_bytes.max(other.view_bytes),
            decided_bytes: self.decided_bytes.max(other.decided_bytes),
        }
    }
}

impl Figures {
    /// Notes what must not be.
    pub(super) fn must(&mut self, holds: bool, what: &'static str, tell: impl FnOnce() -> String) {
        if !holds {
            self.wrong.entry(what).or_insert_with(tell);
        }
    }

    /// Renewals that a node which issues looks at certificates for: how often for each.
    pub fn looks_per_order(&self) -> f64 {
        self.issuing.looked_at as f64 / self.orders.sum().max(1) as f64
    }
}
