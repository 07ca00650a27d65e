//! The certificates' records, with what is asked of them all told by lists that are kept beside them: who holds which, and which have a key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::Observed;
use super::noted::{Noted, Touched};
use crate::hash::draw;
use crate::names::{CertName, Identifier, NodeName, SpkiHash};
use crate::records::{Attempt, CertRecord};
use crate::time::Mono;

type Seen = Observed<CertRecord>;

/// The records. They read like a `BTreeMap`, and are changed only whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Certs {
    map: Noted<CertName, Seen>,
    /// Attempts that somebody holds, by the holder's name.
    held: BTreeMap<NodeName, BTreeSet<CertName>>,
    /// Those with an attempt.
    running: BTreeSet<CertName>,
    /// By a draw from each key that it names, which takes less room than the key.
    keys: BTreeSet<(u64, CertName)>,
    names: Names,
}

/// Which names are managed, and how often that changed.
#[derive(Debug, Clone, Default, PartialEq)]
struct Names {
    counts: BTreeMap<Identifier, u32>,
    changes: u64,
}

impl Certs {
    /// Puts a record in the place of the one before.
    pub fn insert(&mut self, cert: CertName, seen: Seen) -> Option<Seen> {
        let before = self.map.insert(cert.clone(), seen);
        // First what comes, so that a name that stays does not go in between.
        let after = &self.map[&cert];
        names_of(&after.value).for_each(|name| self.names.come(name));
        if let Some(before) = &before {
            self.unlist(&cert, before);
        }
        let after = &self.map[&cert].value;
        if let Some(holder) = after.attempt.as_ref().and_then(|attempt| attempt.holder.as_ref()) {
            self.held.entry(holder.node.clone()).or_default().insert(cert.clone());
        }
        if after.attempt.is_some() {
            self.running.insert(cert.clone());
        }
        self.keys.extend(keys_of(after).map(|key| (drawn(key), cert.clone())));
        before
    }

    /// Takes a record away.
    pub fn remove(&mut self, cert: &CertName) -> Option<Seen> {
        let before = self.map.remove(cert)?;
        self.unlist(cert, &before);
        Some(before)
    }

    /// It was looked at and is what it was.
    pub fn looked_at(&mut self, cert: &CertName, now: Mono) {
        if let Some(seen) = self.map.get_mut(cert) {
            seen.read_at = now;
        }
    }

    /// The attempts that a node holds, in whatever life of it.
    pub fn held_by(&self, node: &NodeName) -> impl Iterator<Item = (&CertName, &Attempt)> {
        self.held.get(node).into_iter().flatten().filter_map(|cert| self.attempt(cert))
    }

    /// The attempts that somebody holds.
    pub fn held(&self) -> impl Iterator<Item = (&CertName, &Attempt)> {
        self.held.values().flatten().filter_map(|cert| self.attempt(cert))
    }

    /// All attempts.
    pub fn running(&self) -> impl Iterator<Item = (&CertName, &Attempt)> {
        self.running.iter().filter_map(|cert| self.attempt(cert))
    }

    /// Those whose placed key this is.
    pub fn with_key<'a>(&'a self, key: &'a SpkiHash) -> impl Iterator<Item = (&'a CertName, &'a CertRecord)> {
        self.naming(key).filter(move |(_, record)| record.placed.as_ref().is_some_and(|placed| placed.key == *key))
    }

    /// Those whose record names this key: the placed one, or that of an attempt.
    pub fn naming<'a>(&'a self, key: &'a SpkiHash) -> impl Iterator<Item = (&'a CertName, &'a CertRecord)> {
        let drawn = drawn(key);
        let first = "!".parse::<CertName>().expect("the first printable character is a name, and none comes before it");
        let found = self.keys.range((drawn, first)..).take_while(move |(other, _)| *other == drawn);
        let records = found.filter_map(|(_, cert)| self.map.get_key_value(cert)).map(|(cert, seen)| (cert, &seen.value));
        records.filter(move |(_, record)| keys_of(record).any(|other| other == key))
    }

    /// Every name in the records and in the own file, in order.
    pub fn managed_names(&self) -> impl Iterator<Item = &Identifier> {
        self.names.counts.keys()
    }

    /// Another number, if the managed names may be others.
    pub fn name_changes(&self) -> u64 {
        self.names.changes
    }

    /// Names in the own file come and go.
    pub(super) fn configure<'a>(&mut self, before: impl Iterator<Item = &'a Identifier>, after: impl Iterator<Item = &'a Identifier>) {
        after.for_each(|name| self.names.come(name));
        before.for_each(|name| self.names.go(name));
    }

    pub(super) fn take_touched(&mut self) -> Touched<CertName> {
        self.map.take_touched()
    }

    fn attempt(&self, cert: &CertName) -> Option<(&CertName, &Attempt)> {
        let (cert, seen) = self.map.get_key_value(cert)?;
        Some((cert, seen.value.attempt.as_ref()?))
    }

    fn unlist(&mut self, cert: &CertName, before: &Seen) {
        let before = &before.value;
        names_of(before).for_each(|name| self.names.go(name));
        self.running.remove(cert);
        if let Some(holder) = before.attempt.as_ref().and_then(|attempt| attempt.holder.as_ref())
            && let Some(held) = self.held.get_mut(&holder.node)
        {
            held.remove(cert);
        }
        for key in keys_of(before) {
            self.keys.remove(&(drawn(key), cert.clone()));
        }
    }
}

impl Names {
    fn come(&mut self, name: &Identifier) {
        match self.counts.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(name.clone(), 1);
                self.changes += 1;
            }
        }
    }

    fn go(&mut self, name: &Identifier) {
        if let Some(count) = self.counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(name);
                self.changes += 1;
            }
        }
    }
}

/// The names that a record makes managed ones.
fn names_of(record: &CertRecord) -> impl Iterator<Item = &Identifier> {
    let is_managed = !record.retired || record.attempt.is_some();
    let running = record.attempt.iter().flat_map(|attempt| &attempt.names);
    let placed = record.placed.iter().flat_map(|placed| &placed.names);
    record.spec.names.iter().chain(running).chain(placed).filter(move |_| is_managed)
}

/// The keys that it names.
fn keys_of(record: &CertRecord) -> impl Iterator<Item = &SpkiHash> {
    let attempts = record.attempt.iter().chain(&record.set_aside).map(|attempt| &attempt.key);
    attempts.chain(record.placed.iter().map(|placed| &placed.key))
}

fn drawn(key: &SpkiHash) -> u64 {
    draw(&[key.as_str()])
}

impl Deref for Certs {
    type Target = BTreeMap<CertName, Seen>;
    fn deref(&self) -> &BTreeMap<CertName, Seen> {
        &self.map
    }
}

impl<'a> IntoIterator for &'a Certs {
    type Item = (&'a CertName, &'a Seen);
    type IntoIter = std::collections::btree_map::Iter<'a, CertName, Seen>;
    fn into_iter(self) -> Self::IntoIter {
        self.map.iter()
    }
}
