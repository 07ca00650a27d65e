//! Grants: what the fleet key allows a machine that wants to join. `invite` makes them; every member checks them, whenever it looks.
//!
//! Always holds: the text that was signed is kept as it was, so that fields of a newer version do not break an older one's check.

use serde::{Deserialize, Serialize};

use super::keys::{SealingKey, Signature, SigningKey, VerifyingKey};
use crate::names::{FleetId, InvitationId, NodeName, NodePattern};
use crate::spec::Roles;
use crate::time::Timestamp;

const GRANT_CONTEXT: &str = "certfleet grant";
const PROOF_CONTEXT: &str = "certfleet join";

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Drawn for this invitation.
    pub id: InvitationId,
    /// The fleet.
    pub fleet: FleetId,
    /// Its name, for people.
    pub fleet_name: String,
    /// The fleet's epoch when it was made; a restored backup ends the tokens from before it.
    pub epoch: u64,
    /// Where the store is, as the inviting node reaches it.
    pub store: String,
    /// Who may join with it.
    pub node: NodePattern,
    /// As what.
    pub roles: Roles,
    /// How many nodes.
    pub uses: u32,
    /// Until when.
    pub expires_at: Timestamp,
    /// A machine that was rebuilt may take the place of the old one.
    #[serde(default)]
    pub replace: bool,
    /// The keys of the nodes that serve the store, where nodes do: by them a machine that joins knows the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<VerifyingKey>,
    /// The public half of the token's own key: who holds the private half holds the token.
    pub join_key: VerifyingKey,
}

/// A grant that cannot be what it seems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not by the fleet key.
    #[error("the invitation is not signed by the fleet key")]
    NotSigned,
    /// Signed, but not a grant.
    #[error("the invitation cannot be read: {0}")]
    Unreadable(String),
    /// Another fleet's.
    #[error("the invitation is for fleet {0}")]
    OtherFleet(FleetId),
    /// Another name.
    #[error("the invitation is for {0}")]
    OtherNode(NodePattern),
    /// The record says more or less than the grant.
    #[error("the roles are not those of the invitation")]
    OtherRoles,
    /// Whoever wrote the record does not have the token.
    #[error("it does not prove that it holds the token")]
    NoProof,
}

/// A grant, as text, and the fleet key's signature over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedGrant {
    /// JSON of a [`Grant`], exactly as it was signed.
    pub grant: String,
    /// By the fleet key.
    pub signature: Signature,
}

impl SignedGrant {
    /// Signs a grant.
    pub fn new(grant: &Grant, fleet_key: &SigningKey) -> Self {
        let grant = serde_json::to_string(grant).expect("names, numbers and times serialise");
        let signature = fleet_key.sign(&signed_bytes(&grant));
        Self { grant, signature }
    }

    /// The grant, if one of `keys` signed it.
    pub fn verify(&self, keys: &[VerifyingKey]) -> Result<Grant, GrantError> {
        let message = signed_bytes(&self.grant);
        if !keys.iter().any(|key| key.verifies(&message, &self.signature)) {
            return Err(GrantError::NotSigned);
        }
        serde_json::from_str(&self.grant).map_err(|error| GrantError::Unreadable(error.to_string()))
    }
}

fn signed_bytes(grant: &str) -> Vec<u8> {
    serde_json::to_vec(&(GRANT_CONTEXT, grant)).expect("text serialises")
}

/// What a joining machine proves to have the token for: this name and these keys, and no others.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// Of the grant.
    pub invitation: &'a InvitationId,
    /// The name it takes.
    pub node: &'a NodeName,
    /// What it drew.
    pub identity: &'a str,
    /// Its keys.
    pub keys: (&'a VerifyingKey, &'a SealingKey),
}

impl Proof<'_> {
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&(PROOF_CONTEXT, self.invitation, self.node, self.identity, self.keys)).expect("names and keys serialise")
    }

    /// By the token's own key.
    pub fn sign(&self, join_key: &SigningKey) -> Signature {
        join_key.sign(&self.bytes())
    }

    /// Whether `signature` is [`Self::sign`]'s.
    pub fn is_proved(&self, join_key: &VerifyingKey, signature: &Signature) -> bool {
        join_key.verifies(&self.bytes(), signature)
    }
}
