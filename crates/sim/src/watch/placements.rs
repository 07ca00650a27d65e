//! A node never installs a placement below one that it had, whatever it forgot.

use certfleet_core::invariants::{Books, Violation};
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::Placed;

/// What was installed where.
#[derive(Debug, Default)]
pub struct Placements {
    books: Books,
}

impl Placements {
    /// A server took a generation; `placed` is where the fleet placed it.
    pub fn installed(&mut self, node: &NodeName, cert: &CertName, placed: &Placed) -> Result<(), Violation> {
        self.books.installed(node, cert, placed.placement.rank())
    }
}
