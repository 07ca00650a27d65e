//! What commands do to a certificate: renewing it, going back, going on, its history.

use certfleet_core::decide::{go_back, request_renewal, resume_rollout};
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, VersionHash};
use certfleet_core::records::{CertRecord, HistoryEntry, VersionRecord};
use certfleet_core::time::{Now, Timestamp};
use certfleet_core::view::View;
use certfleet_core::x509::Leaf;
use certfleet_store::{Settled, Store, put_settled};

use super::{LATE, Machine, OperatorError, refused};
use crate::refusal::Refusal;
use crate::trust::Pen;

/// How often a refused compare-and-swap of a command is tried again.
const CAS_TRIES_MAX: u32 = 20;

/// Changes a certificate's record by compare-and-swap, again while others change it. What does not count is not changed.
async fn change(
    machine: &Machine,
    cert: &CertName,
    change: impl Fn(&View, &CertRecord) -> Result<CertRecord, OperatorError>,
) -> Result<CertRecord, OperatorError> {
    let key = RecordKey::Cert(cert.clone());
    for _ in 0..CAS_TRIES_MAX {
        let (store, identity, view) = machine.issuing().await?;
        if let Some(stray) = view.strays.get(&key.key()) {
            return refused(
                format!("{key} does not count now: {}", stray.why),
                "the daemons put it right; give the command again in a while",
            );
        }
        let Some(seen) = view.certs.get(cert) else { return Err(no_record(&view, cert).into()) };
        let changed = change(&view, &seen.value)?;
        let expect = Expect::Revision(seen.revision.clone());
        let envelope = Pen::new(&identity).write(&key, &changed, &expect)?;
        match put_settled(store.as_ref(), &key.key(), &envelope, &expect).await? {
            Settled::Done(_) => return Ok(changed),
            Settled::Conflict => {}
        }
    }
    refused(format!("{cert} is being changed by others all the time"), "try again")
}

fn no_record(view: &View, cert: &CertName) -> Refusal {
    let likeness = |name: &CertName| strsim::jaro_winkler(name.as_str(), cert.as_str());
    let nearest = view.certs.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) => {
            Refusal::new(format!("the fleet has no certificate {cert}"), format!("did you mean {nearest}? `certfleet status` lists them"))
        }
        None => Refusal::new(
            format!("the fleet has no certificate {cert} yet"),
            "it gets one soon after a node runs with it in its configuration; `certfleet status` says how far it is",
        ),
    }
}

/// Asks for a new generation; a running attempt is what was asked for. Gives the generation that is placed now.
pub async fn renew(machine: &Machine, cert: &CertName, new_key: bool) -> Result<Option<Generation>, OperatorError> {
    let now = Now { wall: Timestamp::now(), mono: LATE };
    let changed = change(machine, cert, |_, record| match record.retired {
        true => refused(format!("{cert} is retired: no configuration names it any more"), "put it back into the configuration first"),
        false => Ok(request_renewal(record, new_key, now)),
    });
    Ok(changed.await?.placed.map(|placed| placed.placement.generation))
}

/// A halted rollout goes on.
pub async fn rollout_resume(machine: &Machine, cert: &CertName) -> Result<(), OperatorError> {
    change(machine, cert, |_, record| Ok(resume_rollout(record))).await.map(drop)
}

/// The fleet goes back to `to`, or to the generation before the placed one. Gives (from, to).
pub async fn rollout_back(machine: &Machine, cert: &CertName, to: Option<Generation>) -> Result<(Generation, Generation), OperatorError> {
    let (store, _, view) = machine.issuing().await?;
    let now = Now { wall: Timestamp::now(), mono: LATE };
    let Some(record) = view.certs.get(cert).map(|seen| &seen.value) else { return Err(no_record(&view, cert).into()) };
    let Some(from) = record.placed.as_ref().map(|placed| placed.placement.generation) else {
        return refused(format!("{cert} has no generation yet, so there is none to go back to"), "`certfleet status` says how far it is");
    };
    let versions = versions(store.as_ref(), &view, cert).await?;
    let older = |version: &&(VersionRecord, VersionHash)| match to {
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
    change(machine, cert, |view, record| Ok(go_back(view, cert, record, version, hash.clone(), &leaf, now))).await?;
    Ok((from, version.generation))
}

/// The stored versions of a certificate that count, oldest first.
async fn versions(store: &dyn Store, view: &View, cert: &CertName) -> Result<Vec<(VersionRecord, VersionHash)>, OperatorError> {
    let listing = store.list(&format!("versions/{cert}")).await?;
    let counts = |key: &Key, envelope: &Envelope| RecordKey::of(key).is_some_and(|record| view.roster.check(&record, envelope).is_ok());
    let readable = listing.entries.into_iter().filter(|(key, stored)| counts(key, &stored.envelope));
    let readable = readable.filter_map(|(_, stored)| Some((stored.envelope.record().ok()?, stored.envelope.body_hash())));
    let mut versions: Vec<(VersionRecord, _)> = readable.collect();
    versions.sort_by_key(|(version, _)| version.generation);
    Ok(versions)
}

/// The latest attempts that ended, oldest first.
pub async fn history(machine: &Machine, cert: &CertName) -> Result<Vec<HistoryEntry>, OperatorError> {
    let (_, _, view) = machine.standing().await?;
    match view.certs.get(cert) {
        Some(seen) => Ok(seen.value.history.clone()),
        None => Err(no_record(&view, cert).into()),
    }
}
