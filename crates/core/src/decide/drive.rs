//! Driving an attempt: from its step and what the CA last said, the next call or the next compare-and-swap.

use std::time::Duration;

use super::action::{Action, Call, Event};
use super::part::Part;
use super::transition;
use super::turn::Turn;
use crate::ca::{AuthorizationStatus, CaError, OrderStatus, OrderView, Problem};
use crate::mutants::{Mutant, has};
use crate::names::CertName;
use crate::records::{Attempt, AttemptEnd, CertRecord, Step, VersionRecord};
use crate::time::{Mono, Now, Timestamp, later};
use crate::view::{Drive, Observed};

/// How long an attempt may go on before `Finalizing`, in seconds.
const ATTEMPT_SECONDS_MAX: u64 = 24 * 3600;
/// A CA that wants to be looked at later than this gets its attempt put off, so that nobody holds it meanwhile, in seconds.
const HOLD_SECONDS_MAX: u64 = 60;
/// After this many refused calls on an order that stands as it did, the attempt is put off; before, the order is looked at again.
const REFUSALS_MAX: u32 = 3;
/// After this many looks (some two minutes) at an order that stands as it did, the CA counts as silent, and the attempt is put off.
const LOOKS_BEFORE_SILENT: u32 = 16;

/// What comes next for an attempt.
enum Next {
    Call(Call),
    Store,
    Step(Event, Step),
    Failed(Problem),
    NotOurs,
    Placed,
    Wait(Mono),
    PutOff(Option<Duration>, Problem),
    Release(Problem),
}

/// The step of an attempt that this life of this node holds.
pub(super) fn decide(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, part: &mut Part) {
    let fresh = Drive::default();
    let drive = turn.drive(attempt.number).unwrap_or(&fresh);
    let record = &seen.value;
    let in_trouble_again = drive.error.is_some() && attempt.problem.is_some();
    let is_stuck = in_trouble_again || is_silent(drive, attempt);
    if is_stuck && transition::may_set_aside(record, attempt, turn.is_spent(record, &record.spec, part), turn.now) {
        return turn.write(part, seen, transition::set_aside(record, turn.now), Event::SetAside);
    }
    let end = |end| transition::ended(turn.cert, record, end, turn.now, turn.seed);
    let (changed, event) = match next(turn, attempt, drive) {
        Next::Call(call) => return turn.act(part, Action::Call(turn.cert.clone(), attempt.number, attempt.issuer.clone(), call)),
        Next::Store => return turn.act(part, store(turn.cert, attempt, drive)),
        Next::Wait(moment) => {
            turning_points(record, attempt).into_iter().for_each(|stamp| part.wake_at_stamp(turn.now, stamp));
            return part.wake(moment);
        }
        Next::Step(event, step) => (transition::stepped(record, step), event),
        Next::Failed(problem) => (end(AttemptEnd::Failed { problem }), Event::Failed),
        Next::NotOurs => (end(AttemptEnd::NotOurs), Event::NotOurs),
        Next::Placed => {
            let Some(placed) = transition::placed(turn.view, turn.cert, record, attempt, drive) else { return };
            (transition::succeeded(record, placed, turn.is_superseded(attempt), turn.now), Event::Placed)
        }
        Next::PutOff(after, problem) => (transition::put_off(record, after, problem, turn.now), Event::PutOff),
        Next::Release(problem) => (transition::released(record, Some(problem)), Event::Released),
    };
    turn.write(part, seen, changed, event);
}

/// The moments from which on something else is done with an attempt, though nothing happens to it.
fn turning_points(record: &CertRecord, attempt: &Attempt) -> Vec<Timestamp> {
    let after = |seconds| later(attempt.started_at, Duration::from_secs(seconds));
    let points = [after(ATTEMPT_SECONDS_MAX), after(transition::SET_ASIDE_SECONDS), transition::order_expires(attempt)];
    points.into_iter().chain(record.placed.as_ref().map(transition::near_at)).collect()
}

/// Looked at long without news; not as long once that has put the attempt off before.
fn is_silent(drive: &Drive, attempt: &Attempt) -> bool {
    drive.looks >= (LOOKS_BEFORE_SILENT >> attempt.hindered.min(3))
}

fn next(turn: Turn<'_>, attempt: &Attempt, drive: &Drive) -> Next {
    let now = turn.now;
    if !matches!(attempt.step, Step::Finalizing { .. }) {
        if now.wall >= later(attempt.started_at, Duration::from_secs(ATTEMPT_SECONDS_MAX)) {
            return Next::Failed(too_long(attempt));
        }
        if turn.is_superseded(attempt) {
            return Next::Failed(Problem::new("", "a newer number has been seen: the store was restored from a backup", None));
        }
    }
    if let Some(error) = &drive.error {
        return after_error(attempt, drive, error, now);
    }
    match (&attempt.step, &drive.order) {
        (Step::Keyed, None) => Next::Call(Call::NewOrder(attempt.names.clone(), attempt.profile.clone())),
        (Step::Keyed, Some(_)) if has(Mutant::ForgetOrder) => Next::Step(Event::Ordered, Step::Ordered { order: String::new() }),
        (Step::Keyed, Some(order)) => Next::Step(Event::Ordered, Step::Ordered { order: order.url.clone() }),
        (Step::Ordered { order } | Step::Validating { order } | Step::Finalizing { order }, None) => Next::Call(Call::Look(order.clone())),
        (Step::Finalizing { .. }, Some(order)) => finalizing(attempt, drive, order, now),
        (Step::Ordered { .. }, Some(order)) if order.status == OrderStatus::Pending => {
            Next::Step(Event::Validating, Step::Validating { order: order.url.clone() })
        }
        (Step::Ordered { .. } | Step::Validating { .. }, Some(order)) => before_finalizing(attempt, drive, order, now),
    }
}

fn too_long(attempt: &Attempt) -> Problem {
    let unhindered = || Problem::new("", "the attempt took longer than a day", None);
    attempt.problem.clone().unwrap_or_else(unhindered)
}

fn before_finalizing(attempt: &Attempt, drive: &Drive, order: &OrderView, now: Now) -> Next {
    match order.status {
        OrderStatus::Pending => validating(attempt, drive, order, now),
        OrderStatus::Invalid => Next::Failed(order.problem()),
        OrderStatus::Ready if has(Mutant::FinalizeUnannounced) => Next::Call(Call::Finalize(order.url.clone(), attempt.csr.clone())),
        OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => {
            Next::Step(Event::Finalizing, Step::Finalizing { order: order.url.clone() })
        }
    }
}

fn validating(attempt: &Attempt, drive: &Drive, order: &OrderView, now: Now) -> Next {
    let mut untold = Vec::new();
    for authorization in order.authorizations.iter().filter(|a| a.status == AuthorizationStatus::Pending) {
        let Some(challenge) = authorization.challenges.iter().find(|c| c.kind == Some(attempt.challenge)) else {
            let offered = format!("the CA offers no {} challenge for {}", attempt.challenge, authorization.identifier);
            return Next::Failed(Problem::new("", &offered, None));
        };
        if challenge.status == AuthorizationStatus::Pending && !drive.told.contains(&challenge.url) {
            untold.push(challenge.url.clone());
        }
    }
    if untold.is_empty() { look_later(attempt, drive, order, now) } else { Next::Call(Call::Ready(untold)) }
}

/// Nothing is held while waiting long.
fn look_later(attempt: &Attempt, drive: &Drive, order: &OrderView, now: Now) -> Next {
    let span = drive.look_at.since(now.mono);
    if span.as_secs() > HOLD_SECONDS_MAX {
        return Next::PutOff(Some(span), Problem::new("", "the CA wants to be asked about the order later", None));
    }
    if is_silent(drive, attempt) {
        return Next::PutOff(None, Problem::new("", "the CA has not come further with the order for minutes", None));
    }
    if now.mono < drive.look_at { Next::Wait(drive.look_at) } else { Next::Call(Call::Look(order.url.clone())) }
}

fn finalizing(attempt: &Attempt, drive: &Drive, order: &OrderView, now: Now) -> Next {
    match order.status {
        OrderStatus::Ready if !drive.finalized => Next::Call(Call::Finalize(order.url.clone(), attempt.csr.clone())),
        OrderStatus::Processing if has(Mutant::EndInFinalizing) && is_silent(drive, attempt) => Next::Failed(order.problem()),
        OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => look_later(attempt, drive, order, now),
        OrderStatus::Invalid => Next::Failed(order.problem()),
        OrderStatus::Valid => issued(attempt, drive, order),
    }
}

fn issued(attempt: &Attempt, drive: &Drive, order: &OrderView) -> Next {
    match (&drive.chain, &drive.version) {
        (None, _) => Next::Call(Call::Fetch(order.url.clone())),
        (Some((leaf, _)), _) if leaf.key != attempt.key && !has(Mutant::SkipLeafKey) => Next::NotOurs,
        (Some(_), None) => Next::Store,
        (Some(_), Some(_)) => Next::Placed,
    }
}

/// What an error of the latest call means. Before an order exists the CA's refusal ends the attempt; later only the order's state does, and
/// a refusal means that another holder was faster: the order is looked at again.
fn after_error(attempt: &Attempt, drive: &Drive, error: &CaError, now: Now) -> Next {
    match (error, attempt.step.order()) {
        (CaError::Unreachable(why) | CaError::Malformed(why), _) => Next::Release(Problem::new("", why, None)),
        (CaError::Busy { problem, retry_after }, _) => Next::PutOff(*retry_after, problem.clone()),
        (CaError::Refused(problem) | CaError::NotFound(problem), None) => Next::Failed(problem.clone()),
        (CaError::Refused(_), Some(order)) if drive.refusals <= REFUSALS_MAX => Next::Call(Call::Look(order.to_owned())),
        (CaError::NotFound(problem), Some(_)) if transition::order_expired(attempt, now) => Next::Failed(problem.clone()),
        (CaError::Refused(problem) | CaError::NotFound(problem), Some(_)) => Next::PutOff(None, problem.clone()),
    }
}

pub(super) fn store(cert: &CertName, attempt: &Attempt, drive: &Drive) -> Action {
    let chain = drive.chain.as_ref().map(|(_, pem)| pem.clone()).unwrap_or_default();
    let version = VersionRecord {
        cert: cert.clone(),
        generation: attempt.number,
        key: attempt.key.clone(),
        issuer: attempt.issuer.clone(),
        chain,
        after_removals: attempt.after_removals,
        extra: Default::default(),
    };
    Action::StoreVersion(cert.clone(), Box::new(version))
}
