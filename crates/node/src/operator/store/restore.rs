//! `store restore`: the certificates as a backup has them, in a new epoch.
//!
//! Always holds: everything is verified before the first write. The records come first and the fleet's record last: until its epoch is raised,
//! nodes take older records for what somebody put back, and whoever starts meanwhile puts the newer ones there again, so that a restore that
//! was cut off is undone or can be given again. What the backup does not have stays.

use std::collections::BTreeSet;
use std::path::Path;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::records::{CertRecord, FleetRecord, NodeRecord, Presence, PresenceState};
use certfleet_core::spec::Role;
use certfleet_core::time::Timestamp;
use certfleet_core::trust::{Roster, SigningKey};
use certfleet_core::view::LIVE_SECONDS;
use certfleet_store::{Settled, Store, put_settled};

use super::super::{Machine, OperatorError, refused};
use super::file::Backup;
use super::home;
use super::merge::{Origin, choose, merge_removals, never_goes_back, next_epoch};
use super::records::{Judge, Records, Sifted, There, Voucher, is_newer, put_over, sift, standing, with_fleet};
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::refusal::Refusal;
use crate::trust::Pen;

/// How often the fleet's record is tried while others change it.
const FLEET_TRIES_MAX: u32 = 5;
/// How many losses a refusal names.
const LOSSES_NAMED_MAX: usize = 3;

/// How a backup is restored.
#[derive(Debug, Clone, Copy)]
pub struct Restoring<'a> {
    /// Where the fleet key is, if not in the state directory.
    pub fleet_key: Option<&'a Path>,
    /// Over what the store holds.
    pub replace: bool,
    /// Although nodes are running.
    pub force: bool,
    /// Now.
    pub at: Timestamp,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made.
    pub made_at: Timestamp,
    /// The fleet's epoch from now on.
    pub epoch: u64,
    /// What was written.
    pub written: Vec<Key>,
    /// How many records stood there as they should.
    pub stood: usize,
    /// What was known and is no more.
    pub lost: Vec<String>,
}

/// Restores a backup's text.
pub async fn store_restore(machine: &Machine, text: &str, how: &Restoring<'_>) -> Result<Restored, OperatorError> {
    let (backup, sifted) = verified(machine, text)?;
    let fleet_key = machine.fleet_key(how.fleet_key)?;
    let store = machine.store_or_new().await?;
    restore_into(store.as_ref(), machine, (&backup, sifted), &fleet_key, how).await
}

/// The same with a store that is open and a key that was read.
pub async fn restore_to(
    store: &dyn Store,
    machine: &Machine,
    text: &str,
    fleet_key: &SigningKey,
    how: &Restoring<'_>,
) -> Result<Restored, OperatorError> {
    let (backup, sifted) = verified(machine, text)?;
    restore_into(store, machine, (&backup, sifted), fleet_key, how).await
}

fn verified(machine: &Machine, text: &str) -> Result<(Backup, Sifted), OperatorError> {
    let identity = machine.member()?;
    let backup = Backup::read(text, identity)?;
    let sifted = backup.verify(&machine.settings, identity)?;
    Ok((backup, sifted))
}

/// The same, once the backup was verified.
pub(super) async fn restore_into(
    store: &dyn Store,
    machine: &Machine,
    (read, sifted): (&Backup, Sifted),
    fleet_key: &SigningKey,
    how: &Restoring<'_>,
) -> Result<Restored, OperatorError> {
    let identity = machine.member()?;
    let backup = Origin { sifted: Some(sifted), records: &read.records };
    let there = There::read(store).await?;
    there.check_ours(identity)?;
    let kept: Records = Keeper::new(&machine.settings.state).all("").into_iter().collect();
    let (fleets, caches) = (with_fleet(&there.records, &read.records), with_fleet(&kept, &read.records));
    let now = Origin { sifted: sift(&machine.settings, identity, &fleets), records: &there.records };
    let cache = Origin { sifted: sift(&machine.settings, identity, &caches), records: &kept };
    let mut plan = plan(identity, fleet_key, &there, [&backup, &now, &cache])?;
    let moves = home::of(&read.records).map_or(0, |home| home.number);
    let said = there.records.get(&RecordKey::Home.key());
    let word = home::settle(&machine.settings, identity, &plan.roster, said, moves, how.at)?;
    plan.writes.extend(word.map(|word| (RecordKey::Home.key(), word)));
    refuse_rashness(&there, &now, &plan, how)?;
    for (key, envelope) in &plan.writes {
        put_over(store, key, envelope, there.expect(key)).await?;
    }
    let epoch = raise_epoch(store, identity, fleet_key, plan.fleet, plan.fleet_change).await?;
    let written = plan.writes.into_iter().map(|(key, _)| key).collect();
    Ok(Restored { made_at: read.header.at, epoch, written, stood: plan.stood, lost: plan.lost })
}

/// What is to be done, settled before anything is.
struct Plan {
    roster: Roster,
    fleet: FleetRecord,
    fleet_change: u64,
    writes: Vec<(Key, Envelope)>,
    stood: usize,
    lost: Vec<String>,
}

fn plan(identity: &Identity, fleet_key: &SigningKey, there: &There, origins: [&Origin<'_>; 3]) -> Result<Plan, OperatorError> {
    let [backup, now, cache] = origins;
    let fleet = next_epoch(&origins).expect("the backup has a fleet's record, or it would not have been verified");
    check_standing(identity, fleet_key, &fleet)?;
    let extra = cache.records.keys().filter(|key| never_goes_back(key));
    let keys: BTreeSet<&Key> = backup.records.keys().chain(extra).collect();
    let chosen: Vec<(&Key, &Envelope)> = keys.into_iter().filter_map(|key| Some((key, choose(key, backup, now, cache)?))).collect();
    let nodes: Vec<NodeRecord> = chosen.iter().filter(|(key, _)| key.is_under("nodes")).filter_map(|(_, e)| e.record().ok()).collect();
    let roster = Roster::of(&fleet, &nodes);
    let pen = Pen::new(identity);
    let all = vouched(Voucher { pen: &pen, roster: &roster, fleet_key: Some(fleet_key) }, &chosen)?;
    let before = all.len();
    let writes: Vec<_> = all.into_iter().filter(|(key, envelope)| !there.has(key, envelope)).collect();
    let changes = origins.iter().filter_map(|origin| origin.counting(&RecordKey::Fleet.key())).map(|envelope| envelope.change);
    let lost = writes.iter().filter_map(|(key, envelope)| loss(key, envelope, &[now, cache])).collect();
    Ok(Plan { roster, fleet_change: changes.max().unwrap_or(0), fleet, stood: before - writes.len(), writes, lost })
}

fn check_standing(identity: &Identity, fleet_key: &SigningKey, fleet: &FleetRecord) -> Result<(), Refusal> {
    if !fleet.verifying_keys.contains(&fleet_key.verifying_key()) {
        return Err(Refusal::new("this is another fleet's key", "give the key of this fleet with `--fleet-key FILE`"));
    }
    match fleet.removals.iter().any(|removal| removal.identity == identity.identity) {
        true => Err(Refusal::new(format!("node {} was removed from the fleet", identity.node), "give the command on a member")),
        false => Ok(()),
    }
}

/// Records whose writer was removed since are said again, by the fleet key or by this node.
fn vouched(voucher: Voucher<'_>, chosen: &[(&Key, &Envelope)]) -> Result<Vec<(Key, Envelope)>, OperatorError> {
    let records: Records = chosen.iter().map(|(key, envelope)| ((*key).clone(), (*envelope).clone())).collect();
    let judge = Judge::new(voucher.roster, [], &records);
    let mut all = Vec::with_capacity(records.len());
    for (key, envelope) in &records {
        let Some(why) = judge.fault(key, envelope) else {
            all.push((key.clone(), envelope.clone()));
            continue;
        };
        let record = RecordKey::of(key).expect("it was chosen by what it is");
        match voucher.vouch(&record, envelope)? {
            Some(again) => all.push((key.clone(), again)),
            None if matches!(record, RecordKey::Request(..)) => {}
            None => return Err(cannot_vouch(voucher.roster, key, &why).into()),
        }
    }
    Ok(all)
}

fn cannot_vouch(roster: &Roster, key: &Key, why: &str) -> Refusal {
    let issuers: Vec<String> = roster.with_role(Role::Issue).map(|(node, _)| node.to_string()).collect();
    Refusal::new(
        format!("{key} of the backup does not count any more ({why}), and only a node with the role issue can vouch for it"),
        format!("nothing was written; give the command on one of {}", issuers.join(", ")),
    )
}

/// What somebody knew that goes back to something older.
fn loss(key: &Key, envelope: &Envelope, known: &[&Origin<'_>]) -> Option<String> {
    let RecordKey::Cert(cert) = RecordKey::of(key)? else { return None };
    let newest = known.iter().filter_map(|origin| origin.counting(key)).max_by_key(|there| there.change)?;
    if newest.change <= envelope.change {
        return None;
    }
    let generation = |envelope: &Envelope| {
        let placed = envelope.record::<CertRecord>().ok().and_then(|record| record.placed);
        placed.map_or_else(|| "no generation".to_owned(), |placed| format!("generation {}", placed.placement.generation))
    };
    let (before, after) = (generation(newest), generation(envelope));
    Some(match before == after {
        true => format!("{cert}: {after} stays, what was done about it since the backup is forgotten"),
        false => format!("{cert}: {before} goes back to {after}; nodes that have {before} keep it until the next renewal"),
    })
}

/// What an operator must say twice.
fn refuse_rashness(there: &There, now: &Origin<'_>, plan: &Plan, how: &Restoring<'_>) -> Result<(), OperatorError> {
    let unknown = plan.writes.iter().find_map(|(key, _)| Some((key, there.unreadable.get(key).filter(|why| is_newer(why))?)));
    if let Some((key, why)) = unknown {
        return refused(format!("{key} stands in the store and cannot be read: {why}"), "upgrade certfleet on this machine");
    }
    let live = live_nodes(there, now, how.at);
    if !live.is_empty() && !how.force {
        return refused(
            format!("nodes are running: {}", live.join(", ")),
            "stop `certfleet run` on all of them first (they go on serving), or they may put back what they know; with `--force` it is done all the same",
        );
    }
    let fleet = RecordKey::Fleet.key();
    let stands = |key: &Key| there.revisions.contains_key(key);
    let is_empty = !stands(&fleet) && !plan.writes.iter().any(|(key, _)| stands(key));
    if is_empty || how.replace {
        return Ok(());
    }
    let named: Vec<&str> = plan.lost.iter().take(LOSSES_NAMED_MAX).map(String::as_str).collect();
    let lost = match plan.lost.len() {
        0 => "nothing newer would be lost".to_owned(),
        n => format!("{n} certificate(s) would go back, as {}", named.join("; ")),
    };
    refused(format!("the store holds this fleet already; {lost}"), "with `--replace` it is restored over that")
}

fn live_nodes(there: &There, now: &Origin<'_>, at: Timestamp) -> Vec<String> {
    let live = there.records.keys().filter_map(|key| {
        let Some(RecordKey::Presence(node)) = RecordKey::of(key) else { return None };
        let presence: Presence = now.counting(key)?.record().ok()?;
        let silent = at.as_second().saturating_sub(presence.at.as_second());
        let is_live = presence.state == PresenceState::Live && silent <= LIVE_SECONDS.cast_signed();
        is_live.then(|| NodeName::to_string(&node))
    });
    live.collect()
}

/// The last write: from here on older records count. What stands there and does not count has no say in which change comes next.
async fn raise_epoch(
    store: &dyn Store,
    identity: &Identity,
    fleet_key: &SigningKey,
    mut fleet: FleetRecord,
    mut change: u64,
) -> Result<u64, OperatorError> {
    let (record, key) = (RecordKey::Fleet, RecordKey::Fleet.key());
    for _ in 0..FLEET_TRIES_MAX {
        let expect = standing(store, &key).await?;
        let mut envelope = Pen::new(identity).write_as_fleet(&record, &fleet, &expect, fleet_key)?;
        envelope.change = change.saturating_add(1);
        let envelope = envelope.signed(&identity.fleet, &key, fleet_key);
        if let Settled::Done(_) = put_settled(store, &key, &envelope, &expect).await? {
            return Ok(fleet.epoch);
        }
        change = change.max(learn(store, identity, &mut fleet).await?);
    }
    refused(
        "the fleet's record is changed by others again and again",
        "stop `certfleet run` on the fleet's nodes, then give the command again",
    )
}

/// Somebody wrote the fleet's record meanwhile: what it says of removals is not forgotten. Gives its change, if it counts.
async fn learn(store: &dyn Store, identity: &Identity, fleet: &mut FleetRecord) -> Result<u64, OperatorError> {
    let Ok(Some(stored)) = store.get(&RecordKey::Fleet.key()).await else { return Ok(0) };
    let roster = Roster::new(identity.fleet.clone(), fleet.verifying_keys.clone());
    let there = stored.envelope.record::<FleetRecord>().ok().filter(|_| roster.check(&RecordKey::Fleet, &stored.envelope).is_ok());
    let Some(there) = there else { return Ok(0) };
    fleet.epoch = fleet.epoch.max(there.epoch.saturating_add(1));
    merge_removals(fleet, &there);
    Ok(stored.envelope.change)
}
