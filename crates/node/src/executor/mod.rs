//! Carrying out actions: one store write or one call outside each, and no choices.
//!
//! Always holds: what an action wrote or read comes back as store values to be applied to the view before its outcome is absorbed, so the
//! next decision sees both. Around every compare-and-swap and CA call stands a named crash point.

pub(crate) mod account;
mod issue;
mod keys;
mod records;
mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use certfleet_acme::{CertificateAuthority, KeySource, Roots};
use certfleet_core::decide::{Action, Subject};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{IssuerName, SpkiHash, TargetName};
use certfleet_core::trust::Roster;
use certfleet_core::view::{Outcome, is_kept};
use certfleet_deploy::Target;
use certfleet_store::{Store, StoreError, Stored};

use crate::clock::Clock;
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::trust::{Pen, WrapError};

pub use account::OpenedAccountKey;

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
    /// Signs and seals in this node's name.
    pub pen: Pen,
    /// Whose word counts now.
    pub roster: Arc<ArcSwap<Roster>>,
    /// What this node took for good last, and the secrets sealed for it.
    pub keeper: Keeper,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The CAs, by issuer.
    pub authorities: BTreeMap<IssuerName, Arc<dyn CertificateAuthority>>,
    /// This node's targets.
    pub targets: BTreeMap<TargetName, Arc<dyn Target>>,
    /// The roots that each issuer's chains must lead to.
    pub roots: BTreeMap<IssuerName, Arc<Roots>>,
    /// Draws keys.
    pub keys: Arc<dyn KeySource>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The account key that was opened last.
    pub opened: OpenedAccountKey,
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
    /// A secret that this node is meant to read cannot be opened.
    #[error("{1}")]
    Lacks(SpkiHash, String),
    /// A chain that is not installed, and whose key could be opened.
    #[error("{0}")]
    Unfit(String),
    /// Anything else; the text says what.
    #[error("{0}")]
    Other(String),
}

type Done = Result<(Vec<Found>, Outcome), ActionError>;

impl Executor {
    /// Carries out one action.
    pub async fn execute(&self, subject: Subject, action: Action) -> Executed {
        match self.carry_out(action).await {
            Ok((found, outcome)) => Executed { subject, found, outcome, store_away: None },
            Err(error) => {
                let store_away = match &error {
                    ActionError::Store(error) if error.kind() == certfleet_store::ErrorKind::Retry => Some(error.why()),
                    _ => None,
                };
                tracing::warn!(event = "action-failed", subject = ?subject, error = %error);
                let outcome = match error {
                    ActionError::Lacks(key, why) => Outcome::Lacks(key, why),
                    other if store_away.is_some() => Outcome::Away(other.to_string()),
                    other => Outcome::Failed(other.to_string()),
                };
                Executed { subject, found: Vec::new(), outcome, store_away }
            }
        }
    }

    /// What was written or read counts only while the fleet lives in this store, so whether it does is read after it.
    async fn carry_out(&self, action: Action) -> Done {
        let (mut found, outcome) = self.dispatch(action).await?;
        if found.iter().filter_map(|(key, _)| RecordKey::of(key)).any(|record| is_kept(&record)) {
            found.extend(self.home().await?);
        }
        Ok((found, outcome))
    }

    /// What cannot be read says nothing.
    async fn home(&self) -> Result<Option<Found>, ActionError> {
        match self.read(&RecordKey::Home.key()).await {
            Err(ActionError::Store(StoreError::Corrupt { .. })) => Ok(None),
            home => home.map(Some),
        }
    }

    async fn dispatch(&self, action: Action) -> Done {
        match action {
            Action::Beat(presence, expect) => self.beat(presence, expect).await,
            Action::CreateAccountKey(readers, removals, expect) => self.create_account_key(readers, removals, expect).await,
            Action::PrepareAccountKey(readers, removals, expect) => self.prepare_account_key(readers, removals, expect).await,
            Action::RollAccount(issuer, account, expect) => self.roll_account(issuer, account, expect).await,
            Action::Register(issuer, contact, account, expect) => self.register(issuer, contact, account, expect).await,
            Action::CheckClock(issuer) => self.check_clock(issuer).await,
            Action::Reread(_, keys) => Ok((self.read_all(&keys).await?, Outcome::Done)),
            Action::MakeKey(cert, number, wanted) => self.make_key(cert, number, *wanted).await,
            Action::Request(cert, wanted, expect) => self.request(cert, *wanted, expect).await,
            Action::Wrap(wanted) => self.wrap(*wanted).await,
            Action::Record(record, value, expect, after) => self.write_record(record, *value, expect, after).await,
            Action::PutBack(key, envelope, expect) => self.put_back(key, *envelope, expect).await,
            Action::LetIn(node, asking) => self.let_in(node, asking).await,
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
