//! What a plan is made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::envelope::{Expect, Revision};
use crate::key::{Key, RecordKey};
use crate::names::{CertName, Generation, Identifier, IssuerName, NodeName, TargetName};
use crate::records::{AccountRecord, CertRecord, Placed, Presence, Report, VersionRecord};
use crate::spec::KeyType;
use crate::time::{Mono, Now, Timestamp, until};
use crate::view::{Blob, View};

/// Longest sleep, in seconds: the wall clock may be set meanwhile.
const SLEEP_SECONDS_MAX: u64 = 600;

/// What an action is about. At most one action at a time is under way for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// This node's presence.
    Presence,
    /// The fleet's account key.
    AccountKey,
    /// The account at an issuer.
    Account(IssuerName),
    /// This node's clock against an issuer's.
    Clock(IssuerName),
    /// A certificate's record.
    Cert(CertName),
    /// An attempt that was set aside.
    Aside(CertName, Generation),
    /// A target of this node.
    Target(TargetName),
    /// A stand-in for a certificate at a target.
    StandIn(CertName, TargetName),
    /// This node's report.
    Report(CertName, TargetName),
    /// What nothing refers to.
    Rubbish,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write this node's presence.
    Beat(Presence, Expect),
    /// Make the fleet's account key and store it, unless one is there.
    CreateAccountKey,
    /// Register the account key at a CA and write the account (its URL and time are filled in).
    Register(IssuerName, Vec<String>, AccountRecord, Expect),
    /// Ask a CA what time it is.
    CheckClock(IssuerName),
    /// Read these keys again before anyone is judged gone by them.
    Reread(CertName, Vec<Key>),
    /// Make a key and a CSR for an attempt, and store the key.
    MakeKey(CertName, Generation, KeyType, Vec<Identifier>),
    /// Write a certificate's record: one compare-and-swap.
    Write(CertName, Expect, Box<CertRecord>, Event),
    /// Call the CA for an attempt.
    Call(CertName, Generation, IssuerName, Call),
    /// Store an issued chain; one that is there already is kept.
    StoreVersion(CertName, Box<VersionRecord>),
    /// Bring a target to what is placed: written, activated, seen served.
    Install(TargetName, Vec<(CertName, Placed)>),
    /// Put a self-signed certificate where a target has no file, so that its server can start.
    StandIn(CertName, TargetName, Vec<Identifier>),
    /// Write what a target has.
    Report(CertName, TargetName, Report, Expect),
    /// List all private keys and versions in the store.
    LookThrough,
    /// Remove these values, if they are still what they were.
    Remove(Vec<Blob>),
}

/// A CA call (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Section 7.4: the order's names and profile.
    NewOrder(Vec<Identifier>, Option<String>),
    /// Look at the order.
    Look(String),
    /// Section 7.5.1: declare these challenges ready.
    Ready(Vec<String>),
    /// Section 7.4: hand in the CSR.
    Finalize(String, Vec<u8>),
    /// Section 7.4.2: download the certificate.
    Fetch(String),
}

impl Call {
    /// One word, as in crash points.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NewOrder(..) => "new-order",
            Self::Look(_) => "look",
            Self::Ready(_) => "ready",
            Self::Finalize(..) => "finalize",
            Self::Fetch(_) => "fetch",
        }
    }
}

/// What a record's change means, for logs, history and crash points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// An attempt began: key and CSR exist.
    Keyed,
    /// The CA gave an order.
    Ordered,
    /// Challenges may be declared ready.
    Validating,
    /// The order may be finalized.
    Finalizing,
    /// A new generation is placed.
    Placed,
    /// The CA would not.
    Failed,
    /// The order was another attempt's.
    NotOurs,
    /// The CA fell silent; a new attempt may start.
    SetAside,
    /// An attempt that had been set aside ended.
    AsideEnded,
    /// Another node goes on with an attempt.
    TakenOver,
    /// The holder lets go.
    Released,
    /// The CA asked to come back later.
    PutOff,
    /// The record follows a changed specification.
    Adopted,
    /// No configuration names it any more.
    Retired,
}

impl Event {
    /// One word, as in logs and crash points.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyed => "keyed",
            Self::Ordered => "ordered",
            Self::Validating => "validating",
            Self::Finalizing => "finalizing",
            Self::Placed => "placed",
            Self::Failed => "failed",
            Self::NotOurs => "not-ours",
            Self::SetAside => "set-aside",
            Self::AsideEnded => "aside-ended",
            Self::TakenOver => "taken-over",
            Self::Released => "released",
            Self::PutOff => "put-off",
            Self::Adopted => "adopted",
            Self::Retired => "retired",
        }
    }
}

impl Action {
    /// The record that it writes, if it writes one that can have been there before.
    fn key(&self, me: &NodeName) -> Option<Key> {
        let record = match self {
            Self::Beat(..) => RecordKey::Presence(me.clone()),
            Self::CreateAccountKey => RecordKey::AccountKey,
            Self::Register(issuer, ..) => RecordKey::Account(issuer.clone()),
            Self::MakeKey(cert, ..) | Self::Write(cert, ..) => RecordKey::Cert(cert.clone()),
            Self::Report(cert, target, ..) => RecordKey::Report(cert.clone(), me.clone(), target.clone()),
            _ => return None,
        };
        Some(record.key())
    }

    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Beat(..) => Subject::Presence,
            Self::CreateAccountKey => Subject::AccountKey,
            Self::Register(issuer, ..) => Subject::Account(issuer.clone()),
            Self::CheckClock(issuer) => Subject::Clock(issuer.clone()),
            Self::Reread(cert, _) | Self::MakeKey(cert, ..) | Self::Write(cert, ..) => Subject::Cert(cert.clone()),
            Self::Call(cert, ..) | Self::StoreVersion(cert, _) => Subject::Cert(cert.clone()),
            Self::Install(target, _) => Subject::Target(target.clone()),
            Self::StandIn(cert, target, _) => Subject::StandIn(cert.clone(), target.clone()),
            Self::Report(cert, target, ..) => Subject::Report(cert.clone(), target.clone()),
            Self::LookThrough | Self::Remove(_) => Subject::Rubbish,
        }
    }
}

/// What to do now, when to look again, and why the rest waits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In no particular order; their subjects differ.
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

impl Plan {
    /// Adds an action, unless its subject is busy or paused.
    pub(super) fn act(&mut self, view: &View, now: Now, action: Action) {
        let subject = action.subject();
        self.act_on(view, now, subject, action);
    }

    /// Adds an action that is about something else than it usually is. What cannot be read is not written over.
    pub(super) fn act_on(&mut self, view: &View, now: Now, subject: Subject, action: Action) {
        if view.local.busy.contains(&subject) || self.actions.iter().any(|(other, _)| *other == subject) {
            return;
        }
        if let Some(pause) = view.local.pauses.get(&subject).filter(|pause| pause.until > now.mono) {
            return self.wake(pause.until);
        }
        if let Some((key, why)) = action.key(&view.me.node).and_then(|key| view.unreadable.get_key_value(&key)) {
            self.troubles.insert(format!("{key} is left alone: {why}"));
            return;
        }
        self.actions.push((subject, action));
    }

    /// Decide again at `moment`.
    pub(super) fn wake(&mut self, moment: Mono) {
        self.wake_at = Some(self.wake_at.map_or(moment, |before| before.min(moment)));
    }

    /// Decide again when the wall clock shows `stamp`, or sooner.
    pub(super) fn wake_at_stamp(&mut self, now: Now, stamp: Timestamp) {
        let span = until(now.wall, stamp).min(std::time::Duration::from_secs(SLEEP_SECONDS_MAX));
        self.wake(now.mono + span);
    }

    /// Notes why a certificate waits.
    pub(super) fn wait(&mut self, cert: &CertName, why: impl Into<String>) {
        self.waits.insert(cert.clone(), why.into());
    }

    /// Since when `subject` has been due; now, if this is the first time.
    pub(super) fn due(&mut self, view: &View, now: Now, subject: Subject) -> Mono {
        let since = view.local.due_since.get(&subject).copied().unwrap_or(now.mono);
        *self.due_since.entry(subject).or_insert(since)
    }
}

/// What the record must be for a write based on `revision`.
pub(super) fn based_on(revision: Option<&Revision>) -> Expect {
    revision.cloned().map_or(Expect::Absent, Expect::Revision)
}
