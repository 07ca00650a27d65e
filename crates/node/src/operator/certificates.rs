//! What commands do to a certificate: renewing it, going back, going on, its history.

use certfleet_core::decide::{go_back, request_renewal, resume_rollout};
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Generation};
use certfleet_core::records::{CertRecord, HistoryEntry, VersionRecord};
use certfleet_core::time::{Now, Timestamp};
use certfleet_core::x509::Leaf;
use certfleet_store::{Settled, Store, put_settled};

use super::{LATE, Machine, OperatorError, refused, view_from_store};
use crate::identity::Identity;
use crate::membership::read;
use crate::refusal::Refusal;
use crate::trust;

/// How often a refused compare-and-swap of a command is tried again.
const CAS_TRIES_MAX: u32 = 20;

/// Changes a certificate's record by compare-and-swap, again while others change it.
async fn change(
    store: &dyn Store,
    identity: &Identity,
    cert: &CertName,
    change: impl Fn(&CertRecord) -> Result<CertRecord, OperatorError>,
) -> Result<CertRecord, OperatorError> {
    let key = RecordKey::Cert(cert.clone());
    for _ in 0..CAS_TRIES_MAX {
        let Some((record, revision)) = read::<CertRecord>(store, &key).await? else { return Err(no_record(store, cert).await?.into()) };
        let changed = change(&record)?;
        let envelope = trust::wrap(&identity.node, &changed)?;
        match put_settled(store, &key.key(), &envelope, &Expect::Revision(revision)).await? {
            Settled::Done(_) => return Ok(changed),
            Settled::Conflict => {}
        }
    }
    refused(format!("{cert} is being changed by others all the time"), "try again")
}

async fn no_record(store: &dyn Store, cert: &CertName) -> Result<Refusal, OperatorError> {
    let listing = store.list("certs").await?;
    let names: Vec<String> = listing.entries.iter().filter_map(|(key, _)| key.as_str().strip_prefix("certs/").map(str::to_owned)).collect();
    let nearest = names.iter().max_by(|a, b| strsim::jaro_winkler(a, cert.as_str()).total_cmp(&strsim::jaro_winkler(b, cert.as_str())));
    Ok(match nearest {
        Some(nearest) => {
            Refusal::new(format!("the fleet has no certificate {cert}"), format!("did you mean {nearest}? `certfleet status` lists them"))
        }
        None => Refusal::new(
            format!("the fleet has no certificate {cert} yet"),
            "it gets one soon after a node runs with it in its configuration; `certfleet status` says how far it is",
        ),
    })
}

/// Asks for a new generation; a running attempt is what was asked for. Gives the generation that is placed now.
pub async fn renew(machine: &Machine, cert: &CertName) -> Result<Option<Generation>, OperatorError> {
    let (store, identity) = machine.fleet_store().await?;
    let now = Now { wall: Timestamp::now(), mono: LATE };
    let changed = change(store.as_ref(), &identity, cert, |record| match record.retired {
        true => refused(format!("{cert} is retired: no configuration names it any more"), "put it back into the configuration first"),
        false => Ok(request_renewal(record, now)),
    });
    Ok(changed.await?.placed.map(|placed| placed.placement.generation))
}

/// A halted rollout goes on.
pub async fn rollout_resume(machine: &Machine, cert: &CertName) -> Result<(), OperatorError> {
    let (store, identity) = machine.fleet_store().await?;
    change(store.as_ref(), &identity, cert, |record| Ok(resume_rollout(record))).await.map(drop)
}

/// The fleet goes back to `to`, or to the generation before the placed one. Gives (from, to).
pub async fn rollout_back(machine: &Machine, cert: &CertName, to: Option<Generation>) -> Result<(Generation, Generation), OperatorError> {
    let (store, identity) = machine.fleet_store().await?;
    let now = Now { wall: Timestamp::now(), mono: LATE };
    let view = view_from_store(store.as_ref(), &machine.settings, &identity, now).await?;
    let Some(record) = view.certs.get(cert).map(|seen| &seen.value) else { return Err(no_record(store.as_ref(), cert).await?.into()) };
    let Some(from) = record.placed.as_ref().map(|placed| placed.placement.generation) else {
        return refused(format!("{cert} has no generation yet, so there is none to go back to"), "`certfleet status` says how far it is");
    };
    let versions = versions(store.as_ref(), cert).await?;
    let older = |version: &&(VersionRecord, certfleet_core::names::VersionHash)| match to {
        Some(to) => version.0.generation == to,
        None => version.0.generation < from,
    };
    let Some((version, hash)) = versions.iter().rfind(older) else {
        let known: Vec<String> = versions.iter().map(|(version, _)| version.generation.to_string()).collect();
        let wanted = to.map_or("an older one".to_owned(), |to| format!("generation {to}"));
        return refused(
            format!("{cert} serves generation {from}, and {wanted} is not in the store"),
            format!("the store holds {}; `certfleet history {cert}` lists what was issued", known.join(", ")),
        );
    };
    let leaf = Leaf::from_pem(&version.chain).map_err(|e| {
        Refusal::new(
            format!("versions/{cert}/{} in the store cannot be used: {e}", version.generation),
            "choose another generation with `--to N`",
        )
    })?;
    if leaf.not_after <= now.wall {
        return refused(
            format!("generation {} of {cert} expired at {}", version.generation, leaf.not_after),
            format!("get a new one instead: `certfleet renew {cert}`"),
        );
    }
    if version.generation == from {
        return refused(format!("{cert} serves generation {from} already"), "nothing needs to be done");
    }
    change(store.as_ref(), &identity, cert, |record| Ok(go_back(&view, cert, record, version, hash.clone(), &leaf, now))).await?;
    Ok((from, version.generation))
}

/// The stored versions of a certificate, oldest first.
async fn versions(store: &dyn Store, cert: &CertName) -> Result<Vec<(VersionRecord, certfleet_core::names::VersionHash)>, OperatorError> {
    let listing = store.list(&format!("versions/{cert}")).await?;
    let readable =
        listing.entries.into_iter().filter_map(|(_, stored)| Some((stored.envelope.record().ok()?, stored.envelope.body_hash())));
    let mut versions: Vec<(VersionRecord, _)> = readable.collect();
    versions.sort_by_key(|(version, _)| version.generation);
    Ok(versions)
}

/// The latest attempts that ended, oldest first.
pub async fn history(machine: &Machine, cert: &CertName) -> Result<Vec<HistoryEntry>, OperatorError> {
    let (store, _) = machine.fleet_store().await?;
    match read::<CertRecord>(store.as_ref(), &RecordKey::Cert(cert.clone())).await? {
        Some((record, _)) => Ok(record.history),
        None => Err(no_record(store.as_ref(), cert).await?.into()),
    }
}
