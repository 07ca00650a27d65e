//! Attempts that were set aside: only looked at, now and then. What the CA has issued after all is stored, and placed if nothing newer is.

use std::time::Duration;

use super::action::{Action, Call, Event, Subject};
use super::drive::store;
use super::part::Part;
use super::transition;
use super::turn::{Fitness, Turn};
use crate::ca::{CaError, OrderStatus};
use crate::envelope::Expect;
use crate::records::{Attempt, CertRecord, Placed};
use crate::view::{Drive, Observed};

/// How often the order of such an attempt is looked at by the first-ranked node, in seconds; later ranks look more rarely.
const LOOK_SECONDS: u64 = 600;

pub(super) fn decide(turn: Turn<'_>, seen: &Observed<CertRecord>, part: &mut Part) {
    if turn.view.local.leaving {
        return;
    }
    for attempt in &seen.value.set_aside {
        one(turn, seen, attempt, part);
    }
}

/// What comes next for it.
enum Next {
    Call(Call),
    Store,
    End(Option<Placed>),
}

fn one(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, part: &mut Part) {
    let fresh = Drive::default();
    let drive = turn.drive(attempt.number).unwrap_or(&fresh);
    let next = next(turn, &seen.value, attempt, drive);
    let is_look = matches!(next, Next::Call(Call::Look(_)));
    let since = drive.look_at.max(seen.changed_at) + Duration::from_secs(LOOK_SECONDS) * (1 + turn.rank(None, part));
    part.wake_at_stamp(turn.now, transition::order_expires(attempt));
    if (is_look || drive.error.is_some()) && turn.now.mono < since {
        return part.wake(since);
    }
    match turn.fitness(&attempt.issuer, part) {
        Fitness::Fit => {}
        Fitness::Unknown => return,
        Fitness::Unfit(_, until) => return part.wake(until),
    }
    let cert = turn.cert.clone();
    let action = match next {
        Next::Call(call) => Action::Call(cert, attempt.number, attempt.issuer.clone(), call),
        Next::Store => store(turn.cert, attempt, drive),
        Next::End(placed) => {
            let record = transition::aside_ended(&seen.value, attempt, placed, turn.now);
            Action::Write(cert, Expect::Revision(seen.revision.clone()), Box::new(record), Event::AsideEnded)
        }
    };
    part.act_on(turn.view, turn.now, Subject::Aside(turn.cert.clone(), attempt.number), action);
}

fn next(turn: Turn<'_>, record: &CertRecord, attempt: &Attempt, drive: &Drive) -> Next {
    let order = attempt.step.order().unwrap_or_default().to_owned();
    let status = drive.order.as_ref().map(|order| order.status);
    let is_gone = matches!(drive.error, Some(CaError::NotFound(_))) && transition::order_expired(attempt, turn.now);
    match (status, &drive.chain, &drive.version) {
        _ if is_gone => Next::End(None),
        (Some(OrderStatus::Invalid), ..) => Next::End(None),
        (Some(OrderStatus::Valid), None, _) => Next::Call(Call::Fetch(order)),
        (Some(OrderStatus::Valid), Some((leaf, _)), _) if leaf.key != attempt.key => Next::End(None),
        (Some(OrderStatus::Valid), Some(_), None) => Next::Store,
        (Some(OrderStatus::Valid), Some(_), Some(_)) => Next::End(transition::placed(turn.view, turn.cert, record, attempt, drive)),
        _ => Next::Call(Call::Look(order)),
    }
}
