//! What is wrong with a machine from the beginning on.

use certfleet_core::names::NodeName;
use certfleet_core::spec::Role;

use super::Fault;
use crate::draw::Draw;
use crate::shape::Shape;

/// Of a thousand fleets so many have a node that never has a way to the CA, and so many one that is dead until the faults end.
const OFTEN: u64 = 100;

/// Faults of the first moment. Where only one node orders, that one has its way to the CA.
pub(super) fn from_the_beginning(draw: &mut Draw, shape: &Shape) -> Vec<(NodeName, Fault)> {
    let (issuers, nodes, mut faults) = (shape.with_role(Role::Issue), shape.names(), Vec::new());
    if issuers.len() > 1 && draw.once_in_a_thousand(OFTEN) {
        faults.push((draw.one(&issuers).clone(), Fault::ShutIn));
    }
    if nodes.len() > 1 && draw.once_in_a_thousand(OFTEN) {
        faults.push((draw.one(&nodes).clone(), Fault::Ground));
    }
    faults
}
