//! Carrying out actions: one store write or one call outside each, and no choices.
//!
//! Always holds: what an action wrote or read comes back as store values to be applied to the view before its outcome is absorbed, so the
//! next decision sees both. Around every compare-and-swap and CA call stands a named crash point.

mod issue;
mod records;
mod targets;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use certfleet_acme::CertificateAuthority;
use certfleet_core::decide::{Action, Subject};
use certfleet_core::key::Key;
use certfleet_core::names::{IssuerName, NodeName, TargetName};
use certfleet_core::view::Outcome;
use certfleet_deploy::Target;
use certfleet_store::{Store, StoreError, Stored};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::trust::WrapError;

/// What was found under a key.
pub type Found = (Key, Option<Stored>);

/// What came of an action: store values first, then the outcome.
#[derive(Debug)]
pub struct Executed {
    /// The action's subject.
    pub subject: Subject,
    /// What was written or read.
    pub found: Vec<Found>,
    /// What came of it.
    pub outcome: Outcome,
    /// The store could not be reached.
    pub store_away: Option<String>,
}

/// Carries out actions. What it may touch is all here; it knows of no view and no configuration.
#[derive(Debug)]
pub struct Executor {
    /// This node's name: the writer of its records.
    pub node: NodeName,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The CAs, by issuer.
    pub authorities: BTreeMap<IssuerName, Arc<dyn CertificateAuthority>>,
    /// This node's targets.
    pub targets: BTreeMap<TargetName, Arc<dyn Target>>,
    /// The state directory, for old generations.
    pub state: PathBuf,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Why an action failed on this node.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record could not be wrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// Anything else; the text says what.
    #[error("{0}")]
    Other(String),
}

type Done = Result<(Vec<Found>, Outcome), ActionError>;

impl Executor {
    /// Carries out one action.
    pub async fn execute(&self, subject: Subject, action: Action) -> Executed {
        match self.dispatch(action).await {
            Ok((found, outcome)) => Executed { subject, found, outcome, store_away: None },
            Err(error) => {
                let store_away = match &error {
                    ActionError::Store(error) if error.kind() == certfleet_store::ErrorKind::Retry => Some(error.to_string()),
                    _ => None,
                };
                tracing::warn!(event = "action-failed", subject = ?subject, error = %error);
                Executed { subject, found: Vec::new(), outcome: Outcome::Failed(error.to_string()), store_away }
            }
        }
    }

    async fn dispatch(&self, action: Action) -> Done {
        match action {
            Action::Beat(presence, expect) => self.beat(presence, expect).await,
            Action::CreateAccountKey => self.create_account_key().await,
            Action::Register(issuer, contact, account, expect) => self.register(issuer, contact, account, expect).await,
            Action::CheckClock(issuer) => self.check_clock(issuer).await,
            Action::Reread(_, keys) => Ok((self.read_all(&keys).await?, Outcome::Done)),
            Action::MakeKey(cert, number, kind, names) => self.make_key(cert, number, kind, names).await,
            Action::Write(cert, expect, record, event) => self.write_certificate(cert, expect, *record, event).await,
            Action::Call(cert, number, issuer, call) => self.call(cert, number, issuer, call).await,
            Action::StoreVersion(cert, version) => self.store_version(cert, *version).await,
            Action::Install(target, batch) => self.install(target, batch).await,
            Action::StandIn(cert, target, names) => self.stand_in(cert, target, names).await,
            Action::Report(cert, target, report, expect) => self.report(cert, target, report, expect).await,
            Action::LookThrough => self.look_through().await,
            Action::Remove(blobs) => self.remove(blobs).await,
        }
    }
}
