//! Letting machines in: an `issue` node writes the record of a machine that holds a token, after it has counted the token's use.
//!
//! Always holds: the use is written before the member, so that a token for one never lets in two, whatever crashes in between. That the
//! fleet key signed the token, for this name and these roles, every node has checked before it got here.

use super::action::{Action, Subject};
use super::holder::{GRACE, my_rank_among};
use super::part::Part;
use crate::key::RecordKey;
use crate::names::NodeName;
use crate::records::{InvitationRecord, InvitationUse, NodeRecord};
use crate::spec::Role;
use crate::time::Now;
use crate::trust::Grant;
use crate::view::{Observed, View};

pub(super) fn decide(view: &View, now: Now, part: &mut Part) {
    if !view.my_roles().contains(&Role::Issue) || view.local.leaving || view.local.duplicate.is_some() || view.local.beaten_at.is_none() {
        return;
    }
    for (node, asking) in &view.joining {
        let subject = Subject::Joining(node.clone());
        let turn = part.due(view, now, subject.clone()) + GRACE * my_rank_among(view, now, &format!("joining/{node}"), Some(Role::Issue));
        if now.mono < turn {
            part.wake(turn);
            continue;
        }
        match next(view, now, node, asking) {
            Ok(action) => part.act(view, now, action),
            Err(why) => drop(part.troubles.insert(format!("{node} asks to be let in, and is not: {why}"))),
        }
    }
}

/// Whether a machine that asks now would be let in; if not, why.
pub fn admission(view: &View, now: Now, machine: &NodeRecord) -> Result<(), String> {
    if view.nodes.get(&machine.name).is_some_and(|member| member.identity == machine.identity) {
        return Ok(());
    }
    let grant = machine.grant.as_ref().ok_or("it has no token")?.verify(&view.roster.verifying_keys).map_err(|error| error.to_string())?;
    may_come(view, &grant, machine)?;
    if counted(view, &grant, machine).is_some() { Ok(()) } else { is_good(view, now, &grant) }
}

/// The machine that waits to be let in as `node`, in place of the one that is: that one lets nobody in any more, its successor least of all.
pub fn successor<'v>(view: &'v View, now: Now, node: &NodeName) -> Option<&'v NodeRecord> {
    let machine = &view.joining.get(node)?.value;
    (standing(view, node).as_ref() != Some(&machine.identity) && admission(view, now, machine).is_ok()).then_some(machine)
}

/// Whether somebody is about to become a member: what is sealed for all had better wait for it.
pub(super) fn is_under_way(view: &View, now: Now) -> bool {
    let is_new = |node: &NodeName, asking: &Observed<NodeRecord>| standing(view, node).as_ref() != Some(&asking.value.identity);
    view.joining.iter().any(|(node, asking)| is_new(node, asking) && next(view, now, node, asking).is_ok())
}

fn next(view: &View, now: Now, node: &NodeName, asking: &Observed<NodeRecord>) -> Result<Action, String> {
    let machine = &asking.value;
    let member = view.nodes.get(node);
    if member.is_some_and(|member| member.identity == machine.identity) {
        return Ok(Action::LetIn(node.clone(), asking.revision.clone()));
    }
    let grant = machine.grant.as_ref().ok_or("it has no token")?.verify(&view.roster.verifying_keys).map_err(|error| error.to_string())?;
    let record = |key, value: Result<_, serde_json::Error>| {
        let value = value.map_err(|error| error.to_string())?;
        let (base, after) = (view.base(&RecordKey::key(&key)), view.change_of(&RecordKey::key(&key)));
        Ok(Action::Record(key, Box::new(value), base, after))
    };
    may_come(view, &grant, machine)?;
    // Its word would count no more as soon as its successor is in, and nobody could tell who let that one in.
    if *node == view.me.node {
        return Err("it is to take this machine's own place, and another node with the role issue must let it in".into());
    }
    // Whoever knows what should stand there puts it right: until then nobody can say in whose place the machine comes.
    let there = RecordKey::Node(node.clone()).key();
    if view.is_blocked(&there, now.mono) {
        return Err(format!("what stands under {there} does not count, or did not a moment ago"));
    }
    match counted(view, &grant, machine) {
        Some(counted) if counted.in_place_of == standing(view, node) => {
            record(RecordKey::Node(node.clone()), serde_json::to_value(machine))
        }
        Some(_) => Err("its token was used for it before, and another machine has the name since".into()),
        None => {
            is_good(view, now, &grant)?;
            record(RecordKey::Invitation(grant.id.clone()), serde_json::to_value(with_use(view, &grant, machine)))
        }
    }
}

/// The use of the token by this machine, if it was counted.
fn counted<'v>(view: &'v View, grant: &Grant, machine: &NodeRecord) -> Option<&'v InvitationUse> {
    view.invitations.get(&grant.id)?.used_by.iter().find(|by| by.identity == machine.identity)
}

/// The machine that has the name now.
fn standing(view: &View, node: &NodeName) -> Option<String> {
    view.nodes.get(node).map(|member| member.identity.clone())
}

/// The invitation's record with this use in it.
fn with_use(view: &View, grant: &Grant, machine: &NodeRecord) -> InvitationRecord {
    let empty = || InvitationRecord { id: grant.id.clone(), used_by: Vec::new(), extra: Default::default() };
    let mut counted = view.invitations.get(&grant.id).cloned().unwrap_or_else(empty);
    let in_place_of = standing(view, &machine.name);
    counted.used_by.push(InvitationUse { node: machine.name.clone(), identity: machine.identity.clone(), in_place_of });
    counted
}

/// Whether the token can be used once more.
fn is_good(view: &View, now: Now, grant: &Grant) -> Result<(), String> {
    let uses = view.invitations.get(&grant.id).map_or(0, |known| known.used_by.len());
    match () {
        () if grant.expires_at <= now.wall => Err(format!("its token expired at {:.0}", grant.expires_at)),
        () if uses >= grant.uses as usize => Err(format!("its token is used up: it was for {} node(s)", grant.uses)),
        () => Ok(()),
    }
}

fn may_come(view: &View, grant: &Grant, machine: &NodeRecord) -> Result<(), String> {
    let fleet = view.fleet.as_ref();
    let taken = view.nodes.contains_key(&machine.name) && !view.is_removed(&machine.name);
    match () {
        () if fleet.is_none_or(|fleet| fleet.epoch != grant.epoch) => Err("its token is from before a backup was restored".into()),
        () if fleet.is_some_and(|fleet| fleet.removals.iter().any(|removal| removal.identity == machine.identity)) => {
            Err("the fleet has removed this machine".into())
        }
        () if taken && !grant.replace => {
            Err("the fleet has a node of that name; for a machine that was rebuilt, invite it with `--replace`".into())
        }
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, comes_with, grant, name, seen, view};
    use crate::spec::all_roles;

    #[test]
    fn nobody_lets_its_own_successor_in() {
        let view = view();
        let successor = |node: &str| {
            let grant = Grant { replace: true, ..grant(node, all_roles()) };
            let machine = NodeRecord { identity: "another machine".into(), ..comes_with(&grant, node) };
            next(&view, at(1), &name(node), &seen(machine, 0, 0))
        };
        assert!(matches!(successor("b"), Ok(Action::Record(RecordKey::Invitation(_), ..))));
        assert!(successor("a").is_err_and(|why| why.contains("another node")));
    }
}
