//! Which private keys, wraps and versions in the store something still refers to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Blob, View};
use crate::key::{Key, RecordKey};
use crate::names::{CertName, Generation, SpkiHash};

/// How many generations of each certificate stay in the store, for `rollout back`; the placed one and all newer ones stay besides.
const GENERATIONS_KEPT: usize = 3;

impl View {
    /// Those of `blobs` that nothing refers to.
    pub(super) fn unreferenced(&self, blobs: &[Blob]) -> Vec<Blob> {
        let versions = self.kept_versions(blobs);
        let needed = blobs.iter().filter(|blob| version_of(&blob.key).is_some_and(|version| versions.contains(&version)));
        let keys: BTreeSet<&SpkiHash> = self.recorded_keys().chain(needed.filter_map(|blob| blob.needs.as_ref())).collect();
        let is_kept = |blob: &&Blob| match RecordKey::of(&blob.key) {
            Some(RecordKey::Version(cert, generation)) => versions.contains(&(cert, generation)),
            Some(RecordKey::PrivateKey(spki) | RecordKey::Wrap(spki, _)) => keys.contains(&spki),
            _ => true,
        };
        blobs.iter().filter(|blob| !is_kept(blob)).cloned().collect()
    }

    /// Whether a certificate's record names it now, whatever it was when the store was looked through.
    pub(crate) fn is_recorded(&self, key: &Key) -> bool {
        match RecordKey::of(key) {
            Some(RecordKey::Version(cert, number)) => self.placed_generation(&cert) == Some(number),
            Some(RecordKey::PrivateKey(spki) | RecordKey::Wrap(spki, _)) => self.recorded_keys().any(|key| *key == spki),
            _ => true,
        }
    }

    fn placed_generation(&self, cert: &CertName) -> Option<Generation> {
        Some(self.certs.get(cert)?.value.placed.as_ref()?.placement.generation)
    }

    fn recorded_keys(&self) -> impl Iterator<Item = &SpkiHash> {
        let account = self.account_key.iter().flat_map(|record| record.keys()).map(|key| &key.spki);
        let certificates = self.certs.values().map(|seen| &seen.value).flat_map(|record| {
            let attempts = record.attempt.iter().chain(&record.set_aside).map(|attempt| &attempt.key);
            attempts.chain(record.placed.iter().map(|placed| &placed.key))
        });
        account.chain(certificates)
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
