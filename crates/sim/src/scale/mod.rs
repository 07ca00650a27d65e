//! A fleet of ten thousand nodes and a million certificates through a certificate's life: what it asks of its CA, of its store, and of `decide`.
//!
//! Always holds: each issuing node has a whole [`View`](certfleet_core::view::View) and the daemon's own [`Decider`](certfleet_core::decide::Decider),
//! and does nothing that it did not decide; what comes of an action is absorbed, what is written is compared and swapped. What the run must keep
//! (nothing expires, nothing is ordered before its time or twice, the CA grants what it limits) is checked as it goes: [`Figures::wrong`].
//!
//! Deliberately not here: faults (the seeds have those), signatures and sealing (`benches/run trust` measures them), the daemon's files and tasks, and
//! ten thousand daemons: of the deploying nodes a few decide for themselves; what the others report and how they beat follows from when the
//! certificates that are placed on them are.

mod actor;
mod ca;
mod command;
mod curve;
mod figures;
mod fleet;
mod queue;
mod store;
mod svg;
mod table;
mod watch;
mod world;

pub use command::ScaleArguments;
pub use curve::Curve;
pub use figures::{Cost, Figures};
pub use svg::svg;
pub use table::markdown;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Nodes of the fleet, those that issue among them.
    pub nodes: usize,
    /// Nodes that drive orders, and do nothing else.
    pub issuers: usize,
    /// Deploying nodes that decide for themselves.
    pub sampled: usize,
    /// Certificates.
    pub certificates: usize,
    /// Nodes on which each is placed.
    pub placed_on: usize,
    /// How long a certificate lives, in days; the run takes as long.
    pub life_days: u32,
    /// Over how many hours before the beginning the certificates were issued.
    pub issued_over_hours: u32,
    /// They have no certificate yet: all are ordered for the first time.
    pub new: bool,
}

impl Scale {
    /// A fleet of this size, its certificates issued within a day before the run begins.
    pub fn new(nodes: usize, certificates: usize, life_days: u32) -> Self {
        Self { nodes, issuers: 1, sampled: 2, certificates, placed_on: 2, life_days, issued_over_hours: 24, new: false }
    }
}

/// Runs it to its end, on this thread; tells after each day how many have passed, and how many certificates were placed.
pub fn run(scale: &Scale, tell: impl FnMut(u64, u64)) -> Figures {
    world::World::new(scale).run(tell)
}
