//! Records about the fleet, its nodes, its accounts and what the nodes report.

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::encoding::base64_bytes;
use crate::names::{CertName, ConfigHash, FleetId, Generation, Identifier, Incarnation, InvitationId, IssuerName, NodeName, SpkiHash};
use crate::secret::{Sealed, Wrap};
use crate::spec::Roles;
use crate::time::Timestamp;
use crate::trust::{SealingKey, Signature, SignedGrant, VerifyingKey};

/// `fleet`: what the fleet key says. Written by `init`, and by the commands that need that key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetRecord {
    /// Drawn at random; tells an unmounted or foreign store from ours.
    pub id: FleetId,
    /// As configured when it was made.
    pub name: String,
    /// The record form in use by the fleet; raised once every member can read it.
    pub format: u32,
    /// Raised when a backup is restored.
    pub epoch: u64,
    /// When `init` made it.
    pub created_at: Timestamp,
    /// The public halves of the fleet key; several while it is being changed.
    pub verifying_keys: Vec<VerifyingKey>,
    /// Nodes that are no longer members, in the order in which they were removed; only growing.
    #[serde(default)]
    pub removals: Vec<Removal>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A node that is no longer a member. It is the machine that is meant, so that another may take the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Its name.
    pub node: NodeName,
    /// What it drew when it joined.
    pub identity: String,
    /// When.
    pub at: Timestamp,
    /// Somebody else may have its keys: whatever it could read is made anew.
    #[serde(default)]
    pub compromised: bool,
}

/// `nodes/<node>`: a member; under `joining/<node>`, a machine that asks to become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: NodeName,
    /// Drawn when it joined; a second machine that joins in the same name has another.
    pub identity: String,
    /// What its records are signed with.
    pub signing_key: VerifyingKey,
    /// What is sealed for it.
    pub sealing_key: SealingKey,
    /// What it may do at the most.
    pub granted: Roles,
    /// When it joined.
    pub joined_at: Timestamp,
    /// The invitation it came with; none for the node that made the fleet, whose record the fleet key signs.
    #[serde(default)]
    pub grant: Option<SignedGrant>,
    /// By the token's own key: whoever asks for this name and these keys holds the token.
    #[serde(default)]
    pub proof: Option<Signature>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `invitations/<id>`: who was let in with it; counted before each is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRecord {
    /// Which.
    pub id: InvitationId,
    /// By whom it was used.
    pub used_by: Vec<InvitationUse>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// One use of an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationUse {
    /// The name it was used for.
    pub node: NodeName,
    /// The machine.
    pub identity: String,
    /// The machine that had the name when the use was counted, if there was one: it alone is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_of: Option<String>,
}

/// `presence/<node>`: whether a member is there, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Which life of the node wrote this.
    pub incarnation: Incarnation,
    /// Rises with each write.
    pub beat: u64,
    /// By the node's own clock; shown to people, compared by nobody.
    pub at: Timestamp,
    /// Of the software.
    pub version: String,
    /// Of the configuration it runs with.
    pub config: ConfigHash,
    /// Granted and configured.
    pub roles: Roles,
    /// Whether it is going.
    pub state: PresenceState,
    /// Why it does not do all of its roles, for `status`.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Keys that it is meant to read and cannot open; whoever has one wraps it anew.
    #[serde(default)]
    pub lacks: Vec<SpkiHash>,
    /// The highest record form that it can read.
    #[serde(default)]
    pub reads_format: u32,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Presence {
    /// Whether others learn nothing new from the other one: troubles are for people.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let words = |p: &Self| (p.incarnation.clone(), p.config.clone(), p.roles.clone(), p.state, p.version.clone(), p.lacks.clone());
        words(self) == words(other)
    }
}

/// Whether a node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PresenceState {
    /// It beats.
    Live,
    /// It said goodbye.
    Leaving,
}

/// `accounts/@key`: the account key that all issuers share; created once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountKeyRecord {
    /// The key in use.
    #[serde(flatten)]
    pub current: AccountKey,
    /// The key that takes its place, while the accounts are being rolled over to it (RFC 8555 section 7.3.5).
    #[serde(default)]
    pub next: Option<AccountKey>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl AccountKeyRecord {
    /// The key in use, and the one that is to take its place.
    pub fn keys(&self) -> impl Iterator<Item = &AccountKey> {
        [&self.current].into_iter().chain(&self.next)
    }
}

/// An account key: its public side, and the key itself, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountKey {
    /// RFC 7638; what stateless answers are made of.
    pub thumbprint: String,
    /// Hash of its public half.
    pub spki: SpkiHash,
    /// When it was made or imported.
    pub created_at: Timestamp,
    /// How many removals the fleet's list had then: whoever was removed later may have read it.
    #[serde(default)]
    pub after_removals: u64,
    /// The PKCS#8 document in PEM, sealed for the `issue` nodes.
    pub key: Sealed,
}

/// `accounts/<issuer>`: the fleet's account at a CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The name of its table in the configuration.
    pub issuer: IssuerName,
    /// The CA's directory; when the configuration names another, the fleet registers there.
    pub directory: String,
    /// The account's URL (RFC 8555 section 7.3).
    pub url: String,
    /// Of the key it was registered with.
    pub thumbprint: String,
    /// When the CA confirmed it.
    pub registered_at: Timestamp,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `keys/<spki hash>`: a certificate's private key; created once, before any CSR names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateKeyRecord {
    /// The certificate it was made for.
    pub cert: CertName,
    /// Hash of its public half.
    pub spki: SpkiHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// The PKCS#8 document in PEM, sealed.
    pub key: Sealed,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `wraps/<spki hash>/<node>`: the same key, wrapped for a node that came later or could not open its own wrap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapRecord {
    /// Which key.
    pub spki: SpkiHash,
    /// For whom.
    pub node: NodeName,
    /// What only it can open.
    pub wrap: Wrap,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `requests/<cert>/<node>`: a certificate signing request, made by a node that has the key; an `issue` node takes it from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The highest number in the certificate's record when it was made: it is for the next attempt and no other.
    pub after: Generation,
    /// What it asks for.
    pub names: Vec<Identifier>,
    /// Hash of the key's public half.
    pub key: SpkiHash,
    /// The request (RFC 2986), DER.
    #[serde(with = "base64_bytes")]
    pub csr: Vec<u8>,
    /// How many removals the fleet's list had when the key was made.
    #[serde(default)]
    pub after_removals: u64,
    /// When it was made.
    pub at: Timestamp,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `reports/<cert>/<node>/<target>`: what a node says a target has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which generation.
    pub generation: Generation,
    /// Which placement it followed.
    pub seq: u64,
    /// How far it came.
    pub state: TargetState,
    /// Why it is not `verified`.
    #[serde(default)]
    pub reason: Option<String>,
    /// Nothing more can come of it soon: `verified`, or written and not to be looked at.
    #[serde(default)]
    pub settled: bool,
    /// By the node's own clock.
    pub at: Timestamp,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// How far a target came with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetState {
    /// Nothing yet.
    Pending,
    /// Written, not seen served.
    Installed,
    /// Seen served.
    Verified,
    /// Put back; tried again later.
    Failed,
}
