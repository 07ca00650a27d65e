//! What is refused, in two halves: what happened, and what to do.

use certfleet_acme::KeyError;

/// What is not done, and what the operator can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct Refusal {
    /// What happened, to what.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Refusal {
    /// Both halves, lower case, no full stop.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// A key that cannot be the account key.
pub(crate) fn unusable_key(error: KeyError) -> Refusal {
    match error {
        KeyError::Unreadable(why) => Refusal::new(
            format!("this is no private key: {why}"),
            "give a PEM file with a block `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY`",
        ),
        KeyError::WrongKind(kind) => Refusal::new(
            format!("this is an {kind} key, and account keys are ECDSA P-256 here"),
            "make a new account, or roll the old account's key over to P-256 with the client that has it",
        ),
        KeyError::Failed(why) => Refusal::new(format!("the key cannot be used: {why}"), "try again, or give another key"),
    }
}
