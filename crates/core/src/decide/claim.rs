//! Whether a new attempt is due, and starting it: the key first, then the record.

use std::time::Duration;

use super::holder::GRACE;
use super::issuance::may_use;
use super::plan::{Action, Event, Plan, Subject, based_on};
use super::transition;
use super::turn::Turn;
use crate::names::{CertName, Generation, IssuerName};
use crate::records::{CertRecord, Placed};
use crate::spec::Specification;
use crate::time::{Now, Timestamp, later};
use crate::view::{Drive, MadeKey, Observed};

/// A certificate that is due for renewal from its first day (a CA's mistake) is renewed no sooner than this after it came, in seconds.
const BORN_DUE_SECONDS: u64 = 3600;
/// A key that was made and not used for this long is not used any more, since nothing refers to it and it will be removed, in seconds.
const KEY_SECONDS_MAX: u64 = 3600;

pub(super) fn decide(turn: Turn<'_>, seen: Option<&Observed<CertRecord>>, plan: &mut Plan) {
    let Turn { view, now, cert, .. } = turn;
    let record = seen.map(|seen| &seen.value);
    let Some(spec) = record.map(|record| &record.spec).or_else(|| view.spec.certificates.get(cert)) else { return };
    if view.local.leaving {
        return;
    }
    if let Some(stamp) = wanted_at(cert, record, now).filter(|stamp| *stamp > now.wall) {
        return plan.wake_at_stamp(now, stamp);
    }
    if let Some(stamp) = put_off_until(record, now) {
        turn.wait(plan, format!("the next attempt starts at {stamp:.0}"));
        return plan.wake_at_stamp(now, stamp);
    }
    if view.placed_nodes(cert).is_empty() {
        return turn.wait(plan, "no node on which it is placed has joined the fleet");
    }
    let issuer = issuer_of(spec, record);
    if !may_use(turn, issuer, plan) {
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

fn start(turn: Turn<'_>, seen: Option<&Observed<CertRecord>>, spec: &Specification, issuer: &IssuerName, plan: &mut Plan) {
    let record = seen.map(|seen| &seen.value);
    let number = record.map_or(Generation(0), |record| record.last_number).max(turn.highest_number()).next();
    let is_usable = |drive: &&Drive| {
        let is_fresh = turn.now.mono.since(drive.made_at).as_secs() < KEY_SECONDS_MAX;
        is_fresh && drive.asked.as_ref() == Some(&(spec.key, spec.names.clone()))
    };
    let Some(MadeKey { key, csr }) = turn.drive(number).filter(is_usable).and_then(|drive| drive.made.as_ref()) else {
        return turn.act(plan, Action::MakeKey(turn.cert.clone(), number, spec.key, spec.names.clone()));
    };
    let profile = turn.view.spec.issuers.get(issuer).and_then(|issuer| issuer.profile.clone());
    let attempt = transition::new_attempt(number, spec, (issuer.clone(), profile), (key.clone(), csr.clone()), (&turn.view.me, turn.now));
    let record = transition::keyed(record, spec, attempt);
    let base = based_on(seen.map(|seen| &seen.revision));
    turn.act(plan, Action::Write(turn.cert.clone(), base, Box::new(record), Event::Keyed));
}

/// Several issuers take turns as attempts fail.
fn issuer_of<'a>(spec: &'a Specification, record: Option<&CertRecord>) -> &'a IssuerName {
    let count = record.map_or(0, |record| record.failures.count) as usize;
    &spec.issuers[count % spec.issuers.len()]
}

/// When a new generation is wanted; `None`: it was wanted all along.
fn wanted_at(cert: &CertName, record: Option<&CertRecord>, now: Now) -> Option<Timestamp> {
    let record = record?;
    let placed = record.placed.as_ref()?;
    if record.renew_requested_at.is_some() || !record.spec.has_names(&placed.names) {
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
