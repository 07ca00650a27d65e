//! Keys for nodes that cannot open them: one that came later than the key, or whose wrap was spoilt. A node says in its presence which keys
//! it lacks; one that has such a key wraps it, if the node is meant to read it.
//!
//! Always holds: who is meant to read a key is told by the roster and the certificate's signed record, never by who asks.

use std::time::Duration;

use super::action::{Action, Subject, WantedWrap};
use super::facts::{Facts, is_on_duty};
use super::holder::{GRACE, my_rank_among};
use super::part::Part;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, NodeName, SpkiHash};
use crate::spec::Role;
use crate::time::Now;
use crate::trust::Member;
use crate::view::View;

/// A wrap is given this long to be read and opened before it is made again, in seconds.
const AGAIN_SECONDS: u64 = 30;

pub(super) fn decide(view: &View, now: Now, facts: &Facts, part: &mut Part) {
    if !is_on_duty(view) || has(Mutant::NoLateWrap) {
        return;
    }
    for node in facts.lacked.nodes.iter().filter(|node| **node != view.me.node) {
        let (Some(member), Some(presence)) = (view.roster.members.get(node), view.presence.get(node)) else { continue };
        for spki in presence.value.lacks.iter().filter(|spki| may_have(view, spki)) {
            if let Some(cert) = entitlement(view, spki, node, member) {
                wrap(view, now, part, WantedWrap { spki: spki.clone(), cert, node: node.clone(), sealing_key: member.sealing_key });
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
    let mut certs = view.certs.with_key(spki);
    let found = certs.find(|(_, record)| member.granted.contains(&Role::Deploy) && record.spec.is_placed_on(node));
    found.map(|(cert, _)| Some(cert.clone()))
}

fn wrap(view: &View, now: Now, part: &mut Part, wanted: WantedWrap) {
    let subject = Subject::Wrap(wanted.spki.clone(), wanted.node.clone());
    let rank = my_rank_among(view, now, &format!("wraps/{}/{}", wanted.spki, wanted.node), None);
    let since = part.due(view, now, subject.clone());
    let last = view.local.wrapped.get(&(wanted.spki.clone(), wanted.node.clone()));
    let turn = (since + GRACE * rank).max(last.map_or(since, |last| *last + Duration::from_secs(AGAIN_SECONDS)));
    if now.mono < turn { part.wake(turn) } else { part.act(view, now, Action::Wrap(Box::new(wanted))) }
}
