//! Which private keys, wraps and versions in the store something still refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Blob, View};
use crate::key::{Key, RecordKey};
use crate::names::{CertName, Generation, SpkiHash};
use crate::time::Mono;

/// How many generations of each certificate stay in the store, for `rollout back`; the placed one and all newer ones stay besides.
const GENERATIONS_KEPT: usize = 3;

impl View {
    /// What was without a reference before keeps its moment; what has one again is forgotten.
    pub(super) fn looked_through(&mut self, blobs: &[Blob], now: Mono) {
        let found = self.unreferenced(blobs).into_iter().map(|blob| {
            let since = self.local.unreferenced.get(&blob.key).filter(|(_, before)| *before == blob).map_or(now, |(since, _)| *since);
            (blob.key.clone(), (since, blob))
        });
        self.local.unreferenced = found.collect();
        self.note_unreferenced();
        self.local.looked_through_at = Some(now);
    }

    pub(super) fn note_unreferenced(&mut self) {
        self.local.unreferenced_since = self.local.unreferenced.values().map(|(since, _)| *since).min();
    }

    /// Those of `blobs` that nothing refers to.
    fn unreferenced(&self, blobs: &[Blob]) -> Vec<Blob> {
        let versions = self.kept_versions(blobs);
        let needed = blobs.iter().filter(|blob| version_of(&blob.key).is_some_and(|version| versions.contains(&version)));
        let keys: BTreeSet<&SpkiHash> = needed.filter_map(|blob| blob.needs.as_ref()).collect();
        let is_kept = |blob: &&Blob| match RecordKey::of(&blob.key) {
            Some(RecordKey::Version(cert, generation)) => versions.contains(&(cert, generation)),
            Some(RecordKey::PrivateKey(spki) | RecordKey::Wrap(spki, _)) => keys.contains(&spki) || self.is_recorded(&blob.key),
            _ => true,
        };
        blobs.iter().filter(|blob| !is_kept(blob)).cloned().collect()
    }

    /// Whether a certificate's record names it now, whatever it was when the store was looked through.
    pub(crate) fn is_recorded(&self, key: &Key) -> bool {
        match RecordKey::of(key) {
            Some(RecordKey::Version(cert, number)) => self.placed_generation(&cert) == Some(number),
            Some(RecordKey::PrivateKey(spki) | RecordKey::Wrap(spki, _)) => {
                let mut accounts = self.account_key.iter().flat_map(|record| record.keys());
                accounts.any(|key| key.spki == spki) || self.certs.naming(&spki).next().is_some()
            }
            _ => true,
        }
    }

    fn placed_generation(&self, cert: &CertName) -> Option<Generation> {
        Some(self.certs.get(cert)?.value.placed.as_ref()?.placement.generation)
    }

    /// Of each certificate that has a record: the placed generation, all newer ones, and the latest few.
    fn kept_versions(&self, blobs: &[Blob]) -> BTreeSet<(CertName, Generation)> {
        let mut numbers: BTreeMap<CertName, BTreeSet<Generation>> = BTreeMap::new();
        for (cert, number) in blobs.iter().filter_map(|blob| version_of(&blob.key)) {
            numbers.entry(cert).or_default().insert(number);
        }
        let mut kept = BTreeSet::new();
        for (cert, numbers) in numbers.into_iter().filter(|(cert, _)| self.certs.contains_key(cert)) {
            let placed = self.placed_generation(&cert);
            let is_kept =
                |(place, number): &(usize, Generation)| *place < GENERATIONS_KEPT || placed.is_none_or(|placed| *number >= placed);
            kept.extend(numbers.into_iter().rev().enumerate().filter(is_kept).map(|(_, number)| (cert.clone(), number)));
        }
        kept
    }
}

fn version_of(key: &Key) -> Option<(CertName, Generation)> {
    match RecordKey::of(key)? {
        RecordKey::Version(cert, number) => Some((cert, number)),
        _ => None,
    }
}
