//! Removing what nothing refers to any more: private keys and chains of attempts that came to nothing, and of generations long gone.
//!
//! Only what has been without a reference for a day, as this process has watched by its own monotonic clock, is removed; so a key that
//! was just made for an attempt, or a record read late, is never taken for rubbish. Done by the first-ranked live `issue` node.

use std::collections::BTreeSet;
use std::time::Duration;

use super::plan::{Action, Plan};
use crate::key::{Key, RecordKey};
use crate::names::{CertName, Generation, SpkiHash};
use crate::spec::Role;
use crate::time::Now;
use crate::view::{Blob, View};

/// How long something must be without a reference, in seconds.
const UNREFERENCED_SECONDS: u64 = 24 * 3600;
/// How often the store is looked through, in seconds.
const LOOK_SECONDS: u64 = 6 * 3600;
/// How many generations of each certificate stay in the store, for `rollout back`; the placed one stays besides.
const GENERATIONS_KEPT: usize = 3;
/// Most values that are removed at a time.
const REMOVALS_MAX: usize = 200;

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    if !view.my_roles().contains(&Role::Issue) || view.local.leaving || view.local.duplicate.is_some() || view.local.beaten_at.is_none() {
        return;
    }
    // A record that cannot be read may refer to anything.
    let is_blind = view.unreadable.keys().any(|key| key.is_under("certs"));
    if is_blind || super::holder::my_rank(view, now, "collect", None) > 0 {
        return;
    }
    let rubbish: Vec<Blob> = (view.local.unreferenced.values())
        .filter(|(since, blob)| now.mono.since(*since).as_secs() >= UNREFERENCED_SECONDS && !is_recorded(view, &blob.key))
        .map(|(_, blob)| blob.clone())
        .take(REMOVALS_MAX)
        .collect();
    if !rubbish.is_empty() {
        return plan.act(view, now, Action::Remove(rubbish));
    }
    let due = view.local.looked_through_at.unwrap_or_default() + Duration::from_secs(LOOK_SECONDS);
    if now.mono < due { plan.wake(due) } else { plan.act(view, now, Action::LookThrough) }
}

/// Those of `blobs` that nothing refers to.
pub(crate) fn unreferenced(view: &View, blobs: &[Blob]) -> Vec<Blob> {
    let versions = kept_versions(view, blobs);
    let keys = kept_keys(view, blobs, &versions);
    let is_kept = |blob: &&Blob| match RecordKey::of(&blob.key) {
        Some(RecordKey::Version(cert, generation)) => versions.contains(&(cert, generation)),
        Some(RecordKey::PrivateKey(spki)) => keys.contains(&spki),
        _ => true,
    };
    blobs.iter().filter(|blob| !is_kept(blob)).cloned().collect()
}

/// The placed generation of each certificate, all newer ones, and the latest few.
fn kept_versions(view: &View, blobs: &[Blob]) -> BTreeSet<(CertName, Generation)> {
    let mut kept = BTreeSet::new();
    for (cert, seen) in &view.certs {
        let mut numbers: Vec<Generation> = blobs.iter().filter_map(|blob| generation_of(&blob.key, cert)).collect();
        numbers.sort_by(|a, b| b.cmp(a));
        let placed = seen.value.placed.as_ref().map(|placed| placed.placement.generation);
        let is_kept = |(place, number): &(usize, &Generation)| *place < GENERATIONS_KEPT || placed.is_none_or(|placed| **number >= placed);
        kept.extend(numbers.iter().enumerate().filter(is_kept).map(|(_, number)| (cert.clone(), *number)));
    }
    kept
}

fn generation_of(key: &Key, cert: &CertName) -> Option<Generation> {
    match RecordKey::of(key) {
        Some(RecordKey::Version(name, number)) if name == *cert => Some(number),
        _ => None,
    }
}

/// Whether a certificate's record names it now, whatever it was when the store was looked through.
fn is_recorded(view: &View, key: &Key) -> bool {
    match RecordKey::of(key) {
        Some(RecordKey::Version(cert, number)) => {
            let placed = view.certs.get(&cert).and_then(|seen| seen.value.placed.as_ref());
            placed.is_some_and(|placed| placed.placement.generation == number)
        }
        Some(RecordKey::PrivateKey(spki)) => recorded_keys(view).any(|key| *key == spki),
        _ => true,
    }
}

fn recorded_keys(view: &View) -> impl Iterator<Item = &SpkiHash> {
    view.certs.values().map(|seen| &seen.value).flat_map(|record| {
        let attempts = record.attempt.iter().chain(&record.set_aside).map(|attempt| &attempt.key);
        attempts.chain(record.placed.iter().map(|placed| &placed.key))
    })
}

fn kept_keys(view: &View, blobs: &[Blob], versions: &BTreeSet<(CertName, Generation)>) -> BTreeSet<SpkiHash> {
    let of_versions = blobs.iter().filter(|blob| match RecordKey::of(&blob.key) {
        Some(RecordKey::Version(cert, number)) => versions.contains(&(cert, number)),
        _ => false,
    });
    recorded_keys(view).chain(of_versions.filter_map(|blob| blob.needs.as_ref())).cloned().collect()
}
