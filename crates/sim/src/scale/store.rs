//! The store of the run: which change of each certificate's record stands, what nothing refers to any more, and how often it was asked for what.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::decide::BEAT_IDLE_MS;
use certfleet_core::envelope::Expect;
use certfleet_core::key::Key;
use certfleet_core::view::Blob;

use super::{Curve, Scale};

/// What a write takes.
pub const WRITE: Duration = Duration::from_millis(20);
/// How long after it the others have it.
pub const SEEN: Duration = Duration::from_millis(100);

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Certificates' records.
    Record,
    /// Private keys.
    Key,
    /// Chains.
    Version,
    /// Reports.
    Report,
    /// Presences.
    Beat,
    /// What is removed.
    Removal,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Record, Self::Key, Self::Version, Self::Report, Self::Beat, Self::Removal];

    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Record => "certificates' records",
            Self::Key => "keys",
            Self::Version => "chains",
            Self::Report => "reports",
            Self::Beat => "presences",
            Self::Removal => "removals of old keys",
        }
    }
}

/// The store.
#[derive(Debug)]
pub struct Store {
    changes: Vec<u64>,
    writes: BTreeMap<Kind, Curve>,
    /// Keys that nothing refers to.
    pub rubbish: BTreeMap<Key, Blob>,
    /// Writes that came too late.
    pub conflicts: u64,
}

impl Store {
    /// With the first record of each certificate, if there are any.
    pub fn new(scale: &Scale) -> Self {
        let first = u64::from(!scale.new);
        Self { changes: vec![first; scale.certificates], writes: BTreeMap::new(), rubbish: BTreeMap::new(), conflicts: 0 }
    }

    /// One compare-and-swap of a certificate's record: the change that it became, or none.
    pub fn swap(&mut self, cert: usize, expect: &Expect, now: Duration) -> Option<u64> {
        let expected = match expect {
            Expect::Absent => 0,
            Expect::Revision(revision) => revision.change,
        };
        self.count(Kind::Record, now);
        if self.changes[cert] != expected {
            self.conflicts += 1;
            return None;
        }
        self.changes[cert] += 1;
        Some(self.changes[cert])
    }

    /// Something was written.
    pub fn count(&mut self, kind: Kind, now: Duration) {
        self.writes.entry(kind).or_default().add(now, 1);
    }

    /// So many nodes beat through the whole run, as they do when they hold nothing.
    pub fn count_idle_beats(&mut self, nodes: usize, run: Duration) {
        let hours = run.as_secs().div_ceil(3600);
        let each = 3_600_000 / BEAT_IDLE_MS * nodes as u64;
        (0..hours).for_each(|hour| self.writes.entry(Kind::Beat).or_default().add(Duration::from_secs(hour * 3600), each));
    }

    /// What was written of each kind, by hour.
    pub fn into_writes(self) -> BTreeMap<Kind, Curve> {
        self.writes
    }
}
