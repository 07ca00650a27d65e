//! Taking what was read from the store into the view, and what counts of it into the sealed cache.

use certfleet_acme::inspect_csr;
use certfleet_core::envelope::{Envelope, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{Identifier, SpkiHash};
use certfleet_core::records::{AccountKeyRecord, RequestRecord, WrapRecord};
use certfleet_core::spec::Role;
use certfleet_core::time::Mono;
use certfleet_core::view::{Taken, View, is_kept};
use certfleet_store::{Stored, Unreadable};

use super::parts::Kit;
use crate::executor::Found;
use crate::trust::ACCOUNT_PURPOSE;

impl Kit {
    /// Takes in what was read. What counts is on disk before anything is decided by it. Gives whether the view is whole: where the fleet has
    /// come to live in this store only now, everything is to be read again.
    pub fn take_in(&mut self, view: &mut View, found: &[Found], unreadable: Vec<Unreadable>, now: Mono) -> bool {
        let was_elsewhere = view.not_at_home().is_some();
        for (key, stored) in in_order(found) {
            match stored {
                Some(stored) => self.take_in_one(view, key, stored, now),
                None => {
                    view.apply(key, None, now);
                }
            }
        }
        for Unreadable { key, why, revision } in unreadable {
            if let Some(revision) = revision {
                view.refuse(&key, &why, &revision, false, now);
                tell_refused(view, &key, &revision);
            }
        }
        let is_other_roster = *view.roster.arc() != *self.roster.load();
        if is_other_roster {
            self.roster.store(view.roster.arc().clone());
            self.keep_all(view, found);
        }
        if is_other_roster || found.iter().any(|(key, _)| key.is_under("accounts/@key") || key.is_under("wraps")) {
            self.try_account_keys(view, now);
        }
        !was_elsewhere || view.not_at_home().is_some()
    }

    fn take_in_one(&mut self, view: &mut View, key: &Key, stored: &Stored, now: Mono) {
        let record = RecordKey::of(key);
        if let Some(RecordKey::Request(..)) = &record
            && let Err(why) = check_request(&stored.envelope)
        {
            view.refuse(key, &why, &stored.revision, false, now);
            return tell_refused(view, key, &stored.revision);
        }
        let mut taken = view.apply(key, Some((&stored.envelope, &stored.revision)), now);
        if view.strays.contains_key(key) && record.as_ref().is_some_and(is_kept) && self.recall_later(view, key, now) {
            taken = view.apply(key, Some((&stored.envelope, &stored.revision)), now);
        }
        tell_refused(view, key, &stored.revision);
        if taken == Taken::New && record.as_ref().is_some_and(|record| is_kept(record) || self.is_wanted(view, record)) {
            self.keep(view, key, &stored.envelope);
        }
    }

    /// Where something stands that does not count, a command on this machine may have kept a later record than this life has seen.
    fn recall_later(&self, view: &mut View, key: &Key, now: Mono) -> bool {
        let known = view.accepted.get(key).map_or(0, |accepted| accepted.revision.change);
        let later = self.keeper.get(key).filter(|kept| kept.change > known);
        later.is_some_and(|kept| view.recall(key, &kept, now) == Taken::New)
    }

    /// Whether it is a wrap that this node needs: one that works is not given up for another.
    fn is_wanted(&self, view: &View, record: &RecordKey) -> bool {
        matches!(record, RecordKey::Wrap(spki, _) if view.local.lacks.contains_key(spki) || self.keeper.get(&record.key()).is_none())
    }

    /// A change of the roster can have made strays of this batch count.
    fn keep_all(&mut self, view: &View, found: &[Found]) {
        for (key, stored) in found.iter().filter_map(|(key, stored)| Some((key, stored.as_ref()?))) {
            let counts = view.accepted.get(key).is_some_and(|accepted| accepted.revision == stored.revision);
            if counts && RecordKey::of(key).is_some_and(|record| is_kept(&record)) {
                self.keep(view, key, &stored.envelope);
            }
        }
    }

    /// Whether this node can open the account keys; what it lacks, others are asked for.
    pub fn try_account_keys(&self, view: &mut View, now: Mono) {
        let Some(record) = view.account_key.clone().filter(|_| view.my_roles().contains(&Role::Issue)) else { return };
        for spki in self.openable(&record) {
            match spki {
                Ok(spki) => {
                    view.local.lacks.remove(&spki);
                    view.local.holds.insert(spki);
                }
                Err(spki) => {
                    view.local.holds.remove(&spki);
                    view.local.lacks.entry(spki).or_insert(now);
                }
            }
        }
    }

    fn openable(&self, record: &AccountKeyRecord) -> Vec<Result<SpkiHash, SpkiHash>> {
        let opens = |key: &certfleet_core::records::AccountKey| {
            let wrap = RecordKey::Wrap(key.spki.clone(), self.pen.node().clone()).key();
            let later = self.keeper.get(&wrap).and_then(|envelope| envelope.record::<WrapRecord>().ok());
            let opened = self.pen.open(&key.key, later.as_ref().map(|later| &later.wrap), ACCOUNT_PURPOSE, &key.spki);
            opened.map(|_| key.spki.clone()).map_err(|_| key.spki.clone())
        };
        record.keys().map(opens).collect()
    }
}

/// Those first who say whose word counts, then whether the fleet lives here: it decides whether the rest is taken in.
fn in_order(found: &[Found]) -> impl Iterator<Item = &Found> {
    let rank = |key: &Key| match RecordKey::of(key) {
        Some(RecordKey::Fleet | RecordKey::Node(_)) => 0,
        Some(RecordKey::Home) => 1,
        _ => 2,
    };
    (0..3).flat_map(move |turn| found.iter().filter(move |(key, _)| rank(key) == turn))
}

/// The decision tells of what lasts; this is for those who look into what stands in the store.
fn tell_refused(view: &View, key: &Key, revision: &Revision) {
    if let Some(stray) = view.strays.get(key).filter(|stray| stray.revision.as_ref() == Some(revision)) {
        tracing::debug!(event = "record-refused", key = %key, revision = %revision.engine, why = %stray.why);
    }
}

/// Whether the request asks for what the record says, with the key that it says.
fn check_request(envelope: &Envelope) -> Result<(), String> {
    let record: RequestRecord = envelope.record().map_err(|error| error.to_string())?;
    let facts = inspect_csr(&record.csr).map_err(|error| error.to_string())?;
    let set = |names: &[Identifier]| names.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    match () {
        () if facts.key != record.key => Err("its certificate signing request is for another key".into()),
        () if set(&facts.names) != set(&record.names) => Err("its certificate signing request is for other names".into()),
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use certfleet_core::names::Generation;
    use certfleet_core::records::CertRecord;

    use super::super::surroundings::ThisMachine;
    use super::super::work::Daemon;
    use super::*;
    use crate::operator::lab::{Lab, cert, cert_key, generation};

    async fn everything(lab: &Lab) -> Vec<Found> {
        let entries = lab.store().await.list("").await.expect("lists").entries;
        entries.into_iter().map(|(key, stored)| (key, Some(stored))).collect()
    }

    /// Else a node that had been away would put the one before it there, and use its numbers again.
    #[tokio::test]
    async fn what_a_removal_said_on_this_machine_is_known_where_the_removed_node_writes_over_it() {
        let lab = Lab::new().await;
        lab.issue("n2", 1).await;
        let mut daemon = Daemon::new(lab.machine("n1").settings, lab.identity("n1"), Arc::new(ThisMachine)).expect("begins");
        let shared = daemon.shared.clone();
        let mut take_in = |found: Vec<Found>| {
            let mut seen = shared.lock();
            daemon.kit.take_in(&mut seen.view, &found, Vec::new(), Mono::default());
            generation(&seen.view)
        };
        assert_eq!(take_in(everything(&lab).await), 1);
        lab.issue("n2", 2).await;
        lab.remove("n2").await;
        let said: CertRecord = lab.read(&RecordKey::Cert(cert())).await;
        lab.write("n2", &RecordKey::Cert(cert()), &CertRecord { last_number: Generation(3), ..said.clone() }).await;
        assert_eq!(take_in(everything(&lab).await), 2);
        let view = &shared.lock().view;
        assert_eq!(view.certs.get(&cert()).map(|seen| seen.value.clone()), Some(said));
        assert!(view.strays.contains_key(&cert_key()), "what stands there is put right");
    }
}
