//! What a CA says, as values (RFC 8555 section 7). The client in `acme` makes them; `decide` reads them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::Identifier;
use crate::spec::ChallengeType;
use crate::time::Timestamp;

/// Longest text kept of a CA's problem document, in characters.
pub const PROBLEM_CHARS_MAX: usize = 600;

/// A problem document (RFC 7807, RFC 8555 section 6.7), shortened and made printable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The error type without `urn:ietf:params:acme:error:`, for example `rateLimited`; empty when the CA gave none.
    pub kind: String,
    /// What the CA says to a person.
    pub detail: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: Option<u16>,
}

impl Problem {
    /// Shortens both texts and escapes control characters.
    pub fn new(kind: &str, detail: &str, status: Option<u16>) -> Self {
        Self { kind: printable(kind), detail: printable(detail), status }
    }
}

fn printable(text: &str) -> String {
    text.chars().take(PROBLEM_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind.is_empty(), self.detail.is_empty()) {
            (false, false) => write!(f, "{}: {}", self.kind, self.detail),
            (false, true) => f.write_str(&self.kind),
            (true, false) => f.write_str(&self.detail),
            (true, true) => write!(f, "HTTP status {}", self.status.unwrap_or(0)),
        }
    }
}

/// Why a CA call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// No answer came: this node's own trouble until another node says otherwise.
    #[error("the CA cannot be reached from here: {0}")]
    Unreachable(String),
    /// The CA says it is busy or broken (429, 5xx).
    #[error("the CA asks to come back later: {problem}")]
    Busy {
        /// What it said.
        problem: Problem,
        /// Retry-After, if it gave one.
        retry_after: Option<Duration>,
    },
    /// The CA refuses.
    #[error("the CA refuses: {0}")]
    Refused(Problem),
    /// The account or order is not there (404).
    #[error("the CA does not know it: {0}")]
    NotFound(Problem),
    /// The CA answered something that is not ACME, or the local side of the call is broken.
    #[error("the CA's answer cannot be used: {0}")]
    Malformed(String),
}

/// State of an order (RFC 8555 section 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Authorizations are missing.
    Pending,
    /// May be finalized.
    Ready,
    /// The CA is issuing.
    Processing,
    /// The certificate is there.
    Valid,
    /// It will never be.
    Invalid,
}

/// State of an authorization or a challenge; those that mean "no more" are one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizationStatus {
    /// To be done.
    Pending,
    /// The CA is looking.
    Processing,
    /// Done.
    Valid,
    /// Failed, expired, revoked or deactivated.
    Invalid,
}

/// A challenge of an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its type; `None` for one that this version does not know.
    pub kind: Option<ChallengeType>,
    /// Where to say "ready".
    pub url: String,
    /// The token.
    pub token: String,
    /// Its state.
    pub status: AuthorizationStatus,
    /// Why it failed.
    pub error: Option<Problem>,
}

/// An authorization of an order (RFC 8555 section 7.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// For whom.
    pub identifier: Identifier,
    /// Its state.
    pub status: AuthorizationStatus,
    /// The ways to satisfy it.
    pub challenges: Vec<Challenge>,
}

/// An order as the CA shows it. Authorizations are read only while the order is pending or invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// Its URL.
    pub url: String,
    /// Its state.
    pub status: OrderStatus,
    /// Its authorizations; empty unless pending or invalid.
    pub authorizations: Vec<Authorization>,
    /// Why it is invalid.
    pub error: Option<Problem>,
    /// When it ceases to be, if the CA says so.
    pub expires: Option<Timestamp>,
    /// When the CA wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl OrderView {
    /// Why the order failed, in the CA's words: the first failed challenge, else the order's own error.
    pub fn problem(&self) -> Problem {
        let failed = self.authorizations.iter().flat_map(|authorization| {
            let name = &authorization.identifier;
            authorization.challenges.iter().filter_map(move |challenge| challenge.error.as_ref().map(|error| (name, error)))
        });
        let mut failed = failed.map(|(name, error)| Problem::new(&error.kind, &format!("{name}: {}", error.detail), error.status));
        failed.next().or_else(|| self.error.clone()).unwrap_or_else(|| Problem::new("", "the CA gave no reason", None))
    }
}
