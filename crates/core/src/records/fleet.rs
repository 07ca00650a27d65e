//! Records about the fleet, its nodes, its accounts and what the nodes report.

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::names::{CertName, ConfigHash, FleetId, Generation, Incarnation, IssuerName, NodeName, SpkiHash};
use crate::secret::Sealed;
use crate::spec::Roles;
use crate::time::Timestamp;

/// `fleet`: written by `init`, once.
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
    /// Nodes that are no longer members; only growing.
    #[serde(default)]
    pub removals: Vec<NodeName>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

/// `nodes/<node>`: a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: NodeName,
    /// Drawn when it joined; a second machine that joins in the same name has another.
    pub identity: String,
    /// What it may do at the most.
    pub granted: Roles,
    /// When it joined.
    pub joined_at: Timestamp,
    /// The invitation it came with; none for the node that made the fleet.
    #[serde(default)]
    pub invitation: Option<String>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
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
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
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
    /// RFC 7638; what stateless answers are made of.
    pub thumbprint: String,
    /// When it was made or imported.
    pub created_at: Timestamp,
    /// The PKCS#8 document in PEM, sealed.
    pub key: Sealed,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
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
