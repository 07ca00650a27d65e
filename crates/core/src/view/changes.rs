//! Which certificates anything was touched of, so that a decision costs what changed.
//!
//! Always holds: what one certificate alone is decided by is kept in maps that note what is touched; what is decided by besides is compared
//! by value, by whoever decides.

use std::collections::{BTreeMap, BTreeSet};

use super::View;
use super::noted::Touched;
use crate::decide::Subject;
use crate::key::{Key, RecordKey};
use crate::names::{CertName, Generation, IssuerName, NodeName, SpkiHash, TargetName};

/// What was touched since that was asked last.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// All certificates may be concerned.
    pub everything: bool,
    /// These are.
    pub certs: BTreeSet<CertName>,
    /// Presences.
    pub presences: Touched<NodeName>,
}

impl Changes {
    fn add<K>(&mut self, touched: Touched<K>, cert: impl Fn(K) -> Option<CertName>) {
        match touched {
            Touched::All => self.everything = true,
            Touched::Some(keys) => self.certs.extend(keys.into_iter().filter_map(cert)),
        }
    }
}

impl View {
    /// What was touched since this was asked last.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let mut changes = Changes { presences: self.presence.take_touched(), ..Changes::default() };
        changes.add(self.wanted.take_touched(), Some);
        changes.add(self.certs.take_touched(), Some);
        changes.add(self.reports.take_touched(), Some);
        changes.add(self.requests.take_touched(), |(cert, _)| Some(cert));
        changes.add(self.accepted.take_touched(), |key| of_key(&key));
        changes.add(self.strays.take_touched(), |key| of_key(&key));
        let local = &mut self.local;
        changes.add(local.busy.take_touched(), |subject| of_subject(&subject).cloned().or_else(|| of_record(&subject)));
        changes.add(local.pauses.take_touched(), |subject| of_subject(&subject).cloned().or_else(|| of_record(&subject)));
        changes.add(local.drives.take_touched(), |(cert, _)| Some(cert));
        changes.add(local.targets.take_touched(), |(cert, _)| Some(cert));
        changes.add(local.stood_in.take_touched(), |(cert, _)| Some(cert));
        changes.add(local.memory.take_touched(), Some);
        changes.add(local.settling.take_touched(), |key| of_key(&key));
        for keys in [local.lacks.take_touched(), local.holds.take_touched()] {
            self.add_keys(&mut changes, keys);
        }
        changes
    }

    fn add_keys(&self, changes: &mut Changes, keys: Touched<SpkiHash>) {
        match keys {
            Touched::All => changes.everything = true,
            Touched::Some(keys) => {
                changes.certs.extend(keys.iter().flat_map(|key| self.certs.with_key(key)).map(|(cert, _)| cert.clone()));
            }
        }
    }

    /// Every certificate that anything is known of.
    pub(crate) fn all_certs(&self) -> BTreeSet<CertName> {
        let keys = self.strays.keys().chain(&self.voiceless).chain(self.local.settling.keys()).filter_map(of_key);
        let paused = self.local.pauses.keys().filter_map(|subject| of_subject(subject).cloned().or_else(|| of_record(subject)));
        self.certs.keys().chain(self.wanted.keys()).cloned().chain(keys).chain(paused).collect()
    }
}

/// The certificate that a store key is about.
pub(crate) fn of_key(key: &Key) -> Option<CertName> {
    match RecordKey::of(key)? {
        RecordKey::Cert(cert) | RecordKey::Request(cert, _) | RecordKey::Report(cert, ..) => Some(cert),
        _ => None,
    }
}

/// The certificate that a subject is about; that of a record which is put right is told by [`of_record`].
pub(crate) fn of_subject(subject: &Subject) -> Option<&CertName> {
    use Subject::{Aside, Cert, Report, Request, StandIn};
    match subject {
        Cert(cert) | Aside(cert, _) | StandIn(cert, _) | Report(cert, _) | Request(cert) => Some(cert),
        _ => None,
    }
}

pub(crate) fn of_record(subject: &Subject) -> Option<CertName> {
    match subject {
        Subject::Record(key) => of_key(key),
        _ => None,
    }
}

/// What comes first of its kind, for looking up the second half of a pair.
pub(crate) trait First: Ord {
    /// The first.
    fn first() -> Self;
}

impl First for NodeName {
    fn first() -> Self {
        "0".parse().expect("the first character that a name may begin with")
    }
}

impl First for IssuerName {
    fn first() -> Self {
        "0".parse().expect("the first character that a name may begin with")
    }
}

impl First for TargetName {
    fn first() -> Self {
        "0".parse().expect("the first character that a name may begin with")
    }
}

impl First for Generation {
    fn first() -> Self {
        Self(0)
    }
}

/// What a map has of one certificate.
pub(crate) fn of_cert<'m, K: First, V>(map: &'m BTreeMap<(CertName, K), V>, cert: &'m CertName) -> impl Iterator<Item = (&'m K, &'m V)> {
    map.range((cert.clone(), K::first())..).take_while(move |((other, _), _)| other == cert).map(|((_, key), value)| (key, value))
}
