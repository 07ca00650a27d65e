//! `status`: what the fleet looks like from here, as the documented JSON. A pure function of the view.

mod show;

use certfleet_core::names::{CertName, ConfigHash, FleetId, Generation, Identifier, IssuerName, NodeName, TargetName};
use certfleet_core::records::{AttemptEnd, TargetState};
use certfleet_core::spec::Roles;
use certfleet_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub use show::status;

/// The version of this document's form.
pub const SCHEMA: u32 = 1;

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Who said this.
    pub node: NodeName,
    /// When, by that node's clock.
    pub at: Timestamp,
    /// The fleet.
    pub fleet: FleetStatus,
    /// The certificates, by name.
    pub certificates: Vec<CertificateStatus>,
    /// Certificates of the configuration that this node is not shown, since its roles do not need them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<CertName>,
    /// What is wrong on the node that said this, and values in the store that cannot be read.
    pub troubles: Vec<String>,
}

/// The fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetStatus {
    /// Its identity.
    pub id: FleetId,
    /// Its name.
    pub name: String,
    /// The kind of its store.
    pub store: String,
    /// Raised when a backup is restored.
    pub epoch: u64,
    /// Its members.
    pub nodes: Vec<NodeStatus>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// What it may do.
    pub roles: Roles,
    /// Whether it was seen beating lately.
    pub live: bool,
    /// Of its software; `null` before it ran for the first time.
    pub version: Option<String>,
    /// Of its configuration.
    pub config: Option<ConfigHash>,
    /// When it last beat, by its own clock.
    pub seen_at: Option<Timestamp>,
    /// Why it does not do all that it could.
    pub troubles: Vec<String>,
}

/// How a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateState {
    /// Never issued.
    Pending,
    /// An attempt runs.
    Issuing,
    /// All is well.
    Valid,
    /// Valid, and the last attempt failed.
    Failing,
    /// A canary failed.
    Halted,
    /// The CA paused it.
    Paused,
    /// It ran out.
    Expired,
    /// No configuration names it any more.
    Retired,
}

impl CertificateState {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Issuing => "issuing",
            Self::Valid => "valid",
            Self::Failing => "failing",
            Self::Halted => "halted",
            Self::Paused => "paused",
            Self::Expired => "expired",
            Self::Retired => "retired",
        }
    }
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Its name.
    pub name: CertName,
    /// What it is for.
    pub names: Vec<Identifier>,
    /// Where it is from, or whom it asks.
    pub issuer: IssuerName,
    /// How it is.
    pub state: CertificateState,
    /// What the fleet should serve.
    pub generation: Option<Generation>,
    /// When the next attempt is due.
    pub renew_at: Option<Timestamp>,
    /// The attempt that runs.
    pub attempt: Option<AttemptStatus>,
    /// What went wrong last, while it is not mended.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_try_at: Option<Timestamp>,
    /// What it waits for, as this node sees it.
    pub waiting: Option<String>,
    /// Where it is placed.
    pub nodes: Vec<PlacedStatus>,
}

/// An attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStatus {
    /// Its number.
    pub number: Generation,
    /// `keyed`, `ordered`, `validating` or `finalizing`.
    pub step: String,
    /// Who drives it.
    pub holder: Option<NodeName>,
    /// The order's URL.
    pub order: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
}

/// A certificate on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedStatus {
    /// The node.
    pub node: NodeName,
    /// What it has, the lowest of its targets.
    pub generation: Option<Generation>,
    /// Of that generation, where it is the placed one.
    pub serial: Option<String>,
    /// `sha256:` and hex.
    pub fingerprint: Option<String>,
    /// Start of validity.
    pub not_before: Option<Timestamp>,
    /// End of validity.
    pub not_after: Option<Timestamp>,
    /// Its targets.
    pub targets: Vec<TargetStatus>,
}

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Its name.
    pub target: TargetName,
    /// Which generation it reported.
    pub generation: Option<Generation>,
    /// How far it is with the placed generation.
    pub state: TargetState,
    /// Why not further.
    pub reason: Option<String>,
    /// When it was reported, by the node's clock.
    pub at: Option<Timestamp>,
}

impl Status {
    /// A certificate by name.
    pub fn certificate(&self, name: &CertName) -> Option<&CertificateStatus> {
        self.certificates.iter().find(|certificate| certificate.name == *name)
    }

    /// Whether everything is as it should be: for `--exit-code` and monitoring.
    pub fn is_well(&self) -> bool {
        self.troubles.is_empty() && self.certificates.iter().all(|certificate| certificate.is_well())
    }
}

impl CertificateStatus {
    /// Valid (or being renewed), and nothing failed.
    pub fn is_well(&self) -> bool {
        let fine = matches!(self.state, CertificateState::Valid | CertificateState::Retired | CertificateState::Issuing);
        fine && self.nodes.iter().flat_map(|node| &node.targets).all(|target| target.state != TargetState::Failed)
    }

    /// Whether every node that has targets was seen serving the placed generation.
    pub fn is_verified(&self) -> bool {
        let mut targets = self.nodes.iter().flat_map(|node| &node.targets).peekable();
        self.generation.is_some() && targets.peek().is_some() && targets.all(|target| target.state == TargetState::Verified)
    }
}

/// One line of `history`.
pub fn describe_end(end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Issued { serial } => format!("issued, serial {serial}"),
        AttemptEnd::Failed { problem } => format!("failed: {problem}"),
        AttemptEnd::NotOurs => "the CA's order was another attempt's; tried again".into(),
        AttemptEnd::SetAside => "set aside: the CA fell silent".into(),
        AttemptEnd::WentBack => "the fleet went back to this generation".into(),
    }
}
