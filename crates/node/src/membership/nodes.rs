//! `node ls` and `node remove`.

use certfleet_core::decide::successor;
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{CertRecord, NodeRecord, Removal};
use certfleet_core::spec::{Role, Roles};
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::trust::SigningKey;
use certfleet_core::view::View;
use certfleet_store::{Settled, Store, delete_settled};
use serde::Serialize;

use super::again::say_again;
use super::{Change, MembershipError, change_fleet, fleet_of, keep, put, refused};
use crate::config::Settings;
use crate::identity::Identity;
use crate::trust::Pen;

/// Whether a node is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It is.
    Member,
    /// It asks to be let in.
    Joining,
    /// It was removed.
    Removed,
    /// It was removed, and its keys may be in other hands.
    Compromised,
}

/// A node as `node ls` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeRow {
    /// Its name.
    pub name: NodeName,
    /// Whether it is in.
    pub state: NodeState,
    /// What it was granted.
    pub granted: Roles,
    /// What it does: granted and configured; none before it ran.
    pub roles: Option<Roles>,
    /// Of the key that its records are signed with: the first 16 hex digits of its SHA-256.
    pub fingerprint: String,
    /// When it joined, by its own clock.
    pub joined_at: Timestamp,
    /// When it last beat, by its own clock.
    pub seen_at: Option<Timestamp>,
    /// Of its software.
    pub version: Option<String>,
}

/// Everyone: members, those who ask, and removed ones.
pub fn list_nodes(view: &View) -> Vec<NodeRow> {
    let member = |record: &NodeRecord| row(view, record, standing(view, record));
    let members = view.nodes.values().map(member);
    let asking = view.joining.values().map(|seen| &seen.value).filter(|asking| !is_member(view, asking));
    let mut rows: Vec<NodeRow> = members.chain(asking.map(|record| row(view, record, NodeState::Joining))).collect();
    rows.sort_by(|a, b| (&a.name, a.state as u8).cmp(&(&b.name, b.state as u8)));
    rows
}

fn is_member(view: &View, asking: &NodeRecord) -> bool {
    view.nodes.get(&asking.name).is_some_and(|member| member.identity == asking.identity)
}

fn standing(view: &View, record: &NodeRecord) -> NodeState {
    let removals = view.fleet.iter().flat_map(|fleet| &fleet.removals);
    match removals.into_iter().find(|removal| removal.identity == record.identity) {
        Some(removal) if removal.compromised => NodeState::Compromised,
        Some(_) => NodeState::Removed,
        None => NodeState::Member,
    }
}

fn row(view: &View, record: &NodeRecord, state: NodeState) -> NodeRow {
    let presence = view.presence.get(&record.name).map(|seen| &seen.value).filter(|_| state == NodeState::Member);
    NodeRow {
        name: record.name.clone(),
        state,
        granted: record.granted.clone(),
        roles: presence.map(|presence| presence.roles.clone()),
        fingerprint: record.signing_key.fingerprint(),
        joined_at: record.joined_at,
        seen_at: presence.map(|presence| presence.at),
        version: presence.map(|presence| presence.version.clone()),
    }
}

/// What a removal brings with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Whether it was news.
    pub change: Change,
    /// It was not in yet: its asking was taken away.
    pub was_joining: bool,
    /// Certificates whose key it could read, to be issued anew, and when.
    pub renewals: Vec<Renewal>,
    /// The account key is rolled over, since it could read that.
    pub rolls_account: bool,
}

/// A certificate that is issued anew because a removed node could read its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Which.
    pub cert: CertName,
    /// Not before this moment, if it must wait: the CA or failed attempts said so. Else at once.
    pub not_before: Option<Timestamp>,
    /// Whether an attempt runs already.
    pub running: RunningAttempt,
}

/// What the attempt that runs means for a key that a removed node could read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunningAttempt {
    /// None runs.
    None,
    /// It began before the removal, and the node could read its key too: it is ended first, then comes another.
    WithOldKey,
    /// It has a key that the node cannot read: it is the new one.
    WithNewKey,
}

/// Ends a node's rights on every node.
pub async fn remove_node(
    store: &dyn Store,
    settings: &Settings,
    identity: &Identity,
    view: &View,
    (name, compromised): (&NodeName, bool),
    fleet_key: &SigningKey,
    now: Timestamp,
) -> Result<Removed, MembershipError> {
    let fleet = fleet_of(view, fleet_key)?;
    let Some(record) = view.nodes.get(name) else { return turn_away(store, view, name).await };
    check_removable(identity, view, record, now)?;
    vouch_for_others(store, identity, view, name, fleet_key).await?;
    let removal = Removal { node: name.clone(), identity: record.identity.clone(), at: now, compromised };
    let is_news = !fleet.removals.iter().any(|known| known.identity == removal.identity && known.compromised >= compromised);
    let place = fleet.removals.iter().position(|known| known.identity == removal.identity).unwrap_or(fleet.removals.len()) as u64;
    if is_news {
        let said = change_fleet(store, identity, view, fleet_key, |fleet| add(&mut fleet.removals, &removal)).await?;
        let kept = keep(settings, &[said]);
        // Said in the store whether this machine has room for it or not: the removal is not made a second time.
        let said = say_again(store, identity, view, name).await?;
        kept.and_then(|()| keep(settings, &said))?;
    }
    let account = view.account_key.as_ref().filter(|_| compromised && record.granted.contains(&Role::Issue));
    Ok(Removed {
        change: if is_news { Change::Made } else { Change::Nothing },
        was_joining: false,
        renewals: if compromised { exposed(view, record, place, now) } else { Vec::new() },
        rolls_account: account.is_some_and(|account| account.current.after_removals <= place),
    })
}

fn add(removals: &mut Vec<Removal>, removal: &Removal) {
    match removals.iter_mut().find(|known| known.identity == removal.identity) {
        Some(known) => known.compromised |= removal.compromised,
        None => removals.push(removal.clone()),
    }
}

fn check_removable(identity: &Identity, view: &View, record: &NodeRecord, now: Timestamp) -> Result<(), MembershipError> {
    if record.identity == identity.identity {
        return refused(format!("this machine is {}", record.name), "remove it from another node, with the fleet key: `--fleet-key FILE`");
    }
    if !record.granted.contains(&Role::Issue) || view.is_removed(&record.name) {
        return Ok(());
    }
    let now = Now { wall: now, mono: Mono::default() };
    let others = view.roster.with_role(Role::Issue).map(|(node, _)| node).filter(|node| **node != record.name);
    let (waiting, staying): (Vec<_>, Vec<_>) = others.partition(|node| successor(view, now, node).is_some());
    match (waiting.first(), staying.first()) {
        (_, Some(_)) => Ok(()),
        (Some(waiting), None) => refused(
            format!("{} is the last node that can let {waiting} in, which was rebuilt and waits for that", record.name),
            format!("let {} run until `certfleet node ls` shows {waiting} as in; then remove it", record.name),
        ),
        (None, None) => refused(
            format!("{} is the last node with the role issue: nobody would renew anything", record.name),
            "let another in first: `certfleet invite NAME --roles issue,answer,deploy`",
        ),
    }
}

/// A machine that only asked is turned away.
async fn turn_away(store: &dyn Store, view: &View, name: &NodeName) -> Result<Removed, MembershipError> {
    let Some(asking) = view.joining.get(name) else {
        let likeness = |node: &NodeName| strsim::jaro_winkler(node.as_str(), name.as_str());
        let near = view.nodes.keys().chain(view.joining.keys()).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        return refused(format!("the fleet has no node {name}"), format!("{hint}`certfleet node ls` lists them"));
    };
    if let Settled::Conflict = delete_settled(store, &RecordKey::Joining(name.clone()).key(), &asking.revision).await? {
        return refused(format!("{name} asks anew, or was let in, at the same moment"), "give the command again");
    }
    Ok(Removed { change: Change::Made, was_joining: true, renewals: Vec::new(), rolls_account: false })
}

/// Those whom the node let in stay in, by the word of the fleet key.
async fn vouch_for_others(
    store: &dyn Store,
    identity: &Identity,
    view: &View,
    removed: &NodeName,
    fleet_key: &SigningKey,
) -> Result<(), MembershipError> {
    for (name, record) in view.nodes.iter().filter(|(name, _)| *name != removed) {
        let key = RecordKey::Node(name.clone());
        let Some(accepted) = view.accepted.get(&key.key()).filter(|accepted| accepted.writer == *removed) else { continue };
        let expect = Expect::Revision(accepted.revision.clone());
        if let Settled::Conflict = put(store, &Pen::new(identity), &key, record, &expect, Some(fleet_key)).await? {
            return refused(format!("{key} was changed at the same moment"), "give the command again");
        }
    }
    Ok(())
}

/// What the machine could read when the fleet's list had `place` entries, and nobody has made anew since.
fn exposed(view: &View, machine: &NodeRecord, place: u64, now: Timestamp) -> Vec<Renewal> {
    let is_readable = |cert: &CertName, record: &CertRecord| {
        let placed = record.placed.as_ref().map(|placed| placed.after_removals);
        let running = record.attempt.as_ref().map(|attempt| attempt.after_removals);
        let is_old = [placed, running].into_iter().flatten().any(|after_removals| after_removals <= place);
        is_old && !record.retired && cert.node().is_none_or(|node| node != machine.name) && view.can_know(machine, cert, record)
    };
    let certs = view.certs.iter().map(|(cert, seen)| (cert, &seen.value)).filter(|(cert, record)| is_readable(cert, record));
    certs.map(|(cert, record)| renewal(cert, record, place, now)).collect()
}

fn renewal(cert: &CertName, record: &CertRecord, place: u64, now: Timestamp) -> Renewal {
    let attempt = record.attempt.as_ref();
    let running = match attempt {
        None => RunningAttempt::None,
        Some(attempt) if attempt.after_removals <= place => RunningAttempt::WithOldKey,
        Some(_) => RunningAttempt::WithNewKey,
    };
    let put_off = attempt.and_then(|attempt| attempt.not_before).into_iter().chain(record.failures.not_before).max();
    Renewal { cert: cert.clone(), not_before: put_off.filter(|stamp| *stamp > now), running }
}
