//! Questions to the world.

use std::collections::BTreeMap;

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

    /// The generation on a machine's disk.
    pub fn served_by(&self, id: &str, cert: &CertName) -> String {
        let Some(machine) = self.machines.get(id) else { self.fail("no such machine") };
        let served: BTreeMap<_, _> = machine.disk.iter().filter(|((name, _), _)| name == cert).collect();
        served.values().next().map_or("nothing".into(), |placed| placed.placement.generation.to_string())
    }
}
