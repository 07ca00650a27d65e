//! `certs/<cert>`: the whole truth of an issuance, changed only by compare-and-swap; and `versions/<cert>/<generation>`.

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::ca::Problem;
use crate::encoding::base64_bytes;
use crate::names::{CertName, Fingerprint, Generation, Identifier, Incarnation, IssuerName, NodeName, SpkiHash, VersionHash};
use crate::spec::{ChallengeType, Specification};
use crate::time::Timestamp;

/// How many finished attempts a record remembers.
pub const HISTORY_ENTRIES_MAX: usize = 20;

/// A certificate's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertRecord {
    /// What it follows; a node's own configuration may say something newer.
    pub spec: Specification,
    /// Which generation the fleet should serve, and what it is.
    #[serde(default)]
    pub placed: Option<Placed>,
    /// The attempt that runs now.
    #[serde(default)]
    pub attempt: Option<Attempt>,
    /// Attempts that the CA was silent about when expiry came near; still polled, so that nothing it issues is lost.
    #[serde(default)]
    pub set_aside: Vec<Attempt>,
    /// The highest number ever used.
    pub last_number: Generation,
    /// What went wrong since the last success.
    #[serde(default)]
    pub failures: Failures,
    /// An operator wants a new generation; cleared by the next one that is placed.
    #[serde(default)]
    pub renew_requested_at: Option<Timestamp>,
    /// The next attempt is to have a fresh key, whatever the specification says of keeping it.
    #[serde(default)]
    pub new_key: bool,
    /// No configuration names it any more; its files stay.
    #[serde(default)]
    pub retired: bool,
    /// The latest attempts that ended, oldest first.
    #[serde(default)]
    pub history: Vec<HistoryEntry>,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}

impl CertRecord {
    /// That of a certificate which nobody has tried to get yet.
    pub fn of(spec: Specification) -> Self {
        Self {
            spec,
            placed: None,
            attempt: None,
            set_aside: Vec::new(),
            last_number: Generation(0),
            failures: Failures::default(),
            renew_requested_at: None,
            new_key: false,
            retired: false,
            history: Vec::new(),
            extra: Extra::default(),
        }
    }
}

/// Which generation the fleet should serve. A node never goes below the `{epoch, seq}` it has seen; going back to an older generation is a
/// higher `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Placement {
    /// The fleet's epoch.
    pub epoch: u64,
    /// Rises with every change of the placement.
    pub seq: u64,
    /// What to serve.
    pub generation: Generation,
}

impl Placement {
    /// What orders placements in time.
    pub fn rank(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

/// The placement, and what stands in the version it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Which.
    pub placement: Placement,
    /// The hash of the version's body: whoever writes this record vouches for the version.
    pub version: VersionHash,
    /// The names in the leaf.
    pub names: Vec<Identifier>,
    /// Where it is from.
    pub issuer: IssuerName,
    /// Of the leaf, lower-case hex.
    pub serial: String,
    /// Of the leaf.
    pub fingerprint: Fingerprint,
    /// Of the leaf's public key.
    pub key: SpkiHash,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// A halted rollout was told to go on.
    #[serde(default)]
    pub resumed: bool,
    /// How many removals the fleet's list had when the key was made.
    #[serde(default)]
    pub after_removals: u64,
}

/// Who drives an attempt: a node, in one of its lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The node.
    pub node: NodeName,
    /// Its life.
    pub incarnation: Incarnation,
}

/// One try to get a new generation. It runs by what stands here, whatever the configuration says meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number; the generation's, if it succeeds.
    pub number: Generation,
    /// What the CSR asks for.
    pub names: Vec<Identifier>,
    /// Whom it asks.
    pub issuer: IssuerName,
    /// The profile it asks for.
    #[serde(default)]
    pub profile: Option<String>,
    /// How the CA is convinced.
    pub challenge: ChallengeType,
    /// The key, which was stored before this was written.
    pub key: SpkiHash,
    /// The certificate signing request (RFC 2986), DER.
    #[serde(with = "base64_bytes")]
    pub csr: Vec<u8>,
    /// How many removals the fleet's list had when the key was made: whoever was removed later may have read it.
    #[serde(default)]
    pub after_removals: u64,
    /// Who drives it now; none while waiting.
    #[serde(default)]
    pub holder: Option<Holder>,
    /// Nobody drives it before this time.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
    /// By the first holder's clock.
    pub started_at: Timestamp,
    /// All who drove it, in order.
    #[serde(default)]
    pub drivers: Vec<NodeName>,
    /// The CA's or the network's latest word, if it hindered.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// How often the CA put it off in a row.
    #[serde(default)]
    pub hindered: u32,
    /// How far it came.
    #[serde(flatten)]
    pub step: Step,
}

/// How far an attempt came. Each step is announced here before the CA call that it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Key and CSR exist: `newOrder` may be called.
    Keyed,
    /// The CA gave an order: it may be looked at.
    Ordered {
        /// Its URL.
        order: String,
    },
    /// Challenges may be declared ready.
    Validating {
        /// The order's URL.
        order: String,
    },
    /// The order may be finalized; from here on only the CA's word ends the attempt.
    Finalizing {
        /// The order's URL.
        order: String,
    },
}

impl Step {
    /// The order, once there is one.
    pub fn order(&self) -> Option<&str> {
        match self {
            Self::Keyed => None,
            Self::Ordered { order } | Self::Validating { order } | Self::Finalizing { order } => Some(order),
        }
    }

    /// One word, as in events and crash points.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Keyed => "keyed",
            Self::Ordered { .. } => "ordered",
            Self::Validating { .. } => "validating",
            Self::Finalizing { .. } => "finalizing",
        }
    }
}

/// What went wrong since the last success.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// How many attempts failed in a row.
    pub count: u32,
    /// The CA's latest problem.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// No attempt starts before this time.
    #[serde(default)]
    pub not_before: Option<Timestamp>,
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Its number.
    pub number: Generation,
    /// Whom it asked.
    pub issuer: IssuerName,
    /// All who drove it, in order.
    pub drivers: Vec<NodeName>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How.
    #[serde(flatten)]
    pub end: AttemptEnd,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum AttemptEnd {
    /// It became a generation.
    Issued {
        /// The leaf's serial, lower-case hex.
        serial: String,
    },
    /// The CA would not.
    Failed {
        /// Its reason.
        problem: Problem,
    },
    /// The CA's order was another attempt's; nothing was lost.
    NotOurs,
    /// The CA fell silent when expiry was near; it is still polled.
    SetAside,
    /// The fleet went back to this generation.
    WentBack,
}

/// `versions/<cert>/<generation>`: an issued chain and its manifest; created once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Of which certificate.
    pub cert: CertName,
    /// Which.
    pub generation: Generation,
    /// The key it belongs to.
    pub key: SpkiHash,
    /// Where it is from.
    pub issuer: IssuerName,
    /// PEM, the leaf first.
    pub chain: String,
    /// How many removals the fleet's list had when the key was made.
    #[serde(default)]
    pub after_removals: u64,
    /// Unknown fields.
    #[serde(flatten)]
    pub extra: Extra,
}
