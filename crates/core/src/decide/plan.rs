//! What a decision gives.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, Subject};
use crate::names::CertName;
use crate::time::Mono;

/// What to do now, when to look again, and why the rest waits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Their subjects differ.
    pub actions: Vec<(Subject, Action)>,
    /// When to decide again if nothing changes before.
    pub wake_at: Option<Mono>,
    /// When each piece of waiting work was first seen due; goes back into the view.
    pub due_since: BTreeMap<Subject, Mono>,
    /// Why nothing is done for a certificate that wants something.
    pub waits: BTreeMap<CertName, String>,
    /// Why this node does not do all that it could, for `status`.
    pub troubles: BTreeSet<String>,
}
