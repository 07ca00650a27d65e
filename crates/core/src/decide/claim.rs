//! Whether a new attempt is due, and starting it: the key first, then the record.

use std::time::Duration;

use super::action::{Action, Event, Subject, WantedKey};
use super::holder::GRACE;
use super::issuance::{is_rolling, may_use};
use super::part::{Part, Urgency};
use super::turn::Turn;
use super::{request, transition};
use crate::key::RecordKey;
use crate::mutants::{Mutant, has};
use crate::names::{Generation, IssuerName, SpkiHash};
use crate::records::{CertRecord, Placed};
use crate::spec::Specification;
use crate::time::{Timestamp, later};
use crate::view::{Drive, MadeKey, Observed};

/// A certificate that is due for renewal from its first day (a CA's mistake) is renewed no sooner than this after it came, in seconds.
const BORN_DUE_SECONDS: u64 = 3600;
/// A key that was made and not used for this long is not used any more, since nothing refers to it and it will be removed, in seconds.
const KEY_SECONDS_MAX: u64 = 3600;

/// Highest number of such a record that is gone by: beyond it there must be room for more.
const ORPHAN_NUMBER_MAX: u64 = 1 << 32;

/// Most attempts that one node drives at once: a CA that is asked for hundreds at a time answers none of them in time, and the nodes then take
/// it for one that is away.
pub const ATTEMPTS_AT_ONCE_MAX: usize = 16;

pub(super) fn decide(turn: Turn<'_>, seen: Option<&Observed<CertRecord>>, part: &mut Part) {
    let Turn { view, now, cert, .. } = turn;
    let record = seen.map(|seen| &seen.value);
    let own = view.wanted.get(cert).filter(|_| has(Mutant::OwnNames));
    let Some(spec) = own.or_else(|| view.specification(cert)) else { return };
    if view.local.leaving || due(turn, record, spec, part).is_err() {
        return;
    }
    part.ties.passing = true;
    if view.placed_nodes(cert).next().is_none() {
        return turn.wait(part, "no node on which it is placed has joined the fleet");
    }
    let issuer = issuer_of(spec, record);
    if !may_use(turn, issuer, part) || is_rolling(turn, issuer, part) {
        return;
    }
    let moment = part.due(view, now, Subject::Cert(cert.clone())) + GRACE * turn.rank(None, part);
    if now.mono < moment {
        turn.wait(part, "another node goes first");
        return part.wake(moment);
    }
    let fitness = turn.fitness(issuer, part);
    if turn.is_fit(fitness, part) {
        start(turn, seen, spec, issuer, part);
    }
}

/// A new generation is not wanted yet.
pub(super) struct NotYet;

/// Whether a new generation is wanted now; if not, the part wakes when it is.
pub(super) fn due(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification, part: &mut Part) -> Result<(), NotYet> {
    if let Some(stamp) = wanted_at(turn, record, spec, part).filter(|stamp| *stamp > turn.now.wall) {
        part.wake_at_stamp(turn.now, stamp);
        return Err(NotYet);
    }
    // An operator's request has wiped it.
    let not_before = record.and_then(|record| record.failures.not_before).filter(|_| !has(Mutant::IgnoreBackoff));
    if let Some(stamp) = not_before.and_then(|stamp| turn.ahead(stamp, part)) {
        turn.wait(part, format!("the next attempt starts at {stamp:.0}"));
        return Err(NotYet);
    }
    Ok(())
}

fn start(turn: Turn<'_>, seen: Option<&Observed<CertRecord>>, spec: &Specification, issuer: &IssuerName, part: &mut Part) {
    let record = seen.map(|seen| &seen.value);
    let last = record.map_or_else(|| number_of_orphan(turn), |record| record.last_number);
    let highest = last.max(turn.highest_number());
    let number = if has(Mutant::ReuseNumber) { highest } else { highest.next() };
    let mut is_new = true;
    let source = if request::is_needed(turn, record, spec) {
        let request = request::fitting(turn, record, spec);
        if request.is_none() {
            turn.wait(part, "a node that has its key is to make the request");
        }
        request.map(|request| (request.key.clone(), request.csr.clone(), request.after_removals))
    } else {
        match made(turn, number, spec, part) {
            Ok(made) => {
                is_new = false;
                Some(made)
            }
            Err(make) => return put_in(turn, record, true, *make, part),
        }
    };
    let Some(source) = source else { return };
    let profile = turn.view.spec.issuers.get(issuer).and_then(|issuer| issuer.profile.clone());
    let attempt = transition::new_attempt(number, spec, (issuer.clone(), profile), source, (&turn.view.me, turn.now));
    let base = turn.view.base(&RecordKey::Cert(turn.cert.clone()).key());
    let write = Action::Write(turn.cert.clone(), base, Box::new(transition::keyed(record, spec, attempt)), Event::Keyed);
    put_in(turn, record, is_new, write, part);
}

/// Puts what makes an attempt this node's among all such: it drives only so many at once.
pub(super) fn put_in(turn: Turn<'_>, record: Option<&CertRecord>, is_new: bool, action: Action, part: &mut Part) {
    let placed = record.and_then(|record| record.placed.as_ref());
    let expires = placed.map_or(Timestamp::MAX, |placed| placed.not_after);
    part.claim(turn.view, turn.now, Urgency { expires, is_new }, action);
}

/// The last number that a record says which nobody vouches for any more and which is about to be written over; if it can be.
fn number_of_orphan(turn: Turn<'_>) -> Generation {
    let stray = turn.view.strays.get(&RecordKey::Cert(turn.cert.clone()).key()).and_then(|stray| stray.envelope.as_ref());
    let number = stray.and_then(|envelope| envelope.record::<CertRecord>().ok()).map(|record| record.last_number);
    number.filter(|number| number.0 <= ORPHAN_NUMBER_MAX).unwrap_or_default()
}

/// The key and CSR that this node made for the attempt; if they are not there or not fit any more, what makes them.
fn made(turn: Turn<'_>, number: Generation, spec: &Specification, part: &mut Part) -> Result<(SpkiHash, Vec<u8>, u64), Box<Action>> {
    let after_removals = turn.view.removals();
    let mut is_usable = |drive: &&Drive| {
        let asked = drive.asked.as_ref();
        let is_stale = part.has_come(turn.now, drive.made_at + Duration::from_secs(KEY_SECONDS_MAX));
        !is_stale && asked.is_some_and(|a| a.kind == spec.key && a.names == spec.names && a.after_removals == after_removals)
    };
    if let Some(MadeKey { key, csr }) = turn.drive(number).filter(|drive| is_usable(drive)).and_then(|drive| drive.made.as_ref()) {
        return Ok((key.clone(), csr.clone(), after_removals));
    }
    let wanted = WantedKey { kind: spec.key, names: spec.names.clone(), readers: turn.view.readers(spec), after_removals };
    Err(Box::new(Action::MakeKey(turn.cert.clone(), number, Box::new(wanted))))
}

/// Several issuers take turns as attempts fail.
fn issuer_of<'a>(spec: &'a Specification, record: Option<&CertRecord>) -> &'a IssuerName {
    let count = record.map_or(0, |record| record.failures.count) as usize;
    &spec.issuers[count % spec.issuers.len()]
}

/// When a new generation is wanted; `None`: it was wanted all along.
fn wanted_at(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification, part: &mut Part) -> Option<Timestamp> {
    let Turn { now, cert, .. } = turn;
    let record = record?;
    let placed = record.placed.as_ref()?;
    let is_spent = turn.is_spent(record, spec, part);
    if record.renew_requested_at.is_some() || record.new_key || !spec.has_names(&placed.names) || is_spent {
        return Some(now.wall);
    }
    if has(Mutant::NeverRenew) || has(Mutant::AlwaysRenew) {
        return Some(if has(Mutant::NeverRenew) { Timestamp::MAX } else { now.wall });
    }
    let moment = transition::renewal_moment(cert, placed);
    Some(came_at(record, placed).filter(|came| moment <= *came).map_or(moment, |came| later(came, Duration::from_secs(BORN_DUE_SECONDS))))
}

fn came_at(record: &CertRecord, placed: &Placed) -> Option<Timestamp> {
    record.history.iter().rev().find(|entry| entry.number == placed.placement.generation).map(|entry| entry.ended_at)
}
