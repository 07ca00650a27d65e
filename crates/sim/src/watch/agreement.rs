//! A changed specification is taken up only when every live `issue` node presents the same configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::CertRecord;
use certfleet_core::spec::Role;
use tokio::time::Instant;

use super::{Presences, Sighting};

/// For so long a node must have presented another configuration, so that everybody has read of it.
const KNOWN: Duration = Duration::from_secs(15 * 60);
/// For so long who takes it up must have beaten: longer than a node counts as live that is not seen.
const AWAKE: Duration = Duration::from_secs(200);
/// For so long a write may have been under way.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// Who took up a specification and has not said since which configuration it has.
#[derive(Debug, Default)]
pub struct Agreement {
    adopted: BTreeMap<NodeName, (CertName, Instant)>,
}

impl Agreement {
    /// A record was written by `who`, who may be about to present another configuration.
    pub fn wrote(&mut self, who: &NodeName, cert: &CertName, before: Option<&CertRecord>, after: &CertRecord, presences: &Presences) {
        let is_awake = presences.of(who).is_some_and(|writer| writer.beats_for(AWAKE));
        if is_awake && before.is_some_and(|before| before.spec != after.spec) {
            self.adopted.insert(who.clone(), (cert.clone(), Instant::now()));
        }
    }

    /// `who` has presented its configuration.
    pub fn presented(&mut self, who: &NodeName, presences: &Presences) -> Result<(), String> {
        // Who died in between presents what it has in another life, when the others may have changed.
        let adopted = self.adopted.remove(who).filter(|(_, at)| at.elapsed() < KNOWN);
        let (Some((cert, _)), Some(writer)) = (adopted, presences.of(who)) else { return Ok(()) };
        let (own, since, last) = &writer.config;
        let was = last.as_ref().filter(|_| since.elapsed() < UNDER_WAY);
        let differs = |seen: &Sighting| {
            let (config, since, _) = &seen.config;
            let issues = seen.roles.contains(&Role::Issue);
            issues && config != own && Some(config) != was && since.elapsed() >= KNOWN && seen.beats_for(KNOWN)
        };
        match presences.all().find(|(_, seen)| differs(seen)) {
            Some((node, _)) => Err(format!("{cert}: {who} takes up a specification, and {node} has another configuration")),
            None => Ok(()),
        }
    }
}
