//! The roster: which keys the fleet has, who its members are, and whether an envelope may stand where it stands.

use std::collections::{BTreeMap, BTreeSet};

use super::grant::{GrantError, Proof};
use super::keys::{SealingKey, Signature, SigningKey, VerifyingKey};
use super::writers::may_write;
use crate::envelope::{Envelope, EnvelopeError};
use crate::key::{Key, RecordKey};
use crate::mutants::{Mutant, has};
use crate::names::{FleetId, NodeName};
use crate::records::{FleetRecord, NodeRecord};
use crate::spec::{Role, Roles};

const RECORD_CONTEXT: &str = "certfleet record";

/// A member, as far as trust goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it drew when it joined.
    pub identity: String,
    /// What its records are signed with.
    pub signing_key: VerifyingKey,
    /// What is sealed for it.
    pub sealing_key: SealingKey,
    /// What it may do at the most.
    pub granted: Roles,
}

/// The keys and the members of a fleet. Removed ones are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Which fleet.
    pub fleet: FleetId,
    /// The fleet's keys.
    pub verifying_keys: Vec<VerifyingKey>,
    /// Who is in.
    pub members: BTreeMap<NodeName, Member>,
}

/// Why a record does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// No signature, or one that is not of this record.
    #[error("its signature is not that of {0}, who it says wrote it")]
    Signature(NodeName),
    /// Only the fleet key may.
    #[error("it is not signed by the fleet key")]
    FleetKey,
    /// Not a member, or no more.
    #[error("{0} wrote it, who is not a member of the fleet")]
    NotAMember(NodeName),
    /// A member that may not write there.
    #[error("{0} wrote it, whose roles do not allow that")]
    MayNot(NodeName),
    /// Not for this place.
    #[error("it is the record of {0}")]
    WrongPlace(String),
    /// A node's record that no invitation stands behind.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// Not a record at all.
    #[error(transparent)]
    Unreadable(#[from] EnvelopeError),
    /// Written before something that was seen already.
    #[error("it is older than what was there before (change {change}, {seen} was seen): somebody put it back, or the store lost writes")]
    Older {
        /// Its change.
        change: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// The fleet's record says less than it did.
    #[error("{0}")]
    Fleet(String),
}

/// What a record's signature is over.
fn signed_bytes(fleet: &FleetId, key: &Key, envelope: &Envelope) -> Vec<u8> {
    let Envelope { format, writer, nonce, change, body, signature: _ } = envelope;
    serde_json::to_vec(&(RECORD_CONTEXT, fleet, key, format, writer, nonce, change, body)).expect("values read from JSON can be written")
}

impl Envelope {
    /// Signs it for its place. Whatever is changed afterwards, the place included, makes the signature void.
    pub fn signed(mut self, fleet: &FleetId, key: &Key, by: &SigningKey) -> Self {
        self.signature = by.sign(&signed_bytes(fleet, key, &self)).to_string();
        self
    }

    /// Whether one of `keys` signed it for this place.
    pub fn is_signed_by<'k>(&self, fleet: &FleetId, key: &Key, keys: impl IntoIterator<Item = &'k VerifyingKey>) -> bool {
        let Ok(signature) = self.signature.parse::<Signature>() else { return false };
        let message = signed_bytes(fleet, key, self);
        keys.into_iter().any(|public| public.verifies(&message, &signature))
    }
}

impl Roster {
    /// The fleet's keys alone: before anything was read.
    pub fn new(fleet: FleetId, verifying_keys: Vec<VerifyingKey>) -> Self {
        Self { fleet, verifying_keys, members: BTreeMap::new() }
    }

    /// Everyone in `nodes` whom the fleet has not removed. The records must have been checked.
    pub fn of<'n>(fleet: &FleetRecord, nodes: impl IntoIterator<Item = &'n NodeRecord>) -> Self {
        let removed: BTreeSet<&str> = fleet.removals.iter().map(|removal| removal.identity.as_str()).collect();
        let members = nodes.into_iter().filter(|node| !removed.contains(node.identity.as_str()));
        let members = members.map(|node| (node.name.clone(), Member::of(node)));
        Self { fleet: fleet.id.clone(), verifying_keys: fleet.verifying_keys.clone(), members: members.collect() }
    }

    /// Whether `envelope` counts as what stands under `key`.
    pub fn check(&self, key: &RecordKey, envelope: &Envelope) -> Result<(), Distrust> {
        match key {
            RecordKey::Fleet => self.by_fleet_key(key, envelope).then_some(()).ok_or(Distrust::FleetKey),
            RecordKey::Joining(node) => self.check_joining(node, key, envelope),
            RecordKey::Node(node) => self.check_node(node, key, envelope),
            _ => self.check_writer(key, envelope),
        }
    }

    fn by_fleet_key(&self, key: &RecordKey, envelope: &Envelope) -> bool {
        envelope.is_signed_by(&self.fleet, &key.key(), &self.verifying_keys)
    }

    fn check_writer(&self, key: &RecordKey, envelope: &Envelope) -> Result<(), Distrust> {
        let writer = &envelope.writer;
        let member = self.members.get(writer).ok_or_else(|| Distrust::NotAMember(writer.clone()))?;
        if !may_write(key, writer, &member.granted) && !has(Mutant::TrustAnyMember) {
            return Err(Distrust::MayNot(writer.clone()));
        }
        if !envelope.is_signed_by(&self.fleet, &key.key(), [&member.signing_key]) && !has(Mutant::TrustUnsigned) {
            return Err(Distrust::Signature(writer.clone()));
        }
        Ok(())
    }

    /// A member's record: vouched for by the fleet key, or by an `issue` node for one that an invitation stands behind.
    fn check_node(&self, node: &NodeName, key: &RecordKey, envelope: &Envelope) -> Result<(), Distrust> {
        let by_fleet_key = self.by_fleet_key(key, envelope);
        if !by_fleet_key {
            self.check_writer(key, envelope)?;
        }
        let record: NodeRecord = envelope.record()?;
        match () {
            () if record.name != *node => Err(Distrust::WrongPlace(record.name.to_string())),
            () if by_fleet_key => Ok(()),
            () => self.check_grant(&record),
        }
    }

    /// A machine that asks to be let in says so itself, with its own key.
    fn check_joining(&self, node: &NodeName, key: &RecordKey, envelope: &Envelope) -> Result<(), Distrust> {
        let record: NodeRecord = envelope.record()?;
        if record.name != *node {
            return Err(Distrust::WrongPlace(record.name.to_string()));
        }
        if !envelope.is_signed_by(&self.fleet, &key.key(), [&record.signing_key]) {
            return Err(Distrust::Signature(node.clone()));
        }
        self.check_grant(&record)
    }

    /// Whether the fleet key allowed this name these roles, for whoever holds the token, and the token's holder wants these keys.
    fn check_grant(&self, record: &NodeRecord) -> Result<(), Distrust> {
        let (Some(signed), Some(proof)) = (&record.grant, &record.proof) else { return Err(GrantError::NotSigned.into()) };
        let grant = signed.verify(&self.verifying_keys)?;
        let claim = Proof {
            invitation: &grant.id,
            node: &record.name,
            identity: &record.identity,
            keys: (&record.signing_key, &record.sealing_key),
        };
        match () {
            () if grant.fleet != self.fleet => Err(GrantError::OtherFleet(grant.fleet).into()),
            () if !grant.node.matches(&record.name) => Err(GrantError::OtherNode(grant.node).into()),
            () if grant.roles != record.granted => Err(GrantError::OtherRoles.into()),
            () if !claim.is_proved(&grant.join_key, proof) => Err(GrantError::NoProof.into()),
            () => Ok(()),
        }
    }

    /// Members with a role.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = (&NodeName, &Member)> {
        self.members.iter().filter(move |(_, member)| member.granted.contains(&role))
    }
}

impl Member {
    fn of(record: &NodeRecord) -> Self {
        Self {
            identity: record.identity.clone(),
            signing_key: record.signing_key,
            sealing_key: record.sealing_key,
            granted: record.granted.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
