//! What the configuration asks for, as values: certificates, issuers, targets, roles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{CertName, ConfigHash, Identifier, IssuerName, NodeName, NodePattern, TargetName};

/// What a node may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Drives orders.
    Issue,
    /// Answers challenges.
    Answer,
    /// Installs certificates.
    Deploy,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Issue => "issue",
            Self::Answer => "answer",
            Self::Deploy => "deploy",
        })
    }
}

/// A set of roles.
pub type Roles = BTreeSet<Role>;

/// All three roles, the default.
pub fn all_roles() -> Roles {
    [Role::Issue, Role::Answer, Role::Deploy].into()
}

/// How the CA is convinced (RFC 8555 section 8, RFC 8737).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChallengeType {
    /// RFC 8555 section 8.3.
    #[serde(rename = "http-01")]
    Http01,
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Http01 => "http-01",
        })
    }
}

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// ECDSA on P-256.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// Who has the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPolicy {
    /// All nodes on which the certificate is placed have the same.
    #[default]
    Shared,
    /// Each makes its own, which never leaves it, and has a certificate of its own.
    PerNode,
}

/// What a certificate is: its names, and how to get, place and install it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specification {
    /// What it is for, in the configured order.
    pub names: Vec<Identifier>,
    /// Whom to ask, in order; never empty.
    pub issuers: Vec<IssuerName>,
    /// How the CA is convinced.
    pub challenge: ChallengeType,
    /// The kind of its key.
    #[serde(default)]
    pub key: KeyType,
    /// Who has the key.
    #[serde(default)]
    pub policy: KeyPolicy,
    /// A renewal keeps the key.
    #[serde(default)]
    pub reuse: bool,
    /// Where it is placed; empty: on every node that deploys.
    #[serde(default)]
    pub nodes: Vec<NodePattern>,
    /// The targets that install it.
    #[serde(default)]
    pub deploy: Vec<TargetName>,
    /// In which order the nodes install it.
    #[serde(default)]
    pub rollout: Rollout,
}

impl Specification {
    /// Whether the certificate is meant for `node`.
    pub fn is_placed_on(&self, node: &NodeName) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|pattern| pattern.matches(node))
    }

    /// Those of `nodes` that it is meant for: looked up by the patterns, since there may be ten thousand.
    pub fn placed_among<'a, V>(&'a self, nodes: &'a BTreeMap<NodeName, V>) -> impl Iterator<Item = (&'a NodeName, &'a V)> {
        let all = self.nodes.is_empty().then(|| nodes.iter());
        // In order, and each once, though several patterns may mean it.
        let named: BTreeMap<&NodeName, &V> = self.nodes.iter().flat_map(|pattern| pattern.among(nodes)).collect();
        all.into_iter().flatten().chain(named)
    }

    /// The one that `node` has of its own.
    pub fn of_node(&self, node: &NodeName) -> Self {
        let only = node.as_str().parse().expect("a node's name is a pattern that matches it alone");
        Self { nodes: vec![only], ..self.clone() }
    }

    /// Whether both ask the CA for the same names, in whatever order.
    pub fn has_names(&self, names: &[Identifier]) -> bool {
        let set = |names: &[Identifier]| names.iter().cloned().collect::<BTreeSet<_>>();
        set(&self.names) == set(names)
    }
}

/// In which order the nodes install a new generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// How many nodes go first; 0: all at once.
    pub canary: u32,
    /// What a canary's failure does.
    pub on_failure: OnFailure,
    /// A halt does not hold for a node whose served certificate has less than this share of its life left, in percent.
    pub override_percent: u8,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { canary: 0, on_failure: OnFailure::Halt, override_percent: 20 }
    }
}

/// What a canary's failure does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The other nodes wait for `rollout resume` or `rollout back`.
    Halt,
    /// The other nodes go on.
    Continue,
}

/// An ACME CA as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerSpec {
    /// The directory's URL (RFC 8555 section 7.1.1).
    pub directory: String,
    /// `mailto:` URLs.
    #[serde(default)]
    pub contact: Vec<String>,
    /// Whether the operator agreed to the CA's terms.
    pub agree_tos: bool,
    /// The profile to ask for (draft-aaron-acme-profiles), if any.
    #[serde(default)]
    pub profile: Option<String>,
}

/// Which nodes have a target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetSpec {
    /// Empty: every node on which the certificate is placed.
    #[serde(default)]
    pub nodes: Vec<NodePattern>,
}

impl TargetSpec {
    /// Whether `node` has this target.
    pub fn is_on(&self, node: &NodeName) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|pattern| pattern.matches(node))
    }
}

/// The part of the configuration that is about the fleet and must be the same on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSpec {
    /// Over everything that is about the fleet.
    pub hash: ConfigHash,
    /// The managed certificates.
    pub certificates: BTreeMap<CertName, Specification>,
    /// The CAs.
    pub issuers: BTreeMap<IssuerName, IssuerSpec>,
    /// The targets.
    pub targets: BTreeMap<TargetName, TargetSpec>,
}
