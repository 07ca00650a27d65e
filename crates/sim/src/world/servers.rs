//! What servers take, and what they serve.

use super::{Observer, lock};
use crate::machine::{Machine, Standing};
use crate::servers::Visitor;
use crate::watch::serving;
use certfleet_core::names::NodeName;
use certfleet_core::records::CertRecord;
use certfleet_deploy::Material;
use std::sync::Weak;
use tokio::time::Instant;

impl Visitor for Observer {
    fn installed(&self, who: &NodeName, material: &Material) {
        let (cert, leaf) = (&material.cert, &material.leaf);
        self.history.say(who.as_str(), || format!("serves {cert} generation {}", material.generation));
        let placed = lock(&self.placed).get(&(cert.clone(), leaf.serial.clone())).cloned();
        match placed {
            Some(placed) => {
                let (record, now) = (self.record(cert), self.ca.get().and_then(Weak::upgrade).map_or(placed.not_before, |ca| ca.now()));
                // What is installed while a node cannot keep anything it need not know in its next life.
                let keeps = !self.machines().get(who).is_some_and(Machine::has_full_disk);
                let found = lock(&self.checkers).installed((who, &material.node, keeps), (cert, record.as_ref()), &placed, now);
                found.into_iter().for_each(|(checker, why)| self.judge(checker, Err(why)));
            }
            None => self.history.violated(format!("placements: {who} installs certificate {} of {cert}, which nobody placed", leaf.serial)),
        }
    }
}

impl Observer {
    /// Judges what the machines serve now.
    pub fn look_around(&self) {
        let Some(ca) = self.ca.get().and_then(Weak::upgrade) else { return };
        let now = ca.now();
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return };
        let slack = serving::slack(engine.nature().visibility_delay());
        for machine in self.machines().values_mut() {
            if !engine.is_reachable(machine.who.as_str()) {
                machine.calm_since = machine.calm_since.map(|_| Instant::now());
            }
            let is_calm = machine.calm_since.is_some_and(|since| Instant::now() >= since + serving::CALM);
            if !machine.is_up() || !is_calm || machine.standing != Standing::Member {
                continue;
            }
            for ((_, cert), leaf) in machine.servers.served() {
                let is_fresh = lock(&self.placed_at).get(&cert).is_none_or(|(_, at)| at.elapsed() < slack);
                let is_its = |record: &CertRecord| !is_fresh && record.spec.is_placed_on(&machine.node) && !record.retired;
                let record = self.record(&cert).filter(|record| is_its(record) && !lock(&self.checkers).is_out_of_reach(&cert, record));
                self.judge("serving", record.map_or(Ok(()), |record| serving::serving(&machine.node, &leaf, &record, now)));
            }
        }
    }
}
