//! `store check`: everything in the store is read and verified.

use std::collections::BTreeMap;

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::FleetId;
use certfleet_core::time::Timestamp;
use certfleet_core::view::{View, is_kept};
use certfleet_store::{Listing, StoreError};
use serde::Serialize;

use super::super::{Machine, OperatorError, sees_part, view_from};
use super::backup::counts;
use super::records::{Judge, Records, is_newer};
use super::references;
use crate::config::Settings;
use crate::identity::Identity;
use crate::membership::{MembershipError, our_fleet};
use crate::trust::Pen;

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The fleet's id.
    pub fleet: FleetId,
    /// Its name.
    pub name: String,
    /// Its epoch; none if its record cannot be read.
    pub epoch: Option<u64>,
    /// The record form in use.
    pub format: Option<u32>,
    /// How many records count, by their kind.
    pub records: BTreeMap<&'static str, usize>,
    /// Whether only what this node's roles need was looked at: the node that serves the store shows no more.
    pub partial: bool,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Something wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where.
    pub key: String,
    /// What.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(key: impl ToString, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.to_string(), what: what.into(), remedy: remedy.into() }
    }
}

/// Reads and verifies everything.
pub async fn store_check(machine: &Machine, at: Timestamp) -> Result<Checked, OperatorError> {
    let identity = machine.member()?;
    let store = machine.store().await?;
    match our_fleet(store.as_ref(), identity).await {
        // A record that cannot be read or does not count is one problem among others.
        Ok(_) | Err(MembershipError::Record(..) | MembershipError::Distrusted(..)) => {}
        Err(MembershipError::Store(StoreError::Corrupt { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    let listing = store.list("").await?;
    check(listing, store.withholds(), &machine.settings, identity, at)
}

/// The same, of what was read before.
pub(super) fn check(
    listing: Listing,
    withholds: bool,
    settings: &Settings,
    identity: &Identity,
    at: Timestamp,
) -> Result<Checked, OperatorError> {
    let view = view_from(listing.clone(), withholds, settings, identity, at)?;
    let records: Records = listing.entries.iter().map(|(key, stored)| (key.clone(), stored.envelope.clone())).collect();
    let mut problems = unreadable(&listing);
    let judge = Judge::new(&view.roster, view.nodes.values(), &records);
    problems.extend(records.iter().filter_map(|(key, envelope)| {
        let older = || view.strays.get(key).filter(|_| RecordKey::of(key).is_some_and(|r| is_kept(&r))).map(|stray| stray.why.clone());
        judge.fault(key, envelope).or_else(older).map(|why| does_not_count(key, why))
    }));
    let at_fault: std::collections::BTreeSet<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    let counting: Records = records.into_iter().filter(|(key, _)| !at_fault.contains(key.as_str())).collect();
    problems.extend(gone(&view));
    problems.extend(match view.not_at_home() {
        Some(why) => Some(Problem::new(RecordKey::Home, why, "commands and nodes that use this store change nothing")),
        None => view.membership().err().map(|why| Problem::new("fleet", why, "`certfleet node ls` says who is in")),
    });
    problems.extend(references::check(&view, &counting, &Pen::new(identity), &settings.state));
    problems.sort();
    let (epoch, format) = view.fleet.as_ref().map(|fleet| (fleet.epoch, fleet.format)).unzip();
    let (fleet, name) = (identity.fleet.clone(), identity.fleet_name.clone());
    let partial = sees_part(&view);
    Ok(Checked { fleet, name, epoch, format, partial, records: counts(counting.keys()), problems })
}

fn unreadable(listing: &Listing) -> Vec<Problem> {
    let problem = |value: &certfleet_store::Unreadable| {
        let is_ours = RecordKey::of(&value.key).is_some();
        let remedy = match &value.revision {
            _ if is_newer(&value.why) => "a newer version of certfleet wrote it: upgrade certfleet on this node",
            None => "no version of certfleet put it there: remove it",
            Some(_) if RecordKey::of(&value.key).is_some_and(|record| is_kept(&record)) => PUT_RIGHT,
            Some(_) if is_ours => "`certfleet store restore FILE --replace` puts back what a backup has of it",
            Some(_) => "no version of certfleet that is known here put it there: remove it",
        };
        Problem::new(&value.key, value.why.clone(), remedy)
    };
    listing.unreadable.iter().map(problem).collect()
}

const PUT_RIGHT: &str =
    "a running node that knows better puts it right within a minute; if none does: `certfleet store restore FILE --replace`";

fn does_not_count(key: &Key, why: String) -> Problem {
    let remedy = match RecordKey::of(key) {
        None => "upgrade certfleet on this node if others run a newer version; else somebody put it there: remove it",
        Some(record) if is_kept(&record) => PUT_RIGHT,
        Some(RecordKey::Joining(_)) => "who asked has no invitation that counts; `certfleet node remove NAME` turns it away",
        Some(RecordKey::Presence(_) | RecordKey::Report(..) | RecordKey::Request(..)) => {
            "it is not acted on; the node it is about writes it anew when it runs"
        }
        Some(_) => "it is not acted on; find out who can write to the store",
    };
    Problem::new(key, format!("it does not count: {why}"), remedy)
}

/// What this node knows and the store has lost.
fn gone(view: &View) -> Vec<Problem> {
    let gone = view.strays.iter().filter(|(_, stray)| stray.revision.is_none());
    gone.map(|(key, stray)| Problem::new(key, stray.why.clone(), "a running node that knows it puts it back; or `certfleet store recover`"))
        .collect()
}
