//! What an `issue` node does for each certificate's record.

use super::action::{Action, Event, Subject};
use super::holder::{GRACE, Hold, judge};
use super::part::Part;
use super::turn::{Fitness, Turn};
use super::{aside, claim, drive, specification, transition};
use crate::ca::Problem;
use crate::envelope::Expect;
use crate::key::RecordKey;
use crate::mutants::{Mutant, has};
use crate::names::{IssuerName, NodeName};
use crate::records::{Attempt, AttemptEnd, CertRecord, Step};
use crate::spec::Role;
use crate::time::Mono;
use crate::view::Observed;

pub(super) fn decide(turn: Turn<'_>, part: &mut Part) {
    let local = &turn.view.local;
    // Others must be able to see this life of the node before it holds anything.
    if local.duplicate.is_none() && local.beaten_at.is_some() && turn.facts.may(Role::Issue) {
        certificate(turn, part);
    }
}

fn certificate(turn: Turn<'_>, part: &mut Part) {
    let key = RecordKey::Cert(turn.cert.clone()).key();
    // Whatever is to be done about it, nothing is done with it.
    if turn.view.is_blocked(&key, turn.now.mono) {
        if let Some(moment) = turn.view.settled_at(&key) {
            part.has_come(turn.now, moment);
        }
        let is_stray = turn.view.strays.contains_key(&key);
        return turn
            .wait(part, if is_stray { "what stands in its record does not count" } else { "its record was put right a moment ago" });
    }
    let seen = turn.view.certs.get(turn.cert);
    if let Some(seen) = seen {
        aside::decide(turn, seen, part);
        if let Some(attempt) = &seen.value.attempt {
            return running(turn, seen, attempt, part);
        }
        if specification::decide(turn, seen, part) {
            return;
        }
    }
    claim::decide(turn, seen, part);
}

fn running(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, part: &mut Part) {
    match judge(turn, seen, attempt, part) {
        Hold::Mine if turn.view.local.leaving => turn.release(part, seen, None),
        Hold::Mine => mine(turn, seen, attempt, part),
        Hold::Alive(moment) => part.wake(moment),
        Hold::Unsure(keys) => turn.act(part, Action::Reread(Some(turn.cert.clone()), keys)),
        Hold::Free(since, without) => take_over(turn, seen, attempt, (since, without.as_ref()), part),
    }
}

/// A holder that finds itself unfit lets go before it writes a stamp by a wrong clock or waits for a CA that others can reach.
fn mine(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, part: &mut Part) {
    let failed = turn.drive(attempt.number).is_some_and(|drive| drive.error.is_some());
    // The bar that a failed call has just raised says nothing that the error does not.
    // What was not ordered yet is ordered with the next key.
    if attempt.step == Step::Keyed && is_rolling(turn, &attempt.issuer, part) {
        return;
    }
    let fitness = if failed { turn.clock(&attempt.issuer, part) } else { turn.fitness(&attempt.issuer, part) };
    match fitness {
        Fitness::Fit => drive::decide(turn, seen, attempt, part),
        Fitness::Unknown => turn.wait(part, "this node's clock is compared with the CA's"),
        Fitness::Unfit(why, _) => turn.release(part, seen, Some(Problem::new("", &why, None))),
    }
}

fn take_over(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, (since, without): (Mono, Option<&NodeName>), part: &mut Part) {
    let Turn { view, now, cert, .. } = turn;
    if view.local.leaving {
        return;
    }
    if let Some(stamp) = attempt.not_before.filter(|_| !has(Mutant::IgnorePutOff)).and_then(|stamp| turn.ahead(stamp, part)) {
        turn.wait(part, format!("put off by the CA until {stamp:.0}: {}", problem_text(attempt)));
        return;
    }
    // What a holder left in mid-order is brought to its end: the account gets its new key after that.
    let is_under_way = attempt.holder.is_some() && attempt.step != Step::Keyed;
    if !may_use(turn, &attempt.issuer, part) || !is_under_way && is_rolling(turn, &attempt.issuer, part) {
        return;
    }
    let since = if attempt.holder.is_none() { part.due(view, now, Subject::Cert(cert.clone())).max(since) } else { since };
    let moment = since + GRACE * turn.rank(without, part);
    if now.mono < moment {
        turn.wait(part, "another node goes first");
        return part.wake(moment);
    }
    let fitness = turn.fitness(&attempt.issuer, part);
    if turn.is_fit(fitness, part) {
        if has(Mutant::GiveUpOthers) {
            let end = AttemptEnd::Failed { problem: Problem::new("", "its holder is gone", None) };
            return turn.write(part, seen, transition::ended(cert, &seen.value, end, now, turn.seed), Event::Failed);
        }
        let record = transition::taken_over(&seen.value, &view.me);
        let write = Action::Write(cert.clone(), Expect::Revision(seen.revision.clone()), Box::new(record), Event::TakenOver);
        claim::put_in(turn, Some(&seen.value), false, write, part);
    }
}

fn problem_text(attempt: &Attempt) -> String {
    attempt.problem.as_ref().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// Whether this node can use the issuer now: it knows it, has an account there, and is not barred from it.
pub(super) fn may_use(turn: Turn<'_>, issuer: &IssuerName, part: &mut Part) -> bool {
    if !turn.view.spec.issuers.contains_key(issuer) {
        turn.wait(part, format!("issuer {issuer} is not in this node's configuration"));
        return false;
    }
    part.ties.passing = true;
    if let Some(bar) = turn.view.local.bars.get(issuer).filter(|bar| bar.until > turn.now.mono) {
        return turn.is_fit(Fitness::Unfit(format!("issuer {issuer}: {}", bar.why), bar.until), part);
    }
    if !super::accounts::is_registered(turn.view, issuer) {
        turn.wait(part, format!("the account at issuer {issuer} is being registered"));
        return false;
    }
    true
}

/// Whether the account's key is being changed, so that nothing new is begun there.
pub(super) fn is_rolling(turn: Turn<'_>, issuer: &IssuerName, part: &mut Part) -> bool {
    part.ties.passing = true;
    let is_rolling = super::accounts::is_rolling(turn.view, issuer);
    if is_rolling {
        turn.wait(part, format!("the account at issuer {issuer} gets its new key"));
    }
    is_rolling
}
