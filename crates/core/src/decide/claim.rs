//! Whether a new attempt is due, and starting it: the key first, then the record.

use super::holder::{GRACE, my_rank};
use super::issuance::{clock_is_right, may_use};
use super::plan::{Action, Event, Plan, Subject, based_on};
use super::transition;
use crate::names::{CertName, Generation, IssuerName};
use crate::records::CertRecord;
use crate::spec::Specification;
use crate::time::{Now, Timestamp};
use crate::view::{MadeKey, Observed, View};

pub(super) fn decide(view: &View, cert: &CertName, seen: Option<&Observed<CertRecord>>, now: Now, plan: &mut Plan) {
    let Some(spec) = seen.map(|s| &s.value.spec).or_else(|| view.spec.certificates.get(cert)) else { return };
    if view.local.leaving {
        return;
    }
    let record = seen.map(|s| &s.value);
    if let Some(stamp) = wanted_at(cert, record, now).filter(|stamp| *stamp > now.wall) {
        return plan.wake_at_stamp(now, stamp);
    }
    if let Some(stamp) = put_off_until(record, now) {
        plan.wait(cert, format!("the next attempt starts at {stamp}"));
        return plan.wake_at_stamp(now, stamp);
    }
    if view.placed_nodes(cert).is_empty() {
        return plan.wait(cert, "no node on which it is placed has joined the fleet");
    }
    let issuer = issuer_of(spec, record);
    if !may_use(view, cert, issuer, now, plan) {
        return;
    }
    let since = plan.due(view, now, Subject::Cert(cert.clone()));
    let turn = since + GRACE * my_rank(view, now, cert.as_str(), None);
    if now.mono < turn {
        plan.wait(cert, "another node goes first");
        return plan.wake(turn);
    }
    if clock_is_right(view, cert, issuer, now, plan) {
        start(view, cert, seen, spec, issuer, now, plan);
    }
}

#[allow(clippy::too_many_arguments, reason = "one call site; the attempt's parts")]
fn start(
    view: &View,
    cert: &CertName,
    seen: Option<&Observed<CertRecord>>,
    spec: &Specification,
    issuer: &IssuerName,
    now: Now,
    plan: &mut Plan,
) {
    let number = next_number(view, cert, seen.map(|s| &s.value));
    let made = view.local.drives.get(&(cert.clone(), number)).and_then(|drive| drive.made.as_ref());
    let Some(MadeKey { key, csr }) = made else {
        return plan.act(view, now, Action::MakeKey(cert.clone(), number, spec.key, spec.names.clone()));
    };
    let profile = view.spec.issuers.get(issuer).and_then(|issuer| issuer.profile.clone());
    let attempt = transition::new_attempt(number, spec, issuer.clone(), profile, key.clone(), csr.clone(), &view.me, now);
    let record = transition::keyed(seen.map(|s| &s.value), spec, attempt);
    let base = based_on(seen.map(|s| &s.revision));
    plan.act(view, now, Action::Write(cert.clone(), base, Box::new(record), Event::Keyed));
}

/// Above everything that the record, the reports and this node's memory have seen.
fn next_number(view: &View, cert: &CertName, record: Option<&CertRecord>) -> Generation {
    let recorded = record.map_or(Generation(0), |r| r.last_number);
    let reported = view.reports.get(cert).into_iter().flat_map(|reports| reports.values()).map(|seen| seen.value.generation).max();
    let remembered = view.local.memory.get(cert).map_or(Generation(0), |memory| memory.number);
    let made = recorded.max(reported.unwrap_or_default());
    // A key that this process has just made for the next number counts as the next, not as seen.
    let pending = view.local.drives.contains_key(&(cert.clone(), remembered)) && remembered > made;
    if pending { remembered } else { made.max(remembered).next() }
}

/// Several issuers take turns as attempts fail.
fn issuer_of<'a>(spec: &'a Specification, record: Option<&CertRecord>) -> &'a IssuerName {
    let count = record.map_or(0, |r| r.failures.count) as usize;
    &spec.issuers[count % spec.issuers.len()]
}

/// When a new generation is wanted; `None`: it was wanted all along.
fn wanted_at(cert: &CertName, record: Option<&CertRecord>, now: Now) -> Option<Timestamp> {
    let record = record?;
    let placed = record.placed.as_ref()?;
    if record.renew_requested_at.is_some() || !record.spec.has_names(&placed.names) {
        return Some(now.wall);
    }
    Some(transition::renewal_moment(cert, placed))
}

/// Until when attempts wait after a failure; an operator's request has wiped it.
fn put_off_until(record: Option<&CertRecord>, now: Now) -> Option<Timestamp> {
    let record = record?;
    let stamp = transition::clamped(record.failures.not_before?, now);
    (stamp > now.wall).then_some(stamp)
}
