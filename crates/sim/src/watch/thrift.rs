//! No attempt without a reason: none before its time, none for a certificate that is good for long, none for other names than the record's.
//!
//! Deliberately not here: the CA's limits themselves; they come with their ledger.

use std::time::Duration;

use certfleet_core::decide::renewal_moment;
use certfleet_core::names::CertName;
use certfleet_core::records::{Attempt, CertRecord};
use certfleet_core::time::{Timestamp, later};

/// How far a node's clock may be off without its noticing, in seconds: what it may be off the CA's, and a jump too small to be seen.
const CLOCK_SECONDS_MAX: u64 = 660;
/// A stamp further ahead than this was written by a wrong clock, and is not kept to, in seconds.
const AHEAD_SECONDS_MAX: u64 = 26 * 3600;

/// A record was written. `is_spent`: the placed key is lost, or somebody who was removed may know it.
pub fn wrote(cert: &CertName, before: Option<&CertRecord>, after: &CertRecord, is_spent: bool, now: Timestamp) -> Result<(), String> {
    let Some(attempt) = &after.attempt else { return Ok(()) };
    match before.and_then(|before| before.attempt.as_ref()) {
        None => started(cert, before, after, attempt, is_spent, now),
        Some(old) if old.holder.is_none() && attempt.holder.is_some() => in_time(cert, old.not_before, now),
        Some(_) => Ok(()),
    }
}

fn started(
    cert: &CertName,
    before: Option<&CertRecord>,
    after: &CertRecord,
    attempt: &Attempt,
    is_spent: bool,
    now: Timestamp,
) -> Result<(), String> {
    if !after.spec.has_names(&attempt.names) {
        return Err(format!("{cert}: attempt {} is for other names than the record's", attempt.number));
    }
    let Some(before) = before else { return Ok(()) };
    in_time(cert, before.failures.not_before, now)?;
    let Some(placed) = before.placed.as_ref().filter(|placed| before.spec.has_names(&placed.names)) else { return Ok(()) };
    let due = renewal_moment(cert, placed);
    let is_due = later(now, Duration::from_secs(CLOCK_SECONDS_MAX)) >= due;
    if is_due || is_spent || before.new_key || before.renew_requested_at.is_some() {
        return Ok(());
    }
    Err(format!("{cert}: attempt {} starts for no reason: the placed generation is to be renewed at {due:.0}", attempt.number))
}

fn in_time(cert: &CertName, stamp: Option<Timestamp>, now: Timestamp) -> Result<(), String> {
    let [soon, far] = [CLOCK_SECONDS_MAX, AHEAD_SECONDS_MAX].map(|seconds| later(now, Duration::from_secs(seconds)));
    match stamp.filter(|stamp| *stamp > soon && *stamp <= far) {
        Some(stamp) => Err(format!("{cert}: an attempt goes on before its time, which is {stamp:.0}")),
        None => Ok(()),
    }
}
