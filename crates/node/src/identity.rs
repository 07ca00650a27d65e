//! Who this machine is in the fleet: `identity.json` in the state directory, written when it joins and never changed.
//!
//! It holds the private halves of the node's keys, which leave the machine for nowhere.

use std::path::{Path, PathBuf};

use certfleet_core::names::{FleetId, Incarnation, NodeName};
use certfleet_core::trust::{KEY_BYTES, SealingKey, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::disk::{self, DiskError};
use crate::seal::SealingSecret;

/// What a machine got when it joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The fleet.
    pub fleet: FleetId,
    /// Its name, for people.
    pub fleet_name: String,
    /// The fleet's keys then.
    pub verifying_keys: Vec<VerifyingKey>,
    /// This node's name.
    pub node: NodeName,
    /// Drawn when it joined; the member's record in the store has it too.
    pub identity: String,
    /// Signs its records.
    pub signing_key: SigningKey,
    /// Opens what is sealed for it.
    pub sealing_key: SealingSecret,
}

/// Why random bytes or a name could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RandomError {
    /// None for a name.
    #[error("the operating system gives no random bytes: {0}")]
    System(getrandom::Error),
    /// None for a key.
    #[error(transparent)]
    Key(#[from] crate::seal::RandomError),
}

impl Identity {
    /// Of a machine that is about to join, with fresh keys.
    pub fn draw(fleet: FleetId, fleet_name: String, verifying_keys: Vec<VerifyingKey>, node: NodeName) -> Result<Self, RandomError> {
        let identity = random_hex(16)?;
        Ok(Self {
            fleet,
            fleet_name,
            verifying_keys,
            node,
            identity,
            signing_key: random_signing_key()?,
            sealing_key: SealingSecret::generate()?,
        })
    }

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

    /// Undoes [`Self::save`], for a machine that was not let in after all.
    pub fn forget(state: &Path) {
        let _ = std::fs::remove_file(Self::path(state));
    }

    /// The public halves of its keys.
    pub fn public_keys(&self) -> (VerifyingKey, SealingKey) {
        (self.signing_key.verifying_key(), self.sealing_key.sealing_key())
    }
}

/// `bytes` random bytes as lower-case hex.
pub fn random_hex(bytes: usize) -> Result<String, RandomError> {
    let mut buffer = vec![0; bytes];
    getrandom::fill(&mut buffer).map_err(RandomError::System)?;
    Ok(certfleet_core::hash::hex(&buffer))
}

/// A fresh signing key.
pub fn random_signing_key() -> Result<SigningKey, RandomError> {
    let mut seed = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(seed.as_mut_slice()).map_err(RandomError::System)?;
    Ok(SigningKey::from_seed(&seed))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_and_what_signs_with_it_print_no_key() {
        let fleet_key = random_signing_key().expect("random");
        let (fleet, node) = (random_fleet_id().expect("random"), "n1".parse().expect("a name"));
        let identity = Identity::draw(fleet, "lab".into(), vec![fleet_key.verifying_key()], node).expect("random");
        let kept = serde_json::to_value(&identity).expect("JSON");
        let pen = crate::trust::Pen::new(&identity);
        for printed in [format!("{identity:?}"), format!("{identity:#?}"), format!("{pen:?}"), format!("{fleet_key:?}")] {
            for key in ["signing_key", "sealing_key"] {
                assert!(printed.contains("[secret]") && !printed.contains(kept[key].as_str().expect("text")), "{printed}");
            }
        }
    }
}
