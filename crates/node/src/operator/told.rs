//! The errors of commands, in two halves: what happened, and what to do.
//!
//! Always holds: every error that a command can end with has both. Errors of the configuration are shown with their place instead, by whoever
//! prints them.

use certfleet_store::{OpenError, StoreError};

use super::OperatorError;
use crate::membership::MembershipError;
use crate::refusal::Refusal;

impl OperatorError {
    /// What happened, and what to do about it: the two lines of the command line.
    pub fn in_two_lines(&self) -> Refusal {
        match self {
            Self::Config(error) => Refusal::new(error.one_line(), "`certfleet check` shows the place"),
            Self::Open(error) => open_refusal(error),
            Self::Membership(error) => membership_refusal(error),
            Self::Refused(refusal) => refusal.clone(),
        }
    }
}

fn open_refusal(error: &OpenError) -> Refusal {
    match error {
        OpenError::Missing { path, why } => Refusal::new(format!("there is no store at {}", path.display()), why),
        OpenError::TooNew { path, found, known } => Refusal::new(
            format!("the store at {} has layout {found}, this version knows {known}", path.display()),
            "upgrade certfleet on this node",
        ),
        OpenError::UnknownScheme { .. } | OpenError::BadUrl { .. } => {
            Refusal::new(error.to_string(), "correct `fleet.store` in the configuration")
        }
        OpenError::Store(error) => store_refusal(error),
    }
}

fn store_refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::NeedsOperator { what, remedy } => Refusal::new(what, remedy),
        StoreError::Away { .. } => {
            Refusal::new(error.to_string(), "see that it is there and that this user may read and write it; then try again")
        }
        StoreError::Corrupt { .. } => {
            Refusal::new(error.to_string(), "a running daemon puts it right if it knows better; else `certfleet store restore`")
        }
        StoreError::NotDurable { .. } => Refusal::new(error.to_string(), "look at the disk under the store, then give the command again"),
        StoreError::Unfit { .. } => Refusal::new(error.to_string(), "make what it holds smaller"),
    }
}

fn membership_refusal(error: &MembershipError) -> Refusal {
    match error {
        MembershipError::Refused(refusal) => refusal.clone(),
        MembershipError::Store(error) => store_refusal(error),
        MembershipError::Disk(disk) if disk.source.kind() == std::io::ErrorKind::PermissionDenied => {
            Refusal::new(error.to_string(), "run this command as root, or as the user of `certfleet run`")
        }
        MembershipError::Disk(_) => Refusal::new(error.to_string(), "look at that file and at the space on its disk"),
        MembershipError::Record(..) => {
            Refusal::new(error.to_string(), "upgrade certfleet on this node, or restore that value from a backup")
        }
        MembershipError::Distrusted(..) => Refusal::new(
            error.to_string(),
            "a running daemon of the fleet puts it right; `certfleet store check` says what else does not count",
        ),
        MembershipError::Wrap(_) | MembershipError::Random(_) => Refusal::new(error.to_string(), "try again"),
    }
}
