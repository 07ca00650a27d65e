//! Driving an attempt: from its step and what the CA last said, the next call or the next compare-and-swap.

use std::time::Duration;

use super::issuance::write;
use super::plan::{Action, Call, Event, Plan, Subject};
use super::transition;
use crate::ca::{AuthorizationStatus, CaError, OrderStatus, OrderView, Problem};
use crate::envelope::Expect;
use crate::names::CertName;
use crate::records::{Attempt, AttemptEnd, CertRecord, Step, VersionRecord};
use crate::time::{Now, later};
use crate::view::{Drive, Observed, View};

/// How long an attempt may go on before `Finalizing`, in seconds.
const ATTEMPT_SECONDS_MAX: u64 = 24 * 3600;
/// How often the order of an attempt that was set aside is looked at, in seconds.
const ASIDE_LOOK_SECONDS: u64 = 600;

/// What comes next for an attempt.
enum Next {
    Call(Call),
    Store,
    Step(Event, Step),
    End(Event, AttemptEnd),
    Placed,
    Wait(crate::time::Mono),
    PutOff(Option<Duration>, Problem),
    Release(Problem),
    SetAside,
}

/// The step of an attempt that this life of this node holds.
pub(super) fn decide(view: &View, cert: &CertName, seen: &Observed<CertRecord>, attempt: &Attempt, now: Now, seed: u64, plan: &mut Plan) {
    let fresh = Drive::default();
    let drive = view.local.drives.get(&(cert.clone(), attempt.number)).unwrap_or(&fresh);
    let record = &seen.value;
    let next =
        if attempt.hindered > 0 && transition::may_set_aside(record, attempt, now) { Next::SetAside } else { next(attempt, drive, now) };
    let (changed, event) = match next {
        Next::Call(call) => return plan.act(view, now, Action::Call(cert.clone(), attempt.number, attempt.issuer.clone(), call)),
        Next::Store => return plan.act(view, now, store(cert, attempt, drive)),
        Next::Wait(moment) => return plan.wake(moment),
        Next::Step(event, step) => (transition::stepped(record, step), event),
        Next::End(event, end) => (transition::ended(cert, record, end, now, seed), event),
        Next::Placed => {
            let Some(placed) = transition::placed(view, cert, record, attempt, drive) else { return };
            (transition::succeeded(record, placed, now), Event::Placed)
        }
        Next::PutOff(after, problem) => (transition::put_off(record, after, problem, now), Event::PutOff),
        Next::Release(problem) => (transition::released(record, Some(problem)), Event::Released),
        Next::SetAside => (transition::set_aside(record, now), Event::SetAside),
    };
    write(view, now, plan, cert, seen, changed, event);
}

fn next(attempt: &Attempt, drive: &Drive, now: Now) -> Next {
    if let Some(error) = &drive.error {
        return after_error(attempt, error);
    }
    let too_long = now.wall > later(attempt.started_at, Duration::from_secs(ATTEMPT_SECONDS_MAX));
    match (&attempt.step, &drive.order) {
        (Step::Keyed, None) => Next::Call(Call::NewOrder(attempt.names.clone(), attempt.profile.clone())),
        (Step::Keyed, Some(order)) => Next::Step(Event::Ordered, Step::Ordered { order: order.url.clone() }),
        (Step::Ordered { order } | Step::Validating { order } | Step::Finalizing { order }, None) => Next::Call(Call::Look(order.clone())),
        (Step::Finalizing { .. }, Some(order)) => finalizing(attempt, drive, order, now),
        (Step::Ordered { .. } | Step::Validating { .. }, Some(_)) if too_long => {
            failed(Problem::new("", "the attempt took longer than a day", None))
        }
        (Step::Ordered { .. }, Some(order)) if order.status == OrderStatus::Pending => {
            Next::Step(Event::Validating, Step::Validating { order: order.url.clone() })
        }
        (Step::Ordered { .. } | Step::Validating { .. }, Some(order)) => before_finalizing(attempt, drive, order, now),
    }
}

fn failed(problem: Problem) -> Next {
    Next::End(Event::Failed, AttemptEnd::Failed { problem })
}

fn before_finalizing(attempt: &Attempt, drive: &Drive, order: &OrderView, now: Now) -> Next {
    match order.status {
        OrderStatus::Pending => validating(attempt, drive, order, now),
        OrderStatus::Invalid => failed(order.problem()),
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
            return failed(Problem::new("", &offered, None));
        };
        if challenge.status == AuthorizationStatus::Pending && !drive.told.contains(&challenge.url) {
            untold.push(challenge.url.clone());
        }
    }
    if untold.is_empty() { look_later(drive, order, now) } else { Next::Call(Call::Ready(untold)) }
}

fn look_later(drive: &Drive, order: &OrderView, now: Now) -> Next {
    if now.mono < drive.look_at { Next::Wait(drive.look_at) } else { Next::Call(Call::Look(order.url.clone())) }
}

fn finalizing(attempt: &Attempt, drive: &Drive, order: &OrderView, now: Now) -> Next {
    match order.status {
        OrderStatus::Ready if !drive.finalized => Next::Call(Call::Finalize(order.url.clone(), attempt.csr.clone())),
        OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => look_later(drive, order, now),
        OrderStatus::Invalid => failed(order.problem()),
        OrderStatus::Valid => issued(attempt, drive, order),
    }
}

fn issued(attempt: &Attempt, drive: &Drive, order: &OrderView) -> Next {
    match (&drive.chain, &drive.version) {
        (None, _) => Next::Call(Call::Fetch(order.url.clone())),
        (Some((leaf, _)), _) if leaf.key != attempt.key => Next::End(Event::NotOurs, AttemptEnd::NotOurs),
        (Some(_), None) => Next::Store,
        (Some(_), Some(_)) => Next::Placed,
    }
}

/// What an error of the latest call means. Before an order exists the CA's refusal ends the attempt; later only the order's state does.
fn after_error(attempt: &Attempt, error: &CaError) -> Next {
    match error {
        CaError::Unreachable(why) => Next::Release(Problem::new("", why, None)),
        CaError::Busy { problem, retry_after } => Next::PutOff(*retry_after, problem.clone()),
        CaError::Refused(problem) if attempt.step == Step::Keyed => failed(problem.clone()),
        CaError::Refused(problem) | CaError::NotFound(problem) => Next::PutOff(None, problem.clone()),
        CaError::Malformed(why) => Next::Release(Problem::new("", why, None)),
    }
}

fn store(cert: &CertName, attempt: &Attempt, drive: &Drive) -> Action {
    let chain = drive.chain.as_ref().map(|(_, pem)| pem.clone()).unwrap_or_default();
    let version = VersionRecord {
        cert: cert.clone(),
        generation: attempt.number,
        key: attempt.key.clone(),
        issuer: attempt.issuer.clone(),
        chain,
        extra: Default::default(),
    };
    Action::StoreVersion(cert.clone(), Box::new(version))
}

/// Attempts that were set aside are only looked at: what the CA has issued after all is stored, and placed if nothing newer is.
pub(super) fn set_aside(view: &View, cert: &CertName, seen: &Observed<CertRecord>, now: Now, plan: &mut Plan) {
    for attempt in &seen.value.set_aside {
        if view.local.leaving || super::holder::my_rank(view, now, cert.as_str(), None) > 0 {
            return;
        }
        aside(view, cert, seen, attempt, now, plan);
    }
}

fn aside(view: &View, cert: &CertName, seen: &Observed<CertRecord>, attempt: &Attempt, now: Now, plan: &mut Plan) {
    let fresh = Drive::default();
    let drive = view.local.drives.get(&(cert.clone(), attempt.number)).unwrap_or(&fresh);
    let subject = Subject::Aside(cert.clone(), attempt.number);
    let call = |call| Action::Call(cert.clone(), attempt.number, attempt.issuer.clone(), call);
    let end =
        |record: CertRecord| Action::Write(cert.clone(), Expect::Revision(seen.revision.clone()), Box::new(record), Event::AsideEnded);
    let status = drive.order.as_ref().map(|order| order.status);
    let gone = matches!(drive.error, Some(CaError::NotFound(_))) && transition::order_expired(attempt, now);
    let action = match (status, &drive.chain, &drive.version) {
        (Some(OrderStatus::Invalid), ..) => end(transition::aside_ended(&seen.value, attempt, None, now)),
        _ if gone => end(transition::aside_ended(&seen.value, attempt, None, now)),
        (Some(OrderStatus::Valid), Some((leaf, _)), _) if leaf.key != attempt.key => {
            end(transition::aside_ended(&seen.value, attempt, None, now))
        }
        (Some(OrderStatus::Valid), Some(_), Some(_)) => {
            let placed = transition::placed(view, cert, &seen.value, attempt, drive);
            end(transition::aside_ended(&seen.value, attempt, placed, now))
        }
        (Some(OrderStatus::Valid), Some(_), None) => store(cert, attempt, drive),
        (Some(OrderStatus::Valid), None, _) => call(Call::Fetch(attempt.step.order().unwrap_or_default().to_owned())),
        _ => {
            let since = drive.look_at.max(seen.changed_at) + Duration::from_secs(ASIDE_LOOK_SECONDS);
            if now.mono < since {
                return plan.wake(since);
            }
            call(Call::Look(attempt.step.order().unwrap_or_default().to_owned()))
        }
    };
    plan.act_on(view, now, subject, action);
}
