//! What is looked at once the faults have stopped, besides what is served: who lags behind, and what those who were removed may know.

use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{AccountKeyRecord, CertRecord, FleetRecord, Placed};
use certfleet_core::spec::Role;

use crate::fleet::Wanted;
use crate::scenario::Scene;
use crate::shape::PER_NODE;
use crate::watch::Late;

impl Scene {
    /// Whether every node serves what it should, and nothing is under way.
    pub(crate) fn is_at_rest(&self) -> Result<(), String> {
        for node in self.members() {
            for wanted in self.wanted.iter().filter(|wanted| self.with(&node, |machine| machine.deploys(wanted))) {
                self.serves(&node, wanted)?;
            }
        }
        self.world.observer.left_forged().map_or(Ok(()), |key| Err(format!("{key} is forged")))
    }

    fn serves(&self, node: &NodeName, wanted: &Wanted) -> Result<(), String> {
        let own = (wanted.lines == PER_NODE).then(|| format!("{}@{node}", wanted.name));
        let cert: CertName = own.as_ref().unwrap_or(&wanted.name).parse().expect("a certificate's name");
        let record = self.world.record(&cert).ok_or_else(|| format!("{cert} has no record"))?;
        let placed = record.placed.as_ref().ok_or_else(|| format!("{cert} was never issued"))?;
        let mut names: Vec<String> = placed.names.iter().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        let served = self.with(node, |machine| machine.servers.served());
        let served = served.iter().find(|((_, served), _)| *served == cert).map(|(_, leaf)| leaf.serial.clone());
        match () {
            () if record.attempt.is_some() => Err(format!("{cert} has an attempt")),
            () if names != wanted.names() => Err(format!("{cert} is placed with the names {names:?}")),
            () if placed.not_after <= self.world.site.ca.now() => Err(format!("{cert} has expired")),
            () if served != Some(placed.serial.clone()) => Err(format!("{node} serves another generation of {cert}")),
            () => self.is_secret(&cert, &record),
        }
    }

    /// Whether nobody who was removed as compromised could read the key that is placed, or the account key.
    pub(crate) fn is_secret(&self, cert: &CertName, record: &CertRecord) -> Result<(), String> {
        let could_read = |node: &NodeName| record.spec.is_placed_on(node) && self.shape.granted_to(node).contains(&Role::Deploy);
        let placed = record.placed.as_ref().map_or(u64::MAX, |placed| placed.after_removals);
        if let Some(node) = self.compromised_since(placed).into_iter().find(could_read) {
            return Err(format!("{cert} has a key that {node} could read, who was removed as compromised"));
        }
        let account: Option<AccountKeyRecord> =
            self.world.site.engine.envelope(&RecordKey::AccountKey.key()).and_then(|key| key.record().ok());
        let account = account.map_or(u64::MAX, |key| key.current.after_removals);
        match self.compromised_since(account).into_iter().find(|node| self.shape.granted_to(node).contains(&Role::Issue)) {
            Some(node) => Err(format!("{node} could read the account key, who was removed as compromised")),
            None => Ok(()),
        }
    }

    /// Those who were removed as compromised when the list was so long, or longer.
    fn compromised_since(&self, length: u64) -> Vec<NodeName> {
        let fleet: Option<FleetRecord> = self.world.site.engine.envelope(&RecordKey::Fleet.key()).and_then(|fleet| fleet.record().ok());
        let removals = fleet.into_iter().flat_map(|fleet| fleet.removals).skip(usize::try_from(length).unwrap_or(usize::MAX));
        removals.filter(|removal| removal.compromised).map(|removal| removal.node).collect()
    }

    /// Whether nobody lags behind for long: a member does not serve what another one does.
    pub(crate) fn is_in_step(&self, late: &mut Late) -> Result<(), String> {
        for (wanted, cert, record) in self.wanted.iter().filter_map(|wanted| {
            let cert: CertName = wanted.name.parse().expect("a certificate's name");
            let record = self.world.record(&cert)?;
            Some((wanted, cert, record))
        }) {
            // Nobody installs what has expired, and who serves a later one than a backup placed, or somebody who knew no better, keeps that.
            let observer = &self.world.observer;
            let is_awaited = |placed: &Placed| placed.not_after > self.world.site.ca.now() && !observer.is_restored(&placed.serial);
            let is_of_use = |placed: &Placed| is_awaited(placed) && record.spec.rollout.canary == 0;
            let Some(placed) = record.placed.filter(is_of_use) else { continue };
            let deploys = |node: &NodeName| record.spec.is_placed_on(node) && self.with(node, |machine| machine.deploys(wanted));
            let may = |node: &NodeName| deploys(node) && !observer.is_above(node, &cert, &placed);
            let nodes: Vec<NodeName> = self.members().into_iter().filter(may).collect();
            let serves = |node: &NodeName| {
                let served = self.with(node, |machine| machine.servers.served());
                served.iter().any(|((_, of), leaf)| *of == cert && leaf.serial == placed.serial)
            };
            late.looked(&cert, &placed.serial, nodes.iter().map(|node| (node, serves(node))))?;
        }
        Ok(())
    }
}
