//! Who this machine is in the fleet: `identity.json` in the state directory, written when it joins and never changed.

use std::path::{Path, PathBuf};

use certfleet_core::names::{FleetId, Incarnation, NodeName};
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

/// What a machine got when it joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The fleet.
    pub fleet: FleetId,
    /// Its name, for people.
    pub fleet_name: String,
    /// This node's name.
    pub node: NodeName,
    /// Drawn when it joined; the member's record in the store has it too.
    pub identity: String,
}

/// Why random bytes or a name could not be had.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct RandomError(getrandom::Error);

impl Identity {
    fn path(state: &Path) -> PathBuf {
        state.join("identity.json")
    }

    /// This machine's identity, if it has joined a fleet.
    pub fn load(state: &Path) -> Result<Option<Self>, DiskError> {
        disk::read_json(&Self::path(state))
    }

    /// Keeps it.
    pub fn save(&self, state: &Path) -> Result<(), DiskError> {
        disk::make_private_dir(state)?;
        disk::write_json(&Self::path(state), self)
    }
}

/// `bytes` random bytes as lower-case hex.
pub fn random_hex(bytes: usize) -> Result<String, RandomError> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(RandomError)?;
    Ok(certfleet_core::hash::hex(&buffer))
}

/// A new fleet's id.
pub fn random_fleet_id() -> Result<FleetId, RandomError> {
    Ok(random_hex(16)?.parse().expect("hex digits are a name"))
}

/// A new life of this node.
pub fn random_incarnation() -> Result<Incarnation, RandomError> {
    Ok(random_hex(8)?.parse().expect("hex digits are a name"))
}

/// This machine's host name as a node name, if it can be one.
pub fn host_name() -> Option<NodeName> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_str().ok()?;
    host.split('.').next()?.parse().ok()
}
