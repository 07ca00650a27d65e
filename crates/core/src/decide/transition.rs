//! How a certificate's record changes: from one record to the next, and nothing else. Who may write it, and when, is decided elsewhere.

use std::time::Duration;

use crate::ca::Problem;
use crate::hash::draw_fraction;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, Generation, IssuerName, SpkiHash};
use crate::records::{Attempt, AttemptEnd, CertRecord, Failures, HISTORY_ENTRIES_MAX, HistoryEntry, Holder, Placed, Placement, Step};
use crate::spec::Specification;
use crate::time::{Now, Timestamp, earlier, later, until};
use crate::view::{Drive, Me, View};
use crate::x509::Leaf;

/// Pauses after the first, second and third failed attempt in a row, in seconds; a day after each later one.
const BACKOFF_SECONDS: [u64; 3] = [60, 600, 6000];
/// Pause after every later one, in seconds.
const BACKOFF_SECONDS_MAX: u64 = 24 * 3600;
/// Longest time that a stored stamp may lie ahead; one beyond it was written by a wrong clock, in seconds.
const AHEAD_SECONDS_MAX: u64 = 26 * 3600;
/// First delay when the CA gives no Retry-After, in seconds; doubled each time.
const PUT_OFF_SECONDS_MIN: u64 = 15;
/// Longest such delay, in seconds.
const PUT_OFF_SECONDS_MAX: u64 = 3600;
/// Shortest Retry-After that is kept to: a CA that says 0 is not asked in a loop, in seconds.
const RETRY_AFTER_SECONDS_MIN: u64 = 2;
/// Longest Retry-After that is kept to, in seconds.
const RETRY_AFTER_SECONDS_MAX: u64 = 24 * 3600;
/// Longest jitter before an attempt that follows one whose order was another's, in milliseconds; doubled for each in a row.
const NOT_OURS_JITTER_MS: u64 = 5_000;
/// Most doublings of it.
const NOT_OURS_DOUBLINGS_MAX: u32 = 10;
/// Most drivers that an attempt remembers.
const DRIVERS_MAX: usize = 16;
/// Without a generation to protect, a silent CA is waited for this long, in seconds.
pub(super) const SET_ASIDE_SECONDS: u64 = 24 * 3600;
/// After this long any order has expired (RFC 8555 leaves it to the CA; a week is the longest in use), in seconds.
const ORDER_SECONDS_MAX: u64 = 8 * 24 * 3600;
/// Most attempts that are kept aside.
const SET_ASIDE_MAX: usize = 4;
/// Certificates that live shorter than this are renewed at half of their life, in seconds.
const SHORT_LIFE_SECONDS: u64 = 10 * 24 * 3600;
/// How much earlier than its moment a renewal may be drawn, as a share of the life, so that a fleet's renewals spread.
const RENEWAL_SPREAD: f64 = 0.01;

/// When a placed generation is to be renewed: at a third of its life left (a half, if it lives under ten days), a little earlier by a draw
/// that is the same on every node.
pub fn renewal_moment(cert: &CertName, placed: &Placed) -> Timestamp {
    let life = until(placed.not_before, placed.not_after);
    let left = if life.as_secs() < SHORT_LIFE_SECONDS { life / 2 } else { life / 3 };
    let drawn = draw_fraction(&["renew", cert.as_str(), &placed.placement.generation.to_string()]);
    earlier(placed.not_after, left + life.mul_f64(RENEWAL_SPREAD * drawn))
}

/// From when on a stored stamp is believed. One that lies further ahead than any rule can put it was written by a wrong clock.
pub(super) fn believed_at(stamp: Timestamp) -> Timestamp {
    earlier(stamp, Duration::from_secs(AHEAD_SECONDS_MAX))
}

fn holder(me: &Me) -> Option<Holder> {
    Some(Holder { node: me.node.clone(), incarnation: me.incarnation.clone() })
}

pub(super) fn new_attempt(
    number: Generation,
    spec: &Specification,
    (issuer, profile): (IssuerName, Option<String>),
    (key, csr, after_removals): (SpkiHash, Vec<u8>, u64),
    (me, now): (&Me, Now),
) -> Attempt {
    Attempt {
        number,
        names: spec.names.clone(),
        issuer,
        profile,
        challenge: spec.challenge,
        key,
        csr,
        after_removals,
        holder: holder(me),
        not_before: None,
        started_at: now.wall,
        drivers: vec![me.node.clone()],
        problem: None,
        hindered: 0,
        step: Step::Keyed,
    }
}

pub(super) fn keyed(record: Option<&CertRecord>, spec: &Specification, attempt: Attempt) -> CertRecord {
    let record = record.cloned().unwrap_or_else(|| CertRecord::of(spec.clone()));
    let last_number = if has(Mutant::ForgetNumber) { record.last_number } else { attempt.number };
    CertRecord { last_number, attempt: Some(attempt), ..record }
}

fn with_attempt(record: &CertRecord, change: impl FnOnce(&mut Attempt)) -> CertRecord {
    let mut record = record.clone();
    if let Some(attempt) = &mut record.attempt {
        change(attempt);
    }
    record
}

pub(super) fn stepped(record: &CertRecord, step: Step) -> CertRecord {
    with_attempt(record, |attempt| {
        attempt.step = step;
        attempt.problem = None;
        attempt.hindered = 0;
    })
}

pub(super) fn taken_over(record: &CertRecord, me: &Me) -> CertRecord {
    with_attempt(record, |attempt| {
        attempt.holder = holder(me);
        attempt.not_before = None;
        if attempt.drivers.last() != Some(&me.node) && attempt.drivers.len() < DRIVERS_MAX {
            attempt.drivers.push(me.node.clone());
        }
    })
}

pub(super) fn released(record: &CertRecord, problem: Option<Problem>) -> CertRecord {
    with_attempt(record, |attempt| {
        attempt.holder = None;
        attempt.problem = problem.or(attempt.problem.take());
    })
}

pub(super) fn put_off(record: &CertRecord, after: Option<Duration>, problem: Problem, now: Now) -> CertRecord {
    with_attempt(record, |attempt| {
        let own = PUT_OFF_SECONDS_MIN.saturating_mul(1 << attempt.hindered.min(20)).min(PUT_OFF_SECONDS_MAX);
        let span = after.unwrap_or(Duration::from_secs(own));
        let span = span.clamp(Duration::from_secs(RETRY_AFTER_SECONDS_MIN), Duration::from_secs(RETRY_AFTER_SECONDS_MAX));
        attempt.holder = None;
        attempt.not_before = Some(later(now.wall, span));
        attempt.problem = Some(problem);
        attempt.hindered = attempt.hindered.saturating_add(1);
    })
}

/// Whether an attempt whose CA is silent may make room for the next: expiry is near, or there is nothing to serve, or what there is is spent.
pub(super) fn may_set_aside(record: &CertRecord, attempt: &Attempt, is_spent: bool, now: Now) -> bool {
    let finalizing = matches!(attempt.step, Step::Finalizing { .. });
    let waited = now.wall >= later(attempt.started_at, Duration::from_secs(SET_ASIDE_SECONDS));
    let near = record.placed.as_ref().is_none_or(|placed| now.wall >= near_at(placed));
    finalizing && (near || is_spent) && waited && record.set_aside.len() < SET_ASIDE_MAX
}

/// When the expiry of what is placed is near.
pub(super) fn near_at(placed: &Placed) -> Timestamp {
    earlier(placed.not_after, until(placed.not_before, placed.not_after) / 6)
}

pub(super) fn order_expired(attempt: &Attempt, now: Now) -> bool {
    now.wall >= order_expires(attempt)
}

pub(super) fn order_expires(attempt: &Attempt) -> Timestamp {
    later(attempt.started_at, Duration::from_secs(ORDER_SECONDS_MAX))
}

fn remembered(record: &mut CertRecord, attempt: &Attempt, end: AttemptEnd, now: Now) {
    record.history.push(HistoryEntry {
        number: attempt.number,
        issuer: attempt.issuer.clone(),
        drivers: attempt.drivers.clone(),
        started_at: attempt.started_at,
        ended_at: now.wall,
        end,
    });
    let surplus = record.history.len().saturating_sub(HISTORY_ENTRIES_MAX);
    record.history.drain(..surplus);
}

pub(super) fn set_aside(record: &CertRecord, now: Now) -> CertRecord {
    let mut record = record.clone();
    if let Some(attempt) = record.attempt.take() {
        remembered(&mut record, &attempt, AttemptEnd::SetAside, now);
        // Counted, so that the next attempt goes to the next issuer, if there is one.
        record.failures.count = record.failures.count.saturating_add(1);
        record.failures.problem = attempt.problem.clone().or(record.failures.problem.take());
        if !has(Mutant::ForgetSetAside) {
            record.set_aside.push(Attempt { holder: None, ..attempt });
        }
    }
    record
}

pub(super) fn aside_ended(record: &CertRecord, attempt: &Attempt, placed: Option<Placed>, now: Now) -> CertRecord {
    let mut record = record.clone();
    record.set_aside.retain(|aside| aside.number != attempt.number);
    if let Some(placed) = placed {
        remembered(&mut record, attempt, AttemptEnd::Issued { serial: placed.serial.clone() }, now);
        if record.placed.as_ref().is_none_or(|now| now.placement.generation < placed.placement.generation) {
            record.placed = Some(placed);
        }
    }
    record
}

/// An attempt that gave nothing. A refusal counts and waits; an order that was another's does neither, but for some jitter.
pub(super) fn ended(cert: &CertName, record: &CertRecord, end: AttemptEnd, now: Now, seed: u64) -> CertRecord {
    let mut record = record.clone();
    let Some(attempt) = record.attempt.take() else { return record };
    let drawn = draw_fraction(&["backoff", cert.as_str(), &attempt.number.to_string(), &seed.to_string()]);
    match &end {
        AttemptEnd::Failed { problem } => {
            let step = BACKOFF_SECONDS.get(record.failures.count as usize).copied().unwrap_or(BACKOFF_SECONDS_MAX);
            let span = Duration::from_secs(step).mul_f64(0.95 + 0.1 * drawn);
            record.failures = Failures {
                count: record.failures.count.saturating_add(1),
                problem: Some(problem.clone()),
                not_before: Some(later(now.wall, span)),
            };
        }
        _ => {
            let before = record.history.iter().rev().take_while(|entry| entry.end == AttemptEnd::NotOurs).count();
            let doublings = u32::try_from(before).unwrap_or(u32::MAX).min(NOT_OURS_DOUBLINGS_MAX);
            let span = Duration::from_millis(NOT_OURS_JITTER_MS << doublings).mul_f64(drawn);
            record.failures.not_before = Some(later(now.wall, span));
        }
    }
    remembered(&mut record, &attempt, end, now);
    record
}

/// What would be placed: the attempt's stored version, above every placement seen so far.
pub(super) fn placed(view: &View, cert: &CertName, record: &CertRecord, attempt: &Attempt, drive: &Drive) -> Option<Placed> {
    let (leaf, _) = drive.chain.as_ref()?;
    let version = drive.version.clone()?;
    let placement = next_placement(view, cert, record, attempt.number);
    Some(Placed { after_removals: attempt.after_removals, ..describe(placement, version, leaf, attempt.issuer.clone()) })
}

pub(super) fn next_placement(view: &View, cert: &CertName, record: &CertRecord, generation: Generation) -> Placement {
    let (seen_epoch, remembered) = view.local.memory.get(cert).map(|memory| memory.seen).unwrap_or_default();
    let epoch = view.fleet.as_ref().map_or(0, |fleet| fleet.epoch).max(seen_epoch);
    let recorded = record.placed.as_ref().map_or(0, |placed| placed.placement.seq);
    let reported = view.reports.get(cert).into_iter().flat_map(|reports| reports.values()).map(|seen| seen.value.seq).max().unwrap_or(0);
    Placement { epoch, seq: recorded.max(remembered).max(reported).saturating_add(1), generation }
}

pub(super) fn describe(placement: Placement, version: crate::names::VersionHash, leaf: &Leaf, issuer: IssuerName) -> Placed {
    Placed {
        placement,
        version,
        names: leaf.names.clone(),
        issuer,
        serial: leaf.serial.clone(),
        fingerprint: leaf.fingerprint.clone(),
        key: leaf.key.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        resumed: false,
        after_removals: 0,
    }
}

/// The attempt became a generation; it is placed unless a newer one is known of (the store was restored meanwhile).
pub(super) fn succeeded(record: &CertRecord, placed: Placed, is_superseded: bool, now: Now) -> CertRecord {
    let mut record = record.clone();
    if let Some(attempt) = record.attempt.take() {
        remembered(&mut record, &attempt, AttemptEnd::Issued { serial: placed.serial.clone() }, now);
    }
    record.failures = Failures::default();
    if !is_superseded {
        record.renew_requested_at = None;
        record.new_key &= record.placed.as_ref().is_some_and(|before| before.key == placed.key);
        record.placed = Some(placed);
    }
    record
}

pub(super) fn adopted(record: &CertRecord, spec: &Specification) -> CertRecord {
    let mut record = record.clone();
    if !record.spec.has_names(&spec.names) || record.spec.issuers != spec.issuers {
        record.failures = Failures::default();
    }
    record.spec = spec.clone();
    record.retired = false;
    record
}

pub(super) fn retired(record: &CertRecord) -> CertRecord {
    CertRecord { retired: true, renew_requested_at: None, ..record.clone() }
}

#[cfg(test)]
mod tests;
