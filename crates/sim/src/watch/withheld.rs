//! Where a node serves its store, a member without the role `issue` is told no more than it needs: no invitation, no account without the role
//! `answer`, and no private key of a certificate that was never placed on it.

use std::collections::{BTreeMap, BTreeSet};

use certfleet_core::envelope::Envelope;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{CertRecord, PrivateKeyRecord};
use certfleet_core::spec::{Role, Roles};

/// From whom something is withheld, and which certificates were ever meant for them.
#[derive(Debug, Default)]
pub struct Withheld {
    granted: BTreeMap<NodeName, Roles>,
    meant: BTreeSet<(CertName, NodeName)>,
}

impl Withheld {
    /// Of a store that is served to these, who may do no more than that.
    pub fn from(granted: impl Iterator<Item = (NodeName, Roles)>) -> Self {
        Self { granted: granted.filter(|(_, roles)| !roles.contains(&Role::Issue)).collect(), ..Self::default() }
    }

    /// A certificate's record says where it is placed.
    pub fn wrote(&mut self, cert: &CertName, record: &CertRecord) {
        let placed = self.granted.keys().filter(|node| record.spec.is_placed_on(node));
        self.meant.extend(placed.map(|node| (cert.clone(), node.clone())));
    }

    /// `node` is told what stands under a key.
    pub fn was_told(&self, node: &NodeName, key: &RecordKey, value: &Envelope) -> Result<(), String> {
        let Some(granted) = self.granted.get(node) else { return Ok(()) };
        let may = match key {
            RecordKey::Invitation(_) => false,
            RecordKey::AccountKey | RecordKey::Account(_) => granted.contains(&Role::Answer),
            // What was spoilt is no key.
            RecordKey::PrivateKey(_) => {
                value.record::<PrivateKeyRecord>().map_or(true, |record| self.meant.contains(&(record.cert, node.clone())))
            }
            _ => true,
        };
        if may { Ok(()) } else { Err(format!("{node} is told of {}, which is not for it", key.key())) }
    }
}
