//! Why a secret was not sealed, opened or wrapped for another node. No message has secret bytes in it.

use std::collections::BTreeSet;
use std::fmt;

use certfleet_core::names::NodeName;
use hpke::HpkeError;

use super::RandomError;

/// Why a secret was not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Nobody could ever open it.
    #[error(
        "the secret of `{purpose}` has no reader{}: it is not sealed; a node that is meant to read it must join first",
        but_for(skipped)
    )]
    NoReader {
        /// What the secret is for.
        purpose: String,
        /// Readers whose sealing key is of no use.
        skipped: BTreeSet<NodeName>,
    },
    /// It is too long for the cipher.
    #[error("the secret of `{purpose}` cannot be sealed: {why}")]
    Hpke {
        /// What the secret is for.
        purpose: String,
        /// What HPKE says.
        why: HpkeError,
    },
}

/// Why a node cannot open a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no wrap for it.
    #[error("the secret of `{purpose}` is not wrapped for node `{node}`; if it is meant to read it, a node that has the secret wraps it")]
    NotAReader {
        /// Who tried.
        node: NodeName,
        /// What the secret is for.
        purpose: String,
    },
    /// There is, and it does not open.
    #[error("node `{node}` cannot open {which} of the secret of `{purpose}`; a node that has the secret makes a new one")]
    Broken {
        /// Who tried.
        node: NodeName,
        /// What the secret is for.
        purpose: String,
        /// Which wrap.
        which: WhichWrap,
    },
    /// The wrap opens, and what is in it does not open the secret: one of the two was changed, which of them cannot be told.
    #[error(
        "the wrap for node `{node}` opens, but not the secret of `{purpose}`; \
         a new wrap mends it if another node can still open the secret, else a new secret replaces it"
    )]
    Unsealable {
        /// Who tried.
        node: NodeName,
        /// What the secret is for.
        purpose: String,
    },
}

/// Which of a node's wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichWrap {
    /// The one made with the secret.
    First,
    /// The one made later, which stands in a record of its own.
    Later,
    /// Both.
    Both,
}

impl fmt::Display for WhichWrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "the first wrap",
            Self::Later => "the later wrap",
            Self::Both => "either wrap",
        })
    }
}

/// Why a secret was not wrapped for another node.
#[derive(Debug, thiserror::Error)]
pub enum WrapForError {
    /// This node cannot open it itself.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Nothing can be sealed to the reader's key.
    #[error("nothing can be sealed to the sealing key of node `{reader}`; it reads no secret until it has joined anew with another key")]
    BadKey {
        /// The node with that key.
        reader: NodeName,
    },
}

fn but_for(skipped: &BTreeSet<NodeName>) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let names: Vec<_> = skipped.iter().map(|node| format!("`{node}`")).collect();
    format!(" (nothing can be sealed to the sealing key of {})", names.join(", "))
}
