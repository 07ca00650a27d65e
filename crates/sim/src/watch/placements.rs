//! A node never installs a placement below one that it had, whatever it forgot but its whole disk.

use std::collections::BTreeMap;

use certfleet_core::invariants::{Books, Violation};
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::Placed;

/// What was installed where.
#[derive(Debug, Default)]
pub struct Placements {
    books: BTreeMap<NodeName, Books>,
    latest: BTreeMap<(NodeName, CertName), (u64, u64)>,
}

impl Placements {
    /// A server took a generation; `placed` is where the fleet placed it.
    pub fn installed(&mut self, node: &NodeName, cert: &CertName, placed: &Placed) -> Result<(), Violation> {
        let rank = placed.placement.rank();
        self.latest.insert((node.clone(), cert.clone()), rank);
        self.books.entry(node.clone()).or_default().installed(node, cert, rank)
    }

    /// Whether the node serves a placement above this one.
    pub fn is_above(&self, node: &NodeName, cert: &CertName, placed: &Placed) -> bool {
        self.latest.get(&(node.clone(), cert.clone())).is_some_and(|rank| *rank > placed.placement.rank())
    }

    /// A copy of a machine has the same.
    pub fn is_copied(&mut self, node: &NodeName, copy: &NodeName) {
        if let Some(books) = self.books.get(node).cloned() {
            self.books.insert(copy.clone(), books);
        }
        let same = self.latest.iter().filter(|((of, _), _)| of == node).map(|((_, cert), rank)| ((copy.clone(), cert.clone()), *rank));
        self.latest.extend(same.collect::<Vec<_>>());
    }

    /// All that the node knew and had is lost.
    pub fn disk_lost(&mut self, node: &NodeName) {
        self.books.remove(node);
        self.latest.retain(|(of, _), _| of != node);
    }
}
