//! `store recover`: a lost store is filled from this node's sealed cache; on the next nodes, with what it still lacks.
//!
//! Always holds: nothing that stands in the store is replaced, and the epoch is not raised. Records keep their `change`, so that a node that
//! knows a later one puts that in when it runs; a raised epoch would let the older one count. That is why no fleet key is needed either.
//! Keys that never leave their node are not put into the store; their certificates' records are.

use std::collections::BTreeSet;

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, NodeName};
use certfleet_core::records::{CertRecord, PrivateKeyRecord};
use certfleet_core::time::Timestamp;
use certfleet_store::{Settled, Store, put_settled};

use super::super::{Machine, OperatorError, refused};
use super::file::is_backed_up;
use super::home;
use super::records::{Records, Sifted, There, Voucher, sift, with_fleet};
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::trust::Pen;

/// What a recovery did.
#[derive(Debug)]
pub struct Recovered {
    /// What was put into the store.
    pub added: Vec<Key>,
    /// How many of the cache's records had something in their place already.
    pub stood: usize,
    /// What the cache has and nobody would believe, and why.
    pub left_out: Vec<(Key, String)>,
    /// The certificates that this node knows.
    pub certificates: Vec<KnownCertificate>,
}

/// A certificate as this node's cache knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCertificate {
    /// Which.
    pub cert: CertName,
    /// What is placed.
    pub generation: Option<Generation>,
    /// Where its key is.
    pub key: CertificateKey,
}

/// Where the key of a placed generation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateKey {
    /// In the store or this cache, sealed for these nodes.
    Sealed(BTreeSet<NodeName>),
    /// Never in the store: on this node alone.
    Here,
    /// On that node alone.
    On(NodeName),
    /// Neither in the store nor in this cache.
    Missing,
    /// Nothing is placed.
    None,
}

/// Fills what the store lacks from this node's cache.
pub async fn store_recover(machine: &Machine) -> Result<Recovered, OperatorError> {
    let identity = machine.member()?;
    let kept: Records = Keeper::new(&machine.settings.state).all("").into_iter().filter(|(key, _)| is_backed_up(key)).collect();
    let fleet_key = RecordKey::Fleet.key();
    if !kept.contains_key(&fleet_key) {
        return refused(
            format!("the cache in {} has no fleet record: this node never ran as a member", machine.settings.state.display()),
            "give the command on a node that did, or restore a backup with `certfleet store restore FILE`",
        );
    }
    let store = machine.store_to_fill().await?;
    let there = There::read(store.as_ref()).await?;
    there.check_ours(identity)?;
    let all = known(machine, identity, &there.records, &kept);
    let Some(sifted) = sift(&machine.settings, identity, &all) else {
        return refused(
            "neither the fleet's record in the store nor that in the cache counts",
            "`certfleet store check` says what stands there",
        );
    };
    let missing = kept.iter().filter(|(key, envelope)| !there.revisions.contains_key(*key) && !stays_here(key, envelope));
    let missing: Records = missing.map(|(key, envelope)| (key.clone(), envelope.clone())).collect();
    let stood = kept.keys().filter(|key| there.revisions.contains_key(*key)).count();
    let certificates = known_certificates(identity, &all, &kept);
    let (mut writes, left_out) = believable(identity, &sifted, missing)?;
    if !there.revisions.contains_key(&RecordKey::Home.key()) {
        let word = home::settle(&machine.settings, identity, &sifted.roster, None, 0, Timestamp::now())?;
        writes.splice(..0, word.map(|word| (RecordKey::Home.key(), word)));
    }
    let added = add(store.as_ref(), &writes).await?;
    Ok(Recovered { added, stood, left_out, certificates })
}

/// The cache, and over it what stands in the store and counts: whoever wrote that knew at least as much.
fn known(machine: &Machine, identity: &Identity, there: &Records, kept: &Records) -> Records {
    let standing = with_fleet(there, kept);
    let sifted = sift(&machine.settings, identity, &standing);
    let counting = there.iter().filter(|(key, _)| sifted.as_ref().is_some_and(|sifted| !sifted.faults.contains_key(*key)));
    let mut all = kept.clone();
    all.extend(counting.map(|(key, envelope)| (key.clone(), envelope.clone())));
    all
}

/// Keys of certificates that each node has one of its own of.
fn stays_here(key: &Key, envelope: &Envelope) -> bool {
    let is_key = matches!(RecordKey::of(key), Some(RecordKey::PrivateKey(_)));
    is_key && envelope.record::<PrivateKeyRecord>().is_ok_and(|record| record.cert.node().is_some())
}

type Writes = Vec<(Key, Envelope)>;
type LeftOut = Vec<(Key, String)>;

/// In the order in which they are written: the fleet's record last, so that daemons take up a store that is whole.
fn believable(identity: &Identity, sifted: &Sifted, missing: Records) -> Result<(Writes, LeftOut), OperatorError> {
    let pen = Pen::new(identity);
    let voucher = Voucher { pen: &pen, roster: &sifted.roster, fleet_key: None };
    let (mut writes, mut left_out) = (Writes::new(), LeftOut::new());
    for (key, envelope) in missing {
        let record = RecordKey::of(&key).expect("only what is backed up is here");
        let why = sifted.faults.get(&key);
        if why.is_none() && sifted.roster.members.contains_key(&envelope.writer) {
            writes.push((key, envelope));
            continue;
        }
        match (voucher.vouch(&record, &envelope)?, why) {
            (Some(again), _) => writes.push((key, again)),
            (None, Some(why)) => left_out.push((key, why.clone())),
            (None, None) => writes.push((key, envelope)),
        }
    }
    writes.sort_by_key(|(key, _)| match RecordKey::of(key) {
        Some(RecordKey::Fleet) => 2,
        Some(RecordKey::Cert(_)) => 1,
        _ => 0,
    });
    Ok((writes, left_out))
}

/// What somebody else adds at the same moment stays.
async fn add(store: &dyn Store, writes: &Writes) -> Result<Vec<Key>, OperatorError> {
    let mut added = Vec::new();
    for (key, envelope) in writes {
        if let Settled::Done(_) = put_settled(store, key, envelope, &Expect::Absent).await? {
            added.push(key.clone());
        }
    }
    Ok(added)
}

fn known_certificates(identity: &Identity, all: &Records, kept: &Records) -> Vec<KnownCertificate> {
    let certificates = kept.iter().filter_map(|(key, envelope)| {
        let RecordKey::Cert(cert) = RecordKey::of(key)? else { return None };
        let placed = envelope.record::<CertRecord>().ok()?.placed;
        let generation = placed.as_ref().map(|placed| placed.placement.generation);
        let key = placed.map_or(CertificateKey::None, |placed| place_of_key(identity, all, &cert, &RecordKey::PrivateKey(placed.key)));
        Some(KnownCertificate { cert, generation, key })
    });
    certificates.collect()
}

fn place_of_key(identity: &Identity, all: &Records, cert: &CertName, key: &RecordKey) -> CertificateKey {
    let record = all.get(&key.key()).and_then(|envelope| envelope.record::<PrivateKeyRecord>().ok());
    match (cert.node(), record) {
        (Some(node), Some(_)) if node == identity.node => CertificateKey::Here,
        (Some(node), None) if node != identity.node => CertificateKey::On(node),
        (_, None) => CertificateKey::Missing,
        (_, Some(record)) => {
            let RecordKey::PrivateKey(spki) = key else { return CertificateKey::Missing };
            let prefix = format!("wraps/{spki}");
            let first: Key = prefix.parse().expect("a kind and a hash are a key");
            let wraps = all.range(first..).map(|(key, _)| key).take_while(|key| key.is_under(&prefix));
            let later = wraps.filter_map(RecordKey::of).filter_map(|record| match record {
                RecordKey::Wrap(_, node) => Some(node),
                _ => None,
            });
            CertificateKey::Sealed(record.key.wraps.into_keys().chain(later).collect())
        }
    }
}
