//! What a member sees of a store that a node serves, and what it may change there: the table of docs/store-central.md as code. There is no
//! other place where this is decided.
//!
//! Always holds: nobody sees more than its granted roles need, and what somebody may read says nothing about whether it counts. A node with
//! the role `issue` sees everything, since it may have to put everything right.
//!
//! Deliberately not here: who asks (TLS says that), and machines that are no members yet (the service that answers them knows two keys).

use std::collections::BTreeSet;

use super::roster::{Distrust, Roster};
use super::writers::may_write;
use crate::envelope::Envelope;
use crate::key::RecordKey;
use crate::names::{CertName, NodeName, SpkiHash};
use crate::spec::{Role, Roles};
use crate::view::is_kept;

/// What one member sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Who.
    pub node: NodeName,
    /// What it was granted.
    pub granted: Roles,
    /// The certificates that are placed on it; left empty where the roles show all.
    pub certs: BTreeSet<CertName>,
    /// The keys of these, placed and coming.
    pub keys: BTreeSet<SpkiHash>,
}

/// Why a member may not change a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It would not count.
    #[error(transparent)]
    Distrusted(#[from] Distrust),
    /// It would count, and is somebody else's to bring.
    #[error("{0} wrote it, and only {0} or a node with the role issue may bring it")]
    Foreign(NodeName),
    /// Of a certificate that is placed elsewhere.
    #[error("it is not of a certificate that is placed on {0}")]
    Elsewhere(NodeName),
    /// Never.
    #[error("such records are never removed")]
    Kept,
    /// Not this one.
    #[error("the roles of {0} do not allow it to remove that")]
    MayNotRemove(NodeName),
}

impl Sight {
    fn has(&self, role: Role) -> bool {
        self.granted.contains(&role)
    }

    /// Whether it sees everything.
    pub fn is_whole(&self) -> bool {
        self.has(Role::Issue)
    }

    /// Whether it may read the record.
    pub fn shows(&self, key: &RecordKey) -> bool {
        let answers = self.has(Role::Answer);
        self.is_whole()
            || match key {
                RecordKey::Fleet | RecordKey::Home | RecordKey::Node(_) | RecordKey::Presence(_) => true,
                RecordKey::Joining(node) => *node == self.node,
                RecordKey::Invitation(_) => false,
                // What challenges are answered with, and for which names.
                RecordKey::AccountKey | RecordKey::Account(_) => answers,
                RecordKey::Cert(cert) => answers || self.certs.contains(cert),
                RecordKey::Request(cert, node) | RecordKey::Report(cert, node, _) => *node == self.node || self.certs.contains(cert),
                RecordKey::Version(cert, _) => self.certs.contains(cert),
                RecordKey::PrivateKey(key) => self.keys.contains(key),
                // Who has a key wraps it for others, and sees whether somebody else has.
                RecordKey::Wrap(key, node) => *node == self.node || self.keys.contains(key),
            }
    }

    /// Whether it may write this envelope there: one that counts, its own; or anybody's, where such records are put back as they were (`fleet`,
    /// `nodes/`; keys and chains of what is placed on it, which are made once and known by their hash).
    pub fn may_put(&self, roster: &Roster, key: &RecordKey, envelope: &Envelope) -> Result<(), Refused> {
        roster.check(key, envelope)?;
        let is_verbatim = matches!(key, RecordKey::Fleet | RecordKey::Node(_) | RecordKey::PrivateKey(_) | RecordKey::Version(..));
        if envelope.writer != self.node && !is_verbatim && !self.is_whole() {
            return Err(Refused::Foreign(envelope.writer.clone()));
        }
        let is_blob = matches!(key, RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Version(..));
        if is_blob && !self.shows(key) { Err(Refused::Elsewhere(self.node.clone())) } else { Ok(()) }
    }

    /// Whether it may remove what stands there.
    pub fn may_remove(&self, key: &RecordKey) -> Result<(), Refused> {
        let may = match key {
            _ if is_kept(key) => return Err(Refused::Kept),
            RecordKey::Joining(node) => self.is_whole() || *node == self.node,
            _ => may_write(key, &self.node, &self.granted) && self.shows(key),
        };
        if may { Ok(()) } else { Err(Refused::MayNotRemove(self.node.clone())) }
    }
}

#[cfg(test)]
mod tests;
