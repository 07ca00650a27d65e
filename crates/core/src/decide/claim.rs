//! Whether a new attempt is due, and starting it: the key first, then the record.

use std::time::Duration;

use super::action::{Action, Event, Subject, WantedKey};
use super::holder::GRACE;
use super::issuance::{is_rolling, may_use};
use super::plan::Plan;
use super::turn::Turn;
use super::{request, transition};
use crate::key::RecordKey;
use crate::names::{Generation, IssuerName, SpkiHash};
use crate::records::{CertRecord, Placed};
use crate::spec::Specification;
use crate::time::{Now, Timestamp, later};
use crate::view::{Drive, MadeKey, Observed};

/// A certificate that is due for renewal from its first day (a CA's mistake) is renewed no sooner than this after it came, in seconds.
const BORN_DUE_SECONDS: u64 = 3600;
/// A key that was made and not used for this long is not used any more, since nothing refers to it and it will be removed, in seconds.
const KEY_SECONDS_MAX: u64 = 3600;

/// Highest number of such a record that is gone by: beyond it there must be room for more.
const ORPHAN_NUMBER_MAX: u64 = 1 << 32;

pub(super) fn decide(turn: Turn<'_>, seen: Option<&Observed<CertRecord>>, plan: &mut Plan) {
    let Turn { view, now, cert, .. } = turn;
    let record = seen.map(|seen| &seen.value);
    let Some(spec) = view.specification(cert) else { return };
    if view.local.leaving || due(turn, record, spec, plan).is_err() {
        return;
    }
    if view.placed_nodes(cert).is_empty() {
        return turn.wait(plan, "no node on which it is placed has joined the fleet");
    }
    let issuer = issuer_of(spec, record);
    if !may_use(turn, issuer, plan) || is_rolling(turn, issuer, plan) {
        return;
    }
    let moment = plan.due(view, now, Subject::Cert(cert.clone())) + GRACE * turn.rank(None);
    if now.mono < moment {
        turn.wait(plan, "another node goes first");
        return plan.wake(moment);
    }
    let fitness = turn.fitness(issuer, plan);
    if turn.is_fit(fitness, plan) {
        start(turn, seen, spec, issuer, plan);
    }
}

/// A new generation is not wanted yet.
pub(super) struct NotYet;

/// Whether a new generation is wanted now; if not, the plan wakes when it is.
pub(super) fn due(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification, plan: &mut Plan) -> Result<(), NotYet> {
    if let Some(stamp) = wanted_at(turn, record, spec).filter(|stamp| *stamp > turn.now.wall) {
        plan.wake_at_stamp(turn.now, stamp);
        return Err(NotYet);
    }
    if let Some(stamp) = put_off_until(record, turn.now) {
        turn.wait(plan, format!("the next attempt starts at {stamp:.0}"));
        plan.wake_at_stamp(turn.now, stamp);
        return Err(NotYet);
    }
    Ok(())
}

fn start(turn: Turn<'_>, seen: Option<&Observed<CertRecord>>, spec: &Specification, issuer: &IssuerName, plan: &mut Plan) {
    let record = seen.map(|seen| &seen.value);
    let last = record.map_or_else(|| number_of_orphan(turn), |record| record.last_number);
    let number = last.max(turn.highest_number()).next();
    let source = if request::is_needed(turn, record, spec) {
        let request = request::fitting(turn, record, spec);
        if request.is_none() {
            turn.wait(plan, "a node that has its key is to make the request");
        }
        request.map(|request| (request.key.clone(), request.csr.clone(), request.after_removals))
    } else {
        made(turn, number, spec, plan)
    };
    let Some(source) = source else { return };
    let profile = turn.view.spec.issuers.get(issuer).and_then(|issuer| issuer.profile.clone());
    let attempt = transition::new_attempt(number, spec, (issuer.clone(), profile), source, (&turn.view.me, turn.now));
    let record = transition::keyed(record, spec, attempt);
    let base = turn.view.base(&RecordKey::Cert(turn.cert.clone()).key());
    turn.act(plan, Action::Write(turn.cert.clone(), base, Box::new(record), Event::Keyed));
}

/// The last number that a record says which nobody vouches for any more and which is about to be written over; if it can be.
fn number_of_orphan(turn: Turn<'_>) -> Generation {
    let stray = turn.view.strays.get(&RecordKey::Cert(turn.cert.clone()).key()).and_then(|stray| stray.envelope.as_ref());
    let number = stray.and_then(|envelope| envelope.record::<CertRecord>().ok()).map(|record| record.last_number);
    number.filter(|number| number.0 <= ORPHAN_NUMBER_MAX).unwrap_or_default()
}

/// The key and CSR that this node made for the attempt; made now, if they are not there or not fit any more.
fn made(turn: Turn<'_>, number: Generation, spec: &Specification, plan: &mut Plan) -> Option<(SpkiHash, Vec<u8>, u64)> {
    let after_removals = turn.view.removals();
    let is_usable = |drive: &&Drive| {
        let is_fresh = turn.now.mono.since(drive.made_at).as_secs() < KEY_SECONDS_MAX;
        let asked = drive.asked.as_ref();
        is_fresh && asked.is_some_and(|a| a.kind == spec.key && a.names == spec.names && a.after_removals == after_removals)
    };
    if let Some(MadeKey { key, csr }) = turn.drive(number).filter(is_usable).and_then(|drive| drive.made.as_ref()) {
        return Some((key.clone(), csr.clone(), after_removals));
    }
    let wanted = WantedKey { kind: spec.key, names: spec.names.clone(), readers: turn.view.readers(spec), after_removals };
    turn.act(plan, Action::MakeKey(turn.cert.clone(), number, Box::new(wanted)));
    None
}

/// Several issuers take turns as attempts fail.
fn issuer_of<'a>(spec: &'a Specification, record: Option<&CertRecord>) -> &'a IssuerName {
    let count = record.map_or(0, |record| record.failures.count) as usize;
    &spec.issuers[count % spec.issuers.len()]
}

/// When a new generation is wanted; `None`: it was wanted all along.
fn wanted_at(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification) -> Option<Timestamp> {
    let Turn { view, now, cert, .. } = turn;
    let record = record?;
    let placed = record.placed.as_ref()?;
    let is_spent = view.is_placed_exposed(cert, record, spec) || view.is_lost(cert, &placed.key, now);
    if record.renew_requested_at.is_some() || record.new_key || !spec.has_names(&placed.names) || is_spent {
        return Some(now.wall);
    }
    let moment = transition::renewal_moment(cert, placed);
    Some(came_at(record, placed).filter(|came| moment <= *came).map_or(moment, |came| later(came, Duration::from_secs(BORN_DUE_SECONDS))))
}

fn came_at(record: &CertRecord, placed: &Placed) -> Option<Timestamp> {
    record.history.iter().rev().find(|entry| entry.number == placed.placement.generation).map(|entry| entry.ended_at)
}

/// Until when attempts wait after a failure; an operator's request has wiped it.
fn put_off_until(record: Option<&CertRecord>, now: Now) -> Option<Timestamp> {
    let stamp = transition::clamped(record?.failures.not_before?, now);
    (stamp > now.wall).then_some(stamp)
}
