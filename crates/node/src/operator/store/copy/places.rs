//! Where a copy may begin, and into what it may go.

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::{HomeRecord, HomeState};
use certfleet_core::trust::Roster;
use certfleet_core::view::View;
use certfleet_store::{Store, delete_settled, fresh_nonce, put_settled, shown_url};

use super::super::super::{Machine, OperatorError, refused, view_of};
use super::super::records::There;
use super::Copying;
use crate::config::Settings;
use crate::identity::Identity;
use crate::membership::our_fleet;
use crate::refusal::Refusal;

/// The store that the fleet lives in, or has left for this very copy.
pub(super) struct Source {
    pub roster: Roster,
    /// What stands under `home`.
    pub there: Expect,
    /// The word that the fleet has left, by an earlier run.
    pub left: Option<Envelope>,
    /// That of the copy which an earlier run began.
    pub copy: Option<String>,
    /// Of this move.
    pub number: u64,
    /// Where the fleet has moved, as it was shown.
    other: Option<String>,
}

impl Source {
    pub async fn read(store: &dyn Store, settings: &Settings, identity: &Identity, how: &Copying<'_>) -> Result<Self, OperatorError> {
        our_fleet(store, identity).await?;
        let view = view_of(store, settings, identity, how.at).await?;
        let home = view.home.clone();
        if let Some(HomeRecord { state: HomeState::Arriving, other, .. }) = &home {
            let shown = shown_url(how.from);
            return refused(
                format!("a copy from {other} to {shown} has not ended"),
                format!("end it: `certfleet store copy {other} {shown}`"),
            );
        }
        let left = home.as_ref().filter(|home| home.state == HomeState::Left);
        check_standing(&view, identity, left.is_some())?;
        let stored = store.get(&RecordKey::Home.key()).await?;
        let there = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Revision(stored.revision.clone()));
        let seen = home.as_ref().map_or(0, |home| home.number).max(view.local.moves.number);
        Ok(Self {
            roster: Roster::clone(&view.roster),
            there,
            left: stored.filter(|_| left.is_some()).map(|stored| stored.envelope),
            copy: left.map(|home| home.copy.clone()),
            number: if left.is_some() { seen } else { seen + 1 },
            other: left.map(|home| home.other.clone()),
        })
    }
}

/// Only a member that may issue is believed; from a store that the fleet has left, nothing but ending the copy is possible.
fn check_standing(view: &View, identity: &Identity, has_left: bool) -> Result<(), OperatorError> {
    let mut standing = view.clone();
    if has_left {
        (standing.home, standing.local.moves) = (None, Default::default());
    }
    if let Err(why) = standing.membership() {
        return refused(why, "`certfleet node ls` says who is in");
    }
    Machine::check_issues(view, identity)
}

/// Refuses what is no URL of a store that this version has. Passwords are not shown.
pub fn check_store_url(url: &str) -> Result<(), Refusal> {
    let remedy = "give a store's URL as in the configuration; docs/stores.md lists the stores that there are";
    if url.starts_with("memory:") {
        return Err(Refusal::new("a store in memory ends with the command", remedy));
    }
    certfleet_store::check_url(url).map_err(|error| Refusal::new(error.to_string(), remedy))
}

/// Into what a copy goes.
pub(super) enum Destination {
    /// It may be written over; what stands under `home` there.
    Free(Expect),
    /// The copy was done before.
    Done,
}

/// Refuses what another fleet, or this one, lives in.
pub(super) async fn destination(
    store: &dyn Store,
    identity: &Identity,
    source: &Source,
    how: &Copying<'_>,
) -> Result<Destination, OperatorError> {
    let there = There::read(store).await?;
    there.check_ours(identity)?;
    let (key, to) = (RecordKey::Home.key(), shown_url(how.to));
    let said = there.records.get(&key).filter(|said| source.roster.check(&RecordKey::Home, said).is_ok());
    let home: Option<HomeRecord> = said.and_then(|said| said.record().ok());
    let holds: Vec<&Key> = there.revisions.keys().chain(there.unreadable.keys()).filter(|key| !key.is_under("probe")).collect();
    let is_same_copy = source.copy.is_some() && home.as_ref().map(|home| &home.copy) == source.copy.as_ref();
    match (&home, &source.other) {
        (Some(home), Some(_)) if is_same_copy && home.state == HomeState::Here => Ok(Destination::Done),
        (Some(_), Some(_)) if is_same_copy => Ok(Destination::Free(there.expect(&key))),
        (None, Some(other)) if holds.is_empty() && *other == to => Ok(Destination::Free(Expect::Absent)),
        (_, Some(other)) => {
            refused(format!("the fleet has moved from {} to {other}, not to {to}", shown_url(how.from)), format!("copy from {other}"))
        }
        (Some(home), None) if home.state == HomeState::Here => refused(
            format!("{to} holds this fleet already: it moved there from {}, and nodes may run on it", home.other),
            "see which of the two the nodes use: `store` in their configuration",
        ),
        (Some(_), None) => Ok(Destination::Free(there.expect(&key))),
        (None, None) if holds.is_empty() => Ok(Destination::Free(Expect::Absent)),
        (None, None) if there.records.contains_key(&RecordKey::Fleet.key()) => refused(
            format!("{to} holds this fleet already, and nothing says that the fleet has left it"),
            "see that no node uses it; then empty it, or give another place",
        ),
        (None, None) => refused(format!("{to} is not empty: it holds {}", holds[0]), "give an empty place, or another prefix"),
    }
}

/// Refuses two names of one store.
pub(super) async fn refuse_the_same(from: &dyn Store, to: &dyn Store) -> Result<(), OperatorError> {
    let nonce = fresh_nonce()?;
    let key: Key = format!("probe/{}", nonce.as_str()).parse().expect("hex digits are a segment");
    let probe = Envelope::new("probe".parse().expect("letters are a name"), nonce, &()).expect("nothing can be written");
    put_settled(to, &key, &probe, &Expect::Absent).await?;
    let is_same = from.get(&key).await?.is_some();
    if let Some(there) = to.get(&key).await? {
        delete_settled(to, &key, &there.revision).await?;
    }
    if is_same { refused("both are the same store", "give the place to which the fleet is to move") } else { Ok(()) }
}
