//! What operators change in the configuration: on one machine, or on all; then the fleet follows. Machines stay apart until the next change that
//! reaches all, which can take hours.

use std::fmt;

use certfleet_core::names::NodeName;

use crate::draw::Draw;
use crate::fleet::Wanted;
use crate::scenario::Scene;

/// A change of a certificate's table, or taking it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It gets a name more, or less.
    Names,
    /// It is dropped, or comes back.
    Presence,
    /// It is no more placed on the first node, or is again.
    Nodes,
}

impl Change {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        *draw.one(&[Self::Names, Self::Names, Self::Names, Self::Presence, Self::Nodes])
    }

    fn apply(self, wanted: &mut Wanted) {
        match self {
            Self::Names => wanted.has_www ^= true,
            Self::Presence => wanted.is_there ^= true,
            Self::Nodes => wanted.skips_first ^= true,
        }
    }

    /// On this machine, or on all.
    pub(super) fn strike(self, scene: &mut Scene, node: &NodeName, cert: &str, everywhere: bool) {
        let is_alone = scene.nodes().len() == 1;
        let Some(wanted) = scene.wanted.iter_mut().find(|wanted| wanted.name == cert) else { return };
        if self != Self::Nodes || !is_alone {
            self.apply(wanted);
        }
        let nodes = if everywhere { scene.nodes() } else { vec![node.clone()] };
        scene.configure(&nodes);
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Names => "changes its names",
            Self::Presence => "is dropped or comes back",
            Self::Nodes => "is placed on the first node or no more",
        })
    }
}
