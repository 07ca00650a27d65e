//! How an operator's commands change a certificate's record: from one record to the next, and nothing else.

use std::time::Duration;

use super::transition::{describe, next_placement};
use crate::names::CertName;
use crate::records::{AttemptEnd, CertRecord, Failures, HISTORY_ENTRIES_MAX, HistoryEntry, Placed, VersionRecord};
use crate::time::{Now, later, until};
use crate::view::View;
use crate::x509::Leaf;

/// How long a new attempt waits after the fleet went back to an older generation (at most half of what that has left), in seconds.
const WENT_BACK_SECONDS: u64 = 24 * 3600;
/// An operator wants a new generation now; a running attempt gives it, or the next one that succeeds. `new_key`: also where renewals keep
/// the key.
pub fn request_renewal(record: &CertRecord, new_key: bool, now: Now) -> CertRecord {
    let mut record = record.clone();
    record.new_key |= new_key;
    record.renew_requested_at = Some(now.wall);
    record.failures = Failures::default();
    if let Some(attempt) = &mut record.attempt {
        attempt.not_before = None;
    }
    record
}

/// The fleet goes back to an older generation; no new attempt starts for a day (or half of its life left), so that it stays there.
pub fn go_back(
    view: &View,
    cert: &CertName,
    record: &CertRecord,
    version: &VersionRecord,
    hash: crate::names::VersionHash,
    leaf: &Leaf,
    now: Now,
) -> CertRecord {
    let mut record = record.clone();
    let placement = next_placement(view, cert, &record, version.generation);
    record.placed = Some(Placed { after_removals: version.after_removals, ..describe(placement, hash, leaf, version.issuer.clone()) });
    let wait = Duration::from_secs(WENT_BACK_SECONDS).min(until(now.wall, leaf.not_after) / 2);
    record.failures.not_before = Some(later(now.wall, wait));
    record.renew_requested_at = None;
    record.history.push(HistoryEntry {
        number: version.generation,
        issuer: version.issuer.clone(),
        drivers: vec![view.me.node.clone()],
        started_at: now.wall,
        ended_at: now.wall,
        end: AttemptEnd::WentBack,
    });
    let surplus = record.history.len().saturating_sub(HISTORY_ENTRIES_MAX);
    record.history.drain(..surplus);
    record
}

/// A halted rollout goes on.
pub fn resume_rollout(record: &CertRecord) -> CertRecord {
    let mut record = record.clone();
    if let Some(placed) = &mut record.placed {
        placed.resumed = true;
    }
    record
}
