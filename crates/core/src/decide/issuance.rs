//! What an `issue` node does for each certificate's record.

use std::collections::BTreeSet;

use super::holder::{GRACE, Hold, judge, my_rank};
use super::plan::{Action, Event, Plan, Subject};
use super::{claim, drive, specification, transition};
use crate::envelope::Expect;
use crate::names::{CertName, IssuerName};
use crate::records::{Attempt, CertRecord};
use crate::spec::Role;
use crate::time::{Mono, Now};
use crate::view::{Observed, View};

/// How far this node's clock may be off before it leaves issuing to others, in seconds.
pub(super) const CLOCK_OFF_SECONDS_MAX: i64 = 600;
/// How long a comparison with the CA's clock is good for, in seconds.
const CLOCK_CHECK_SECONDS: u64 = 3600;
/// How long a bad one is, in seconds.
const CLOCK_RECHECK_SECONDS: u64 = 300;
/// A wall clock that moved this far from the monotonic one since the comparison was set meanwhile, in seconds.
const CLOCK_JUMP_SECONDS: i64 = 60;

pub(super) fn decide(view: &View, now: Now, seed: u64, plan: &mut Plan) {
    if view.local.duplicate.is_some() {
        return;
    }
    if !view.my_roles().contains(&Role::Issue) {
        return;
    }
    let certs: BTreeSet<&CertName> = view.certs.keys().chain(view.spec.certificates.keys()).collect();
    for cert in certs {
        certificate(view, cert, now, seed, plan);
    }
}

fn certificate(view: &View, cert: &CertName, now: Now, seed: u64, plan: &mut Plan) {
    let Some(seen) = view.certs.get(cert) else { return claim::decide(view, cert, None, now, plan) };
    drive::set_aside(view, cert, seen, now, plan);
    if let Some(attempt) = &seen.value.attempt {
        return running(view, cert, seen, attempt, now, seed, plan);
    }
    if specification::decide(view, cert, seen, now, plan) {
        return;
    }
    claim::decide(view, cert, Some(seen), now, plan);
}

fn running(view: &View, cert: &CertName, seen: &Observed<CertRecord>, attempt: &Attempt, now: Now, seed: u64, plan: &mut Plan) {
    match judge(view, cert, seen, attempt, now) {
        Hold::Mine if view.local.leaving => write(view, now, plan, cert, seen, transition::released(&seen.value, None), Event::Released),
        Hold::Mine => drive::decide(view, cert, seen, attempt, now, seed, plan),
        Hold::Alive(moment) => plan.wake(moment),
        Hold::Unsure(keys) => plan.act(view, now, Action::Reread(cert.clone(), keys)),
        Hold::Free(since, without) => take_over(view, cert, seen, attempt, since, without.as_ref(), now, plan),
    }
}

#[allow(clippy::too_many_arguments, reason = "one call site; the judgement's parts")]
fn take_over(
    view: &View,
    cert: &CertName,
    seen: &Observed<CertRecord>,
    attempt: &Attempt,
    since: Mono,
    without: Option<&crate::names::NodeName>,
    now: Now,
    plan: &mut Plan,
) {
    if view.local.leaving {
        return;
    }
    if let Some(stamp) = attempt.not_before.map(|stamp| transition::clamped(stamp, now)).filter(|stamp| *stamp > now.wall) {
        plan.wait(cert, format!("put off by the CA until {stamp}: {}", problem_text(attempt)));
        return plan.wake_at_stamp(now, stamp);
    }
    if !may_use(view, cert, &attempt.issuer, now, plan) {
        return;
    }
    let since = if attempt.holder.is_none() { plan.due(view, now, Subject::Cert(cert.clone())).max(since) } else { since };
    let turn = since + GRACE * my_rank(view, now, cert.as_str(), without);
    if now.mono < turn {
        plan.wait(cert, "another node goes first");
        return plan.wake(turn);
    }
    if clock_is_right(view, cert, &attempt.issuer, now, plan) {
        write(view, now, plan, cert, seen, transition::taken_over(&seen.value, &view.me), Event::TakenOver);
    }
}

fn problem_text(attempt: &Attempt) -> String {
    attempt.problem.as_ref().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// One compare-and-swap of a certificate's record.
pub(super) fn write(
    view: &View,
    now: Now,
    plan: &mut Plan,
    cert: &CertName,
    seen: &Observed<CertRecord>,
    record: CertRecord,
    event: Event,
) {
    plan.act(view, now, Action::Write(cert.clone(), Expect::Revision(seen.revision.clone()), Box::new(record), event));
}

/// Whether this node can use the issuer now: it knows it, has an account there, and is not barred from it.
pub(super) fn may_use(view: &View, cert: &CertName, issuer: &IssuerName, now: Now, plan: &mut Plan) -> bool {
    if !view.spec.issuers.contains_key(issuer) {
        plan.wait(cert, format!("issuer {issuer} is not in this node's configuration"));
        return false;
    }
    if let Some(bar) = view.local.bars.get(issuer).filter(|bar| bar.until > now.mono) {
        plan.wait(cert, format!("issuer {issuer}: {}", bar.why));
        plan.wake(bar.until);
        return false;
    }
    if !super::accounts::is_registered(view, issuer) {
        plan.wait(cert, format!("the account at issuer {issuer} is being registered"));
        return false;
    }
    true
}

/// Whether this node's clock agrees with the CA's; asks the CA when that was not known or may have changed.
pub(super) fn clock_is_right(view: &View, cert: &CertName, issuer: &IssuerName, now: Now, plan: &mut Plan) -> bool {
    let check = view.local.clocks.get(issuer).filter(|check| {
        let ran = now.mono.since(check.at);
        let off = check.ahead_seconds.abs() > CLOCK_OFF_SECONDS_MAX;
        let shown = now.wall.as_second().saturating_sub(check.wall.as_second());
        let jumped = (shown - i64::try_from(ran.as_secs()).unwrap_or(i64::MAX)).abs() > CLOCK_JUMP_SECONDS;
        !jumped && ran.as_secs() < if off { CLOCK_RECHECK_SECONDS } else { CLOCK_CHECK_SECONDS }
    });
    let Some(check) = check else {
        plan.wait(cert, "this node's clock is compared with the CA's");
        plan.act(view, now, Action::CheckClock(issuer.clone()));
        return false;
    };
    if check.ahead_seconds.abs() <= CLOCK_OFF_SECONDS_MAX {
        return true;
    }
    plan.wait(cert, format!("this node's clock is {} s off issuer {issuer}'s", check.ahead_seconds.abs()));
    plan.wake(check.at + std::time::Duration::from_secs(CLOCK_RECHECK_SECONDS));
    false
}
