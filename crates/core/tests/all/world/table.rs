//! Questions to the world.

use std::collections::BTreeMap;

use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, SpkiHash};
use certfleet_core::records::{AccountKeyRecord, AccountRecord};
use certfleet_core::spec::Role;

use super::World;

impl World {
    /// The machines that are up.
    pub fn up(&self) -> Vec<String> {
        self.machines.values().filter(|machine| machine.is_up()).map(|machine| machine.id.clone()).collect()
    }

    /// The machines that have seen the placed generation served.
    pub fn verified_by(&self, cert: &CertName) -> Vec<String> {
        let Some(placed) = self.cert_record(cert).and_then(|record| record.placed) else { return Vec::new() };
        self.serving(cert).into_iter().filter(|id| self.machines[id].has_verified(cert, &placed)).collect()
    }

    /// Private keys that the records name and the store does not have.
    pub fn missing_keys(&self) -> usize {
        let records = self.store.keys().into_iter().filter_map(|key| match RecordKey::of(&key) {
            Some(RecordKey::Cert(cert)) => self.cert_record(&cert),
            _ => None,
        });
        let named = records.flat_map(|record| {
            let attempts: Vec<_> = record.attempt.iter().chain(&record.set_aside).map(|attempt| attempt.key.clone()).collect();
            attempts.into_iter().chain(record.placed.map(|placed| placed.key))
        });
        named.filter(|key| !self.has_key(key)).count()
    }

    /// Whether a key is in the store, or on the disk of a machine that made it for itself or opened it before the store lost it.
    pub fn has_key(&self, spki: &SpkiHash) -> bool {
        let stored = self.store.get(&RecordKey::PrivateKey(spki.clone()).key()).is_some();
        stored || self.machines.values().any(|machine| machine.own_keys.contains(spki) || machine.opened.contains(spki))
    }

    /// The members that are up and on which a certificate is placed. Of one of which a write was lost, a node that cannot write it may know
    /// more than all that can: it stays with what it has until that is outdone, and is left out here.
    pub fn serving(&self, cert: &CertName) -> Vec<String> {
        let Some(spec) = self.cert_record(cert).map(|record| record.spec) else { return Vec::new() };
        let serves = |machine: &&super::machine::Machine| {
            let is_there = machine.is_up() && self.is_member(&machine.id) && spec.is_placed_on(&machine.node);
            let is_up_to_date = !self.watch.has_lost(cert) || machine.roles.contains(&Role::Issue);
            is_there && is_up_to_date && machine.roles.contains(&Role::Deploy)
        };
        self.machines.values().filter(serves).map(|machine| machine.id.clone()).collect()
    }

    /// The generation on a machine's disk.
    pub fn served_by(&self, id: &str, cert: &CertName) -> String {
        let Some(machine) = self.machines.get(id) else { self.fail("no such machine") };
        let served: BTreeMap<_, _> = machine.disk.iter().filter(|((name, _), _)| name == cert).collect();
        served.values().next().map_or("nothing".into(), |placed| placed.placement.generation.to_string())
    }

    /// The certificates that have a record and are not retired.
    pub fn certificates(&self) -> Vec<String> {
        let certs = self.store.keys().into_iter().filter_map(|key| match RecordKey::of(&key) {
            Some(RecordKey::Cert(cert)) => self.cert_record(&cert).filter(|record| !record.retired).map(|_| cert.to_string()),
            _ => None,
        });
        certs.collect()
    }

    /// The thumbprint of the account key in use; with what is amiss, if a CA knows another.
    pub fn account_in_use(&self) -> String {
        let Some(key) = self.store.record::<AccountKeyRecord>(&RecordKey::AccountKey.key()) else { return "none".into() };
        let rolling = if key.next.is_some() { " (rolling)" } else { "" };
        let accounts = self.store.keys().into_iter().filter(|key| matches!(RecordKey::of(key), Some(RecordKey::Account(_))));
        let accounts = accounts.filter_map(|key| self.store.record::<AccountRecord>(&key));
        let differs = |account: &AccountRecord| self.cas[&account.issuer].key_of(&account.url) != Some(account.thumbprint.as_str());
        let amiss: Vec<String> =
            accounts.filter(|account| differs(account)).map(|account| format!(" (not at {})", account.issuer)).collect();
        format!("{}{rolling}{}", key.current.thumbprint, amiss.concat())
    }

    /// Whether the account key in use is another than the first one, and all CAs know it.
    pub fn is_rolled(&self) -> String {
        let now = self.account_in_use();
        let first = self.store.earlier(&RecordKey::AccountKey.key(), 1).and_then(|envelope| envelope.record::<AccountKeyRecord>().ok());
        if now.contains(' ') || first.is_none_or(|first| first.current.thumbprint == now) { now } else { "yes".into() }
    }
}
