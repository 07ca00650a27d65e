//! What few worlds have: a machine is removed, copied, loses its disk, or has a full one; somebody writes what nobody
//! may, or a backup of the store is brought back. It is drawn from a sequence of its own.

use std::fmt;
use std::time::Duration;

use certfleet_core::names::NodeName;

use super::backup::Backup;
use super::forgery::Forgery;
use super::restore;
use crate::draw::Draw;
use crate::scenario::Scene;

/// A kind, by name: of a thousand worlds so many have one, and how it is drawn.
type Kind = (&'static str, u64, fn(&mut Draw) -> Rare);

/// Longest time that a machine and its copy both run, in minutes.
const COPY_MINUTES_MAX: u64 = 60;

/// The oldest that a backup is when it is restored, in minutes.
const SAVED_MINUTES_MAX: u64 = 60;

/// All kinds. Each is drawn from a sequence of its own, so that another one changes none of these.
const KINDS: &[Kind] = &[
    ("remove", 120, |draw| Rare::Remove { compromised: draw.once_in_a_thousand(500) }),
    ("rebuild", 150, |_| Rare::Rebuild),
    ("full disk", 120, |_| Rare::FullDisk),
    ("forgery", 120, |draw| Rare::Forge(Forgery::draw(draw))),
    ("backup", 120, |draw| Rare::BringBack(Backup::draw(draw))),
    ("restore", 100, |draw| Rare::Save { minutes: draw.between(1, SAVED_MINUTES_MAX) }),
    ("copy", 100, |draw| Rare::Copy { minutes: draw.between(1, COPY_MINUTES_MAX), keeps_copy: draw.once_in_a_thousand(500) }),
];

/// A rare fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rare {
    /// An operator removes the node.
    Remove {
        /// Its keys may be in other hands.
        compromised: bool,
    },
    /// The machine loses its disk, and joins anew.
    Rebuild,
    /// Nothing can be written into the daemon's own directory, until all is mended there.
    FullDisk,
    /// Somebody writes to the store without the right to.
    Forge(Vec<Forgery>),
    /// The store is brought back from a backup.
    BringBack(Backup),
    /// `store backup` on this machine.
    Save {
        /// It is restored so much later.
        minutes: u64,
    },
    /// `store restore` of that backup.
    Restore,
    /// The machine is copied, disk and all, and both run.
    Copy {
        /// For so long.
        minutes: u64,
        /// The copy goes on then, and the machine is switched off.
        keeps_copy: bool,
    },
    /// The machine's copy is switched off, or the machine.
    SwitchOff {
        /// The copy goes on.
        keeps_copy: bool,
    },
}

/// Those of one world, each with the machine that it meets, and where to draw from when it comes; so many times as often as usual.
pub(super) fn drawn(draw: &Draw, nodes: &[NodeName], times: u64) -> Vec<(NodeName, Rare, Draw)> {
    let of_kind = |(name, often, make): &Kind| {
        let mut draw = draw.fork(name);
        draw.once_in_a_thousand(often * times).then(|| (draw.one(nodes).clone(), make(&mut draw), draw))
    };
    KINDS.iter().filter_map(of_kind).collect()
}

impl Rare {
    pub(super) async fn strike(&self, scene: &mut Scene, node: &NodeName) {
        match self {
            Self::Remove { compromised } => scene.remove(node, *compromised).await,
            Self::Rebuild => scene.rebuild(node).await,
            Self::FullDisk => scene.with(node, |machine| machine.fill_disk(true)),
            Self::BringBack(backup) => backup.strike(scene),
            Self::Forge(forgeries) => forgeries.iter().for_each(|forgery| forgery.strike(scene, node)),
            Self::Save { .. } => restore::save(scene, node).await,
            Self::Restore => restore::restore(scene, node).await,
            Self::Copy { .. } => scene.copy(node),
            Self::SwitchOff { keeps_copy } => scene.switch_off(node, *keeps_copy),
        }
    }

    /// What ends it, so long after it came.
    pub(super) fn end(&self) -> Option<(Duration, Self)> {
        match self {
            Self::Copy { minutes, keeps_copy } => Some((Duration::from_secs(minutes * 60), Self::SwitchOff { keeps_copy: *keeps_copy })),
            Self::Save { minutes } => Some((Duration::from_secs(minutes * 60), Self::Restore)),
            _ => None,
        }
    }
}

impl fmt::Display for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove { compromised: false } => write!(f, "it is to be removed"),
            Self::Remove { compromised: true } => write!(f, "it is to be removed as compromised"),
            Self::Rebuild => write!(f, "its disk is to be lost"),
            Self::FullDisk => write!(f, "its disk is full"),
            Self::BringBack(backup) => write!(f, "{backup}"),
            Self::Forge(forgeries) => forgeries.iter().try_for_each(|forgery| write!(f, "{forgery}; ")),
            Self::Save { .. } => write!(f, "a backup is to be made"),
            Self::Restore => write!(f, "the backup is to be restored"),
            Self::Copy { .. } => write!(f, "it is copied, disk and all"),
            Self::SwitchOff { keeps_copy: true } => write!(f, "it is switched off, and its copy goes on"),
            Self::SwitchOff { keeps_copy: false } => write!(f, "its copy is switched off"),
        }
    }
}
