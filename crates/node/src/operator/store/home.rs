//! The word that the fleet lives in a store, where a store is filled: nodes that have seen the fleet move would take it for one that was left.

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::RecordKey;
use certfleet_core::records::{HomeRecord, HomeState};
use certfleet_core::spec::Role;
use certfleet_core::time::Timestamp;
use certfleet_core::trust::Roster;

use super::super::OperatorError;
use super::records::Records;
use crate::config::Settings;
use crate::identity::Identity;
use crate::refusal::Refusal;
use crate::trust::Pen;

/// What a set of records says of where the fleet lives.
pub(super) fn of(records: &Records) -> Option<HomeRecord> {
    records.get(&RecordKey::Home.key()).and_then(|envelope| envelope.record().ok())
}

/// What has to be written so that the fleet lives in the store where `there` stands; none if it does. `known`: the highest number of a move that
/// anybody here has seen.
pub(super) fn settle(
    settings: &Settings,
    identity: &Identity,
    roster: &Roster,
    there: Option<&Envelope>,
    known: u64,
    at: Timestamp,
) -> Result<Option<Envelope>, OperatorError> {
    let known = known.max(crate::home::load(&settings.state)?.moves.number);
    let said = there.filter(|said| roster.check(&RecordKey::Home, said).is_ok()).and_then(|said| said.record::<HomeRecord>().ok());
    let number = known.max(said.as_ref().map_or(0, |home| home.number));
    if number == 0 || said.is_some_and(|home| home.state == HomeState::Here && home.number == number) {
        return Ok(None);
    }
    if !roster.members.get(&identity.node).is_some_and(|me| me.granted.contains(&Role::Issue)) {
        let issuers: Vec<String> = roster.with_role(Role::Issue).map(|(node, _)| node.to_string()).collect();
        let what = "the fleet has moved to another store before, and only a node with the role issue can say that it lives in this one now";
        return Err(Refusal::new(what, format!("nothing was written; give the command on one of {}", issuers.join(", "))).into());
    }
    let copy = certfleet_store::fresh_nonce()?.as_str().to_owned();
    let home = HomeRecord { number, state: HomeState::Here, copy, other: "a backup or a cache".into(), at, extra: Default::default() };
    let expect = there.map_or(Expect::Absent, |said| Expect::Revision(said.revision("read")));
    Ok(Some(Pen::new(identity).write(&RecordKey::Home, &home, &expect)?))
}
