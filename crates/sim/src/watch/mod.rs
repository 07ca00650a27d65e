//! What must hold after every event, one checker per file. Each sees the whole world from above and says what is wrong.
//!
//! Always holds: a checker judges what happened (a write that took place, a request that the CA took, a certificate on a server), never what
//! a node thinks.

mod issuance;
mod placements;
mod records;
pub mod serving;

pub use issuance::Issuance;
pub use placements::Placements;
pub use records::Records;

/// All of them.
#[derive(Debug, Default)]
pub struct Checkers {
    /// Certificates' records go their way.
    pub records: Records,
    /// One certificate for each attempt, with its key kept.
    pub issuance: Issuance,
    /// Nodes do not go back.
    pub placements: Placements,
}
