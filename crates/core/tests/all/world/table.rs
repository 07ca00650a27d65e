//! Questions to the world.

use std::collections::BTreeMap;

use certfleet_core::key::RecordKey;
use certfleet_core::names::CertName;

use super::World;

impl World {
    /// The machines that are up.
    pub fn up(&self) -> Vec<String> {
        self.machines.values().filter(|machine| machine.is_up()).map(|machine| machine.id.clone()).collect()
    }

    /// The machines that have seen the placed generation served.
    pub fn verified_by(&self, cert: &CertName) -> Vec<String> {
        let Some(placed) = self.cert_record(cert).and_then(|record| record.placed) else { return Vec::new() };
        self.machines.values().filter(|machine| machine.has_verified(cert, &placed)).map(|machine| machine.id.clone()).collect()
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
        named.filter(|key| self.store.get(&RecordKey::PrivateKey(key.clone()).key()).is_none()).count()
    }

    /// The generation on a machine's disk.
    pub fn served_by(&self, id: &str, cert: &CertName) -> String {
        let Some(machine) = self.machines.get(id) else { self.fail("no such machine") };
        let served: BTreeMap<_, _> = machine.disk.iter().filter(|((name, _), _)| name == cert).collect();
        served.values().next().map_or("nothing".into(), |placed| placed.placement.generation.to_string())
    }
}
