//! What can go wrong, and whether trying again helps.

use std::path::PathBuf;

use certfleet_core::envelope::Revision;
use certfleet_core::key::Key;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Try again later; nothing needs to be done.
    Retry,
    /// Trying again gives the same.
    Terminal,
    /// A person has to do something; the message says what.
    NeedsOperator,
}

/// Why the store gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer now.
    #[error("the store cannot be reached: {why}")]
    Away {
        /// What was seen.
        why: String,
    },
    /// A value is no envelope, or one of a later format. It can be replaced by who names it.
    #[error("the value of `{key}` cannot be read: {why}")]
    Corrupt {
        /// Which.
        key: Key,
        /// What is wrong with it, and where it is.
        why: String,
        /// What a compare-and-swap has to name to replace it: [`crate::garbage_revision`].
        revision: Revision,
    },
    /// A write took place and could not be made durable: it may be lost again when the machine crashes.
    #[error("the value of `{key}` was written but may not last: {why}")]
    NotDurable {
        /// Which.
        key: Key,
        /// What was seen.
        why: String,
    },
    /// Full, read-only, no permission, another fleet's.
    #[error("{what}; {remedy}")]
    NeedsOperator {
        /// What happened, to what.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The value cannot be stored in any store.
    #[error("the value of `{key}` cannot be stored: {why}")]
    Unfit {
        /// Which.
        key: Key,
        /// What is wrong with it.
        why: String,
    },
}

impl StoreError {
    /// What was seen, for who says himself that the store cannot be reached.
    pub fn why(&self) -> String {
        match self {
            Self::Away { why } => why.clone(),
            other => other.to_string(),
        }
    }

    /// Whether trying again helps.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Away { .. } => ErrorKind::Retry,
            Self::Corrupt { .. } | Self::NotDurable { .. } | Self::NeedsOperator { .. } => ErrorKind::NeedsOperator,
            Self::Unfit { .. } => ErrorKind::Terminal,
        }
    }
}

/// Why there is no store behind a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// An engine of another version.
    #[error("store URL `{url}`: this version has no `{scheme}` store; docs/stores.md lists those that there are")]
    UnknownScheme {
        /// As given.
        url: String,
        /// What stands before the colon.
        scheme: String,
    },
    /// Not a URL that can be used.
    #[error("store URL `{url}`: {why}")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong, and how it should be.
        why: String,
    },
    /// Nothing there.
    #[error("there is no store at {}: {why}", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
        /// What was found, and what to do.
        why: String,
    },
    /// A store of a later version.
    #[error("the store at {} has layout {found}, this version knows {known}; upgrade certfleet on this node", path.display())]
    TooNew {
        /// Where.
        path: PathBuf,
        /// The store's.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// The engine has trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// As [`StoreError::why`].
    pub fn why(&self) -> String {
        match self {
            Self::Store(error) => error.why(),
            other => other.to_string(),
        }
    }

    /// Whether trying again helps.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownScheme { .. } | Self::BadUrl { .. } => ErrorKind::Terminal,
            Self::Missing { .. } | Self::TooNew { .. } => ErrorKind::NeedsOperator,
            Self::Store(error) => error.kind(),
        }
    }
}
