//! Nobody takes an attempt from a holder that lives, as long as its record has not stood still for its limit.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::names::CertName;
use certfleet_core::records::CertRecord;
use tokio::time::Instant;

use super::Presences;

/// From a record that stood still for so long anybody may take an attempt.
const STEP_LIMIT: Duration = Duration::from_secs(300);

/// When each record changed last.
#[derive(Debug, Default)]
pub struct Holders {
    changed: BTreeMap<CertName, Instant>,
}

impl Holders {
    /// A record was written.
    pub fn wrote(&mut self, cert: &CertName, before: Option<&CertRecord>, after: &CertRecord, presences: &Presences) -> Result<(), String> {
        let changed = self.changed.insert(cert.clone(), Instant::now());
        let holder = |record: &CertRecord| record.attempt.as_ref().and_then(|attempt| Some((attempt.number, attempt.holder.clone()?)));
        let (Some((number, old)), Some((same, new)), Some(changed)) = (before.and_then(holder), holder(after), changed) else {
            return Ok(());
        };
        let lives = presences.of(&old.node).is_some_and(|seen| seen.incarnation == old.incarnation && seen.holds_since(changed));
        if number != same || old == new || !lives || changed.elapsed() >= STEP_LIMIT {
            return Ok(());
        }
        Err(format!("{cert}: {} takes attempt {number} from {}, which has beaten all the time", new.node, old.node))
    }
}
