//! Sets of records, and which of them count: what all the commands of `store` share.
//!
//! Always holds: whether a record counts follows from the set it is in and the fleet's keys alone, in whatever order it was read.

use std::collections::{BTreeMap, BTreeSet};

use certfleet_core::envelope::{Envelope, EnvelopeError, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{NodeName, VersionHash};
use certfleet_core::records::{
    AccountKeyRecord, AccountRecord, CertRecord, FleetRecord, HomeRecord, InvitationRecord, NodeRecord, Presence, PrivateKeyRecord, Report,
    RequestRecord, VersionRecord, WrapRecord,
};
use certfleet_core::trust::{Roster, SigningKey, may_write};
use certfleet_core::view::View;
use certfleet_store::{Settled, Store, StoreError, put_settled};
use serde::de::DeserializeOwned;

use super::super::{LATE, OperatorError, me, refused};
use crate::config::Settings;
use crate::identity::Identity;
use crate::membership::MembershipError;
use crate::trust::{Pen, WrapError};

/// How often a write that others are in the way of is tried.
const PUT_TRIES_MAX: u32 = 5;

/// Records by their keys.
pub(super) type Records = BTreeMap<Key, Envelope>;

/// What a set of records says of itself.
#[derive(Debug)]
pub(super) struct Sifted {
    pub fleet: FleetRecord,
    pub roster: Roster,
    /// The records that do not count, and why.
    pub faults: BTreeMap<Key, String>,
}

impl Sifted {
    /// Whether the record under `key` counts; `records` is the set that was sifted.
    pub fn counting<'r>(&self, records: &'r Records, key: &Key) -> Option<&'r Envelope> {
        records.get(key).filter(|_| !self.faults.contains_key(key))
    }
}

/// Finds out which of `records` count, by the fleet's keys that this machine joined with; none if the fleet's own record does not.
pub(super) fn sift(settings: &Settings, identity: &Identity, records: &Records) -> Option<Sifted> {
    let mut view = View::new(me(settings, identity), settings.spec.clone());
    let is_roster = |key: &Key| matches!(RecordKey::of(key), Some(RecordKey::Fleet | RecordKey::Node(_)));
    for (key, envelope) in records.iter().filter(|(key, _)| is_roster(key)) {
        view.apply(key, Some((envelope, &envelope.revision("read"))), LATE);
    }
    let judge = Judge::new(&view.roster, view.nodes.values(), records);
    let faults = records.iter().filter_map(|(key, envelope)| Some((key.clone(), judge.fault(key, envelope)?))).collect();
    Some(Sifted { faults, fleet: view.fleet?, roster: Roster::clone(&view.roster) })
}

/// A set without a fleet's record is judged by that of the other.
pub(super) fn with_fleet(records: &Records, other: &Records) -> Records {
    let key = RecordKey::Fleet.key();
    let mut all = records.clone();
    if let (false, Some(fleet)) = (all.contains_key(&key), other.get(&key)) {
        all.insert(key, fleet.clone());
    }
    all
}

/// What decides whether a record counts. Two kinds do though whoever wrote them has no say: a version, by its hash in a certificate's record;
/// and a sealed key or a wrap that a node made before it was removed, since whoever opens it sees whether it is the right one.
pub(super) struct Judge<'a> {
    roster: &'a Roster,
    vouched: BTreeSet<(Key, VersionHash)>,
    former: BTreeMap<&'a NodeName, &'a NodeRecord>,
}

impl<'a> Judge<'a> {
    /// `nodes`: all that were ever let in and whose records still stand, as far as their sealed keys are to count.
    pub fn new(roster: &'a Roster, nodes: impl IntoIterator<Item = &'a NodeRecord>, records: &Records) -> Self {
        let former = nodes.into_iter().filter(|node| !roster.members.contains_key(&node.name));
        Self { roster, vouched: vouched_versions(roster, records), former: former.map(|node| (&node.name, node)).collect() }
    }

    /// Why a record does not count; none if it does.
    pub fn fault(&self, key: &Key, envelope: &Envelope) -> Option<String> {
        let Some(record) = RecordKey::of(key) else { return Some("this version of certfleet knows no such record".into()) };
        if let Err(why) = readable(&record, envelope) {
            return Some(why.to_string());
        }
        let why = self.roster.check(&record, envelope).err()?;
        let is_vouched = self.vouched.contains(&(key.clone(), envelope.body_hash()));
        (!is_vouched && !self.is_former_nodes_key(&record, envelope)).then(|| why.to_string())
    }

    fn is_former_nodes_key(&self, record: &RecordKey, envelope: &Envelope) -> bool {
        let is_sealed = matches!(record, RecordKey::PrivateKey(_) | RecordKey::Wrap(..));
        self.former.get(&envelope.writer).filter(|_| is_sealed).is_some_and(|node| {
            may_write(record, &node.name, &node.granted) && envelope.is_signed_by(&self.roster.fleet, &record.key(), [&node.signing_key])
        })
    }
}

/// The versions that certificates' records vouch for.
fn vouched_versions(roster: &Roster, records: &Records) -> BTreeSet<(Key, VersionHash)> {
    let vouched = records.iter().filter_map(|(key, envelope)| {
        let record = RecordKey::of(key)?;
        let RecordKey::Cert(cert) = &record else { return None };
        roster.check(&record, envelope).ok()?;
        let placed = envelope.record::<CertRecord>().ok()?.placed?;
        Some((RecordKey::Version(cert.clone(), placed.placement.generation).key(), placed.version))
    });
    vouched.collect()
}

fn readable(record: &RecordKey, envelope: &Envelope) -> Result<(), EnvelopeError> {
    fn read<T: DeserializeOwned>(envelope: &Envelope) -> Result<(), EnvelopeError> {
        envelope.record::<T>().map(drop)
    }
    match record {
        RecordKey::Fleet => read::<FleetRecord>(envelope),
        RecordKey::Home => read::<HomeRecord>(envelope),
        RecordKey::Node(_) | RecordKey::Joining(_) => read::<NodeRecord>(envelope),
        RecordKey::Invitation(_) => read::<InvitationRecord>(envelope),
        RecordKey::Presence(_) => read::<Presence>(envelope),
        RecordKey::AccountKey => read::<AccountKeyRecord>(envelope),
        RecordKey::Account(_) => read::<AccountRecord>(envelope),
        RecordKey::Cert(_) => read::<CertRecord>(envelope),
        RecordKey::Request(..) => read::<RequestRecord>(envelope),
        RecordKey::PrivateKey(_) => read::<PrivateKeyRecord>(envelope),
        RecordKey::Wrap(..) => read::<WrapRecord>(envelope),
        RecordKey::Version(..) => read::<VersionRecord>(envelope),
        RecordKey::Report(..) => read::<Report>(envelope),
    }
}

/// What stands in the store: values, and the revisions of those that cannot be read.
#[derive(Debug, Default)]
pub(super) struct There {
    pub records: Records,
    pub revisions: BTreeMap<Key, Revision>,
    pub unreadable: BTreeMap<Key, String>,
}

impl There {
    pub async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let listing = store.list("").await?;
        let mut there = Self::default();
        for (key, stored) in listing.entries {
            there.revisions.insert(key.clone(), stored.revision);
            there.records.insert(key, stored.envelope);
        }
        for value in listing.unreadable {
            there.revisions.extend(value.revision.map(|revision| (value.key.clone(), revision)));
            there.unreadable.insert(value.key, value.why);
        }
        Ok(there)
    }

    /// What must stand under `key` for it to be written over.
    pub fn expect(&self, key: &Key) -> Expect {
        self.revisions.get(key).map_or(Expect::Absent, |revision| Expect::Revision(revision.clone()))
    }

    /// Whether exactly this value stands there.
    pub fn has(&self, key: &Key, envelope: &Envelope) -> bool {
        self.records.get(key) == Some(envelope)
    }

    /// Refuses a store that holds another fleet, or a fleet's record that a newer version wrote.
    pub fn check_ours(&self, identity: &Identity) -> Result<(), OperatorError> {
        let key = RecordKey::Fleet.key();
        if let Some(why) = self.unreadable.get(&key).filter(|why| is_newer(why)) {
            return refused(format!("the store's fleet record cannot be read: {why}"), "upgrade certfleet on this machine");
        }
        let fleet = self.records.get(&key).and_then(|envelope| envelope.record::<FleetRecord>().ok());
        match fleet {
            Some(fleet) if fleet.id != identity.fleet => refused(
                format!(
                    "the store holds fleet {} ({}), and this machine is in {} ({})",
                    fleet.name, fleet.id, identity.fleet_name, identity.fleet
                ),
                "see that the right store is configured and mounted",
            ),
            _ => Ok(()),
        }
    }
}

/// Whether a value cannot be read because a newer version wrote it; the store hands on the words of [`EnvelopeError::TooNew`].
pub(super) fn is_newer(why: &str) -> bool {
    why.contains("is newer than this version's format")
}

/// Writes an envelope over whatever stands there.
pub(super) async fn put_over(store: &dyn Store, key: &Key, envelope: &Envelope, expect: Expect) -> Result<(), OperatorError> {
    let mut expect = expect;
    for _ in 0..PUT_TRIES_MAX {
        if let Settled::Done(_) = put_settled(store, key, envelope, &expect).await? {
            return Ok(());
        }
        expect = standing(store, key).await?;
    }
    refused(format!("{key} is changed by others again and again"), "stop `certfleet run` on the fleet's nodes, then give the command again")
}

/// What stands under `key` now.
pub(super) async fn standing(store: &dyn Store, key: &Key) -> Result<Expect, OperatorError> {
    match store.get(key).await {
        Ok(stored) => Ok(stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision))),
        Err(StoreError::Corrupt { revision, .. }) => Ok(Expect::Revision(revision)),
        Err(error) => Err(MembershipError::from(error).into()),
    }
}

/// Whoever can say again what somebody said who has no say any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voucher<'a> {
    pub pen: &'a Pen,
    pub roster: &'a Roster,
    pub fleet_key: Option<&'a SigningKey>,
}

impl Voucher<'_> {
    /// The same record, signed anew, one change later; none if this node may not say so either.
    pub fn vouch(&self, record: &RecordKey, envelope: &Envelope) -> Result<Option<Envelope>, WrapError> {
        let expect = Expect::Revision(envelope.revision("read"));
        if let (RecordKey::Node(_), Some(fleet_key)) = (record, self.fleet_key) {
            return self.pen.write_as_fleet(record, &envelope.body, &expect, fleet_key).map(Some);
        }
        let me = self.roster.members.get(self.pen.node());
        if !me.is_some_and(|me| may_write(record, self.pen.node(), &me.granted)) {
            return Ok(None);
        }
        let again = self.pen.write(record, &envelope.body, &expect)?;
        Ok(self.roster.check(record, &again).is_ok().then_some(again))
    }
}
