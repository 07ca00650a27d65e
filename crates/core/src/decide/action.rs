//! What there is to do: one store write or one call outside each, with all it needs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::envelope::{Envelope, Expect, Revision};
use crate::key::{Key, RecordKey};
use crate::names::{CertName, Generation, Identifier, IssuerName, NodeName, SpkiHash, TargetName};
use crate::records::{AccountRecord, CertRecord, Placed, Presence, Report, VersionRecord};
use crate::spec::KeyType;
use crate::trust::SealingKey;
use crate::view::Blob;

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
    /// A record that is put right.
    Record(Key),
    /// A machine that asks to be let in.
    Joining(NodeName),
    /// A request for a certificate with a key that this node has.
    Request(CertName),
    /// A key that another node cannot open.
    Wrap(SpkiHash, NodeName),
}

/// Who is meant to read a secret.
pub type Readers = BTreeMap<NodeName, SealingKey>;

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedKey {
    /// Of which kind.
    pub kind: KeyType,
    /// What the CSR asks for.
    pub names: Vec<Identifier>,
    /// Who is meant to read it.
    pub readers: Readers,
    /// How many removals the fleet's list has now.
    pub after_removals: u64,
}

/// A request that a node with the key is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRequest {
    /// The key: one that this node can open, or a new one of this kind that never leaves it.
    pub key: RequestKey,
    /// What it asks for.
    pub names: Vec<Identifier>,
    /// The highest number in the record that it is made for.
    pub after: Generation,
    /// How many removals the fleet's list had when the key was made.
    pub after_removals: u64,
}

/// Which key a request is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestKey {
    /// This one.
    Kept(SpkiHash),
    /// A new one.
    New(KeyType),
}

/// A key that is to be wrapped for a node that cannot open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedWrap {
    /// Which key.
    pub spki: SpkiHash,
    /// The certificate it belongs to; none for an account key.
    pub cert: Option<CertName>,
    /// For whom.
    pub node: NodeName,
    /// What is sealed for it.
    pub sealing_key: SealingKey,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write this node's presence.
    Beat(Presence, Expect),
    /// Make the fleet's account key for these readers, and store it.
    CreateAccountKey(Readers, u64, Expect),
    /// Make the account key that is to take the place of the one in use, and store it beside that.
    PrepareAccountKey(Readers, u64, Expect),
    /// Have a CA take the next account key for the one in use (RFC 8555 section 7.3.5), and write the account.
    RollAccount(IssuerName, AccountRecord, Expect),
    /// Register the account key at a CA and write the account (its URL and time are filled in).
    Register(IssuerName, Vec<String>, AccountRecord, Expect),
    /// Ask a CA what time it is.
    CheckClock(IssuerName),
    /// Read these keys again before anyone is judged gone by them.
    Reread(Option<CertName>, Vec<Key>),
    /// Make a key and a CSR for an attempt, and store the key.
    MakeKey(CertName, Generation, Box<WantedKey>),
    /// Make a request with a key that this node has, or makes for itself, and write it.
    Request(CertName, Box<WantedRequest>, Expect),
    /// Wrap a key that this node can open for one that cannot.
    Wrap(Box<WantedWrap>),
    /// Write a record in this node's name: one compare-and-swap. It comes after a value of this `change`, which need not stand there any more.
    Record(RecordKey, Box<Value>, Expect, u64),
    /// Put a value back as it was: one compare-and-swap.
    PutBack(Key, Box<Envelope>, Expect),
    /// A machine is let in: its asking is removed.
    LetIn(NodeName, Revision),
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
    /// List all private keys, wraps and versions in the store.
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
    /// The record of the fleet that it writes, if it writes one that can have been there before.
    pub(super) fn key(&self) -> Option<Key> {
        let record = match self {
            Self::CreateAccountKey(..) | Self::PrepareAccountKey(..) => RecordKey::AccountKey,
            Self::Register(issuer, ..) | Self::RollAccount(issuer, ..) => RecordKey::Account(issuer.clone()),
            Self::MakeKey(cert, ..) | Self::Write(cert, ..) => RecordKey::Cert(cert.clone()),
            Self::Record(record, ..) => record.clone(),
            _ => return None,
        };
        Some(record.key())
    }

    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Beat(..) => Subject::Presence,
            Self::CreateAccountKey(..) | Self::PrepareAccountKey(..) => Subject::AccountKey,
            Self::Register(issuer, ..) | Self::RollAccount(issuer, ..) => Subject::Account(issuer.clone()),
            Self::CheckClock(issuer) => Subject::Clock(issuer.clone()),
            Self::Reread(None, keys) => Subject::Record(keys.first().cloned().unwrap_or_else(|| RecordKey::Fleet.key())),
            Self::Reread(Some(cert), _) | Self::MakeKey(cert, ..) | Self::Write(cert, ..) => Subject::Cert(cert.clone()),
            Self::Call(cert, ..) | Self::StoreVersion(cert, _) => Subject::Cert(cert.clone()),
            Self::Install(target, _) => Subject::Target(target.clone()),
            Self::StandIn(cert, target, _) => Subject::StandIn(cert.clone(), target.clone()),
            Self::Report(cert, target, ..) => Subject::Report(cert.clone(), target.clone()),
            Self::LookThrough | Self::Remove(_) => Subject::Rubbish,
            Self::Request(cert, ..) => Subject::Request(cert.clone()),
            Self::Wrap(wanted) => Subject::Wrap(wanted.spki.clone(), wanted.node.clone()),
            Self::Record(RecordKey::Node(node), ..) | Self::LetIn(node, _) => Subject::Joining(node.clone()),
            Self::Record(record, ..) => Subject::Record(record.key()),
            Self::PutBack(key, ..) => Subject::Record(key.clone()),
        }
    }
}
