//! Keys for nodes that cannot open them: one that came later than the key, or whose wrap was spoilt. A node says in its presence which keys
//! it lacks; one that has such a key wraps it, if the node is meant to read it.
//!
//! Always holds: who is meant to read a key is told by the roster and the certificate's signed record, never by who asks.

use std::time::Duration;

use super::action::{Action, Subject, WantedWrap};
use super::holder::{GRACE, my_rank_among};
use super::plan::Plan;
use crate::names::{CertName, NodeName, SpkiHash};
use crate::spec::Role;
use crate::time::Now;
use crate::trust::Member;
use crate::view::View;

/// A wrap is given this long to be read and opened before it is made again, in seconds.
const AGAIN_SECONDS: u64 = 30;

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    if view.local.leaving || view.local.duplicate.is_some() || view.local.beaten_at.is_none() {
        return;
    }
    for (node, presence) in view.presence.iter().filter(|(node, _)| **node != view.me.node) {
        let Some(member) = view.roster.members.get(node) else { continue };
        for spki in presence.value.lacks.iter().filter(|spki| may_have(view, spki)) {
            if let Some(cert) = entitlement(view, spki, node, member) {
                wrap(view, now, plan, WantedWrap { spki: spki.clone(), cert, node: node.clone(), sealing_key: member.sealing_key });
            }
        }
    }
}

/// Whether this node has opened the key, or is meant to read it and has not found that it cannot: it may be waiting for a canary, and the
/// canary for the key.
fn may_have(view: &View, spki: &SpkiHash) -> bool {
    let me = &view.me.node;
    let is_meant = || view.roster.members.get(me).is_some_and(|member| entitlement(view, spki, me, member).is_some());
    view.local.holds.contains(spki) || (!view.local.lacks.contains_key(spki) && is_meant())
}

/// Whether the node is meant to read the key: by which certificate (none: as an `issue` node, the account key).
#[expect(clippy::option_option, reason = "no right, a right to the account key, a right to a certificate's key")]
fn entitlement(view: &View, spki: &SpkiHash, node: &NodeName, member: &Member) -> Option<Option<CertName>> {
    let is_account = view.account_key.as_ref().is_some_and(|key| key.keys().any(|key| key.spki == *spki));
    if is_account {
        return member.granted.contains(&Role::Issue).then_some(None);
    }
    let mut certs = view.certs.iter().filter(|(_, seen)| {
        let record = &seen.value;
        let is_its = record.placed.as_ref().is_some_and(|placed| placed.key == *spki);
        is_its && member.granted.contains(&Role::Deploy) && record.spec.is_placed_on(node)
    });
    certs.next().map(|(cert, _)| Some(cert.clone()))
}

fn wrap(view: &View, now: Now, plan: &mut Plan, wanted: WantedWrap) {
    let subject = Subject::Wrap(wanted.spki.clone(), wanted.node.clone());
    let rank = my_rank_among(view, now, &format!("wraps/{}/{}", wanted.spki, wanted.node), None);
    let since = plan.due(view, now, subject.clone());
    let last = view.local.wrapped.get(&(wanted.spki.clone(), wanted.node.clone()));
    let turn = (since + GRACE * rank).max(last.map_or(since, |last| *last + Duration::from_secs(AGAIN_SECONDS)));
    if now.mono < turn { plan.wake(turn) } else { plan.act(view, now, Action::Wrap(Box::new(wanted))) }
}
