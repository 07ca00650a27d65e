//! What an `issue` node does for each certificate's record.

use std::collections::BTreeSet;

use super::action::{Action, Event, Subject};
use super::holder::{GRACE, Hold, judge};
use super::plan::Plan;
use super::turn::{Fitness, Turn};
use super::{aside, claim, drive, specification, transition};
use crate::ca::Problem;
use crate::key::RecordKey;
use crate::names::{CertName, IssuerName, NodeName};
use crate::records::{Attempt, CertRecord, Step};
use crate::spec::Role;
use crate::time::{Mono, Now};
use crate::view::{Observed, View};

pub(super) fn decide(view: &View, now: Now, seed: u64, plan: &mut Plan) {
    // Others must be able to see this life of the node before it holds anything.
    if view.local.duplicate.is_some() || view.local.beaten_at.is_none() || !view.my_roles().contains(&Role::Issue) {
        return;
    }
    let certs: BTreeSet<&CertName> = view.certs.keys().chain(view.wanted.keys()).collect();
    for cert in certs {
        certificate(Turn { view, now, seed, cert }, plan);
    }
}

fn certificate(turn: Turn<'_>, plan: &mut Plan) {
    let key = RecordKey::Cert(turn.cert.clone()).key();
    // Whatever is to be done about it, nothing is done with it.
    if turn.view.is_blocked(&key, turn.now.mono) {
        let is_stray = turn.view.strays.contains_key(&key);
        return turn
            .wait(plan, if is_stray { "what stands in its record does not count" } else { "its record was put right a moment ago" });
    }
    let seen = turn.view.certs.get(turn.cert);
    if let Some(seen) = seen {
        aside::decide(turn, seen, plan);
        if let Some(attempt) = &seen.value.attempt {
            return running(turn, seen, attempt, plan);
        }
        if specification::decide(turn, seen, plan) {
            return;
        }
    }
    claim::decide(turn, seen, plan);
}

fn running(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, plan: &mut Plan) {
    match judge(turn, seen, attempt) {
        Hold::Mine if turn.view.local.leaving => turn.release(plan, seen, None),
        Hold::Mine => mine(turn, seen, attempt, plan),
        Hold::Alive(moment) => plan.wake(moment),
        Hold::Unsure(keys) => turn.act(plan, Action::Reread(Some(turn.cert.clone()), keys)),
        Hold::Free(since, without) => take_over(turn, seen, attempt, (since, without.as_ref()), plan),
    }
}

/// A holder that finds itself unfit lets go before it writes a stamp by a wrong clock or waits for a CA that others can reach.
fn mine(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, plan: &mut Plan) {
    let failed = turn.drive(attempt.number).is_some_and(|drive| drive.error.is_some());
    // The bar that a failed call has just raised says nothing that the error does not.
    // What was not ordered yet is ordered with the next key.
    if attempt.step == Step::Keyed && is_rolling(turn, &attempt.issuer, plan) {
        return;
    }
    let fitness = if failed { turn.clock(&attempt.issuer, plan) } else { turn.fitness(&attempt.issuer, plan) };
    match fitness {
        Fitness::Fit => drive::decide(turn, seen, attempt, plan),
        Fitness::Unknown => turn.wait(plan, "this node's clock is compared with the CA's"),
        Fitness::Unfit(why, _) => turn.release(plan, seen, Some(Problem::new("", &why, None))),
    }
}

fn take_over(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, (since, without): (Mono, Option<&NodeName>), plan: &mut Plan) {
    let Turn { view, now, cert, .. } = turn;
    if view.local.leaving {
        return;
    }
    if let Some(stamp) = attempt.not_before.map(|stamp| transition::clamped(stamp, now)).filter(|stamp| *stamp > now.wall) {
        turn.wait(plan, format!("put off by the CA until {stamp:.0}: {}", problem_text(attempt)));
        return plan.wake_at_stamp(now, stamp);
    }
    // What a holder left in mid-order is brought to its end: the account gets its new key after that.
    let is_under_way = attempt.holder.is_some() && attempt.step != Step::Keyed;
    if !may_use(turn, &attempt.issuer, plan) || !is_under_way && is_rolling(turn, &attempt.issuer, plan) {
        return;
    }
    let since = if attempt.holder.is_none() { plan.due(view, now, Subject::Cert(cert.clone())).max(since) } else { since };
    let moment = since + GRACE * turn.rank(without);
    if now.mono < moment {
        turn.wait(plan, "another node goes first");
        return plan.wake(moment);
    }
    let fitness = turn.fitness(&attempt.issuer, plan);
    if turn.is_fit(fitness, plan) {
        turn.write(plan, seen, transition::taken_over(&seen.value, &view.me), Event::TakenOver);
    }
}

fn problem_text(attempt: &Attempt) -> String {
    attempt.problem.as_ref().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// Whether this node can use the issuer now: it knows it, has an account there, and is not barred from it.
pub(super) fn may_use(turn: Turn<'_>, issuer: &IssuerName, plan: &mut Plan) -> bool {
    if !turn.view.spec.issuers.contains_key(issuer) {
        turn.wait(plan, format!("issuer {issuer} is not in this node's configuration"));
        return false;
    }
    if let Some(bar) = turn.view.local.bars.get(issuer).filter(|bar| bar.until > turn.now.mono) {
        return turn.is_fit(Fitness::Unfit(format!("issuer {issuer}: {}", bar.why), bar.until), plan);
    }
    if !super::accounts::is_registered(turn.view, issuer) {
        turn.wait(plan, format!("the account at issuer {issuer} is being registered"));
        return false;
    }
    true
}

/// Whether the account's key is being changed, so that nothing new is begun there.
pub(super) fn is_rolling(turn: Turn<'_>, issuer: &IssuerName, plan: &mut Plan) -> bool {
    let is_rolling = super::accounts::is_rolling(turn.view, issuer);
    if is_rolling {
        turn.wait(plan, format!("the account at issuer {issuer} gets its new key"));
    }
    is_rolling
}
