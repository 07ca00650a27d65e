//! Requests for certificates whose key only some node has: the CSR travels, the key does not.
//!
//! With `policy = "per-node"` the node makes a key of its own for each; with `reuse` a node that can open the placed key asks with it. Either
//! writes `requests/<cert>/<node>`; an `issue` node takes it into the certificate's record (`claim`).

use super::action::{Action, RequestKey, Subject, WantedRequest};
use super::claim;
use super::facts::is_on_duty;
use super::holder::{GRACE, my_rank_among};
use super::part::Part;
use super::turn::Turn;
use crate::key::RecordKey;
use crate::names::{Generation, SpkiHash};
use crate::records::{CertRecord, RequestRecord};
use crate::spec::{KeyPolicy, Role, Specification};
use crate::view::of_cert;

pub(super) fn decide(turn: Turn<'_>, part: &mut Part) {
    let view = turn.view;
    if !turn.facts.may(Role::Deploy) || !is_on_duty(view) {
        return;
    }
    if let Some(spec) = view.wanted.get(turn.cert).filter(|spec| spec.is_placed_on(&view.me.node)) {
        certificate(turn, spec, part);
    }
}

fn certificate(turn: Turn<'_>, configured: &Specification, part: &mut Part) {
    let Turn { view, now, cert, .. } = turn;
    let record = view.certs.get(cert).map(|seen| &seen.value);
    let spec = record.map_or(configured, |record| &record.spec);
    // A request by a node on which the record does not place it is good for nothing.
    if !spec.is_placed_on(&view.me.node) {
        return;
    }
    if record.is_some_and(|record| record.attempt.is_some()) || claim::due(turn, record, spec, part).is_err() {
        return;
    }
    let Some(wanted) = wanted(turn, record, spec) else { return };
    let key = RecordKey::Request(cert.clone(), view.me.node.clone()).key();
    if fitting(turn, record, spec).is_some() && !view.strays.contains_key(&key) {
        return;
    }
    let subject = Subject::Request(cert.clone());
    part.ties.passing = true;
    let rank = if spec.policy == KeyPolicy::PerNode { 0 } else { my_rank_among(view, now, cert.as_str(), Some(Role::Deploy)) };
    let turn = part.due(view, now, subject) + GRACE * rank;
    if now.mono < turn {
        return part.wake(turn);
    }
    part.act(view, now, Action::Request(cert.clone(), Box::new(wanted), view.base(&key)));
}

/// The request that this node could make; none if it does not take one, or not from this node.
fn wanted(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification) -> Option<WantedRequest> {
    let view = turn.view;
    let request = |key, after_removals| WantedRequest { key, names: spec.names.clone(), after: last_number(record), after_removals };
    match kept_key(turn, record, spec) {
        // Who has not opened it yet finds out by trying: what is placed with it may not be installed, and never be asked for again.
        Some((key, _)) if view.local.lacks.contains_key(&key) => None,
        Some((key, after_removals)) => Some(request(RequestKey::Kept(key), after_removals)),
        None if spec.policy == KeyPolicy::PerNode => Some(request(RequestKey::New(spec.key), view.removals())),
        None => None,
    }
}

fn last_number(record: Option<&CertRecord>) -> Generation {
    record.map_or(Generation(0), |record| record.last_number)
}

/// Whether the next attempt takes a request instead of making a key itself.
pub(super) fn is_needed(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification) -> bool {
    spec.policy == KeyPolicy::PerNode || kept_key(turn, record, spec).is_some()
}

/// The key that a renewal keeps, and how many removals there were when it was made.
fn kept_key(turn: Turn<'_>, record: Option<&CertRecord>, spec: &Specification) -> Option<(SpkiHash, u64)> {
    let record = record.filter(|record| spec.reuse && !record.new_key)?;
    let placed = record.placed.as_ref()?;
    let is_spent = turn.is_spent(record, spec, &mut Part::default());
    (!is_spent).then(|| (placed.key.clone(), placed.after_removals))
}

/// A request for the next attempt, by a node that may make it.
pub(super) fn fitting<'v>(turn: Turn<'v>, record: Option<&CertRecord>, spec: &Specification) -> Option<&'v RequestRecord> {
    let (view, cert) = (turn.view, turn.cert);
    let kept = kept_key(turn, record, spec);
    let after = last_number(record);
    let of_cert = of_cert(&view.requests, cert).filter(|(node, _)| spec.is_placed_on(node) && !view.is_removed(node));
    let mut fits = of_cert.map(|(_, request)| request).filter(|request| {
        let has_key = kept.as_ref().is_none_or(|(key, _)| request.key == *key);
        let is_fresh = record.and_then(|record| record.placed.as_ref()).is_none_or(|placed| kept.is_some() || placed.key != request.key);
        has_key && is_fresh && request.after == after && spec.has_names(&request.names) && !view.is_exposed(spec, request.after_removals)
    });
    fits.next()
}
