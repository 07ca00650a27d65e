//! Once the faults have stopped, no member goes long without a generation that another one serves: who has its key shares it.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::names::{CertName, NodeName};
use tokio::time::Instant;

/// Longest that it may take.
const LATE: Duration = Duration::from_secs(3600);

/// Since when somebody lags behind.
#[derive(Debug, Default)]
pub struct Late {
    since: BTreeMap<(NodeName, CertName, String), Instant>,
}

impl Late {
    /// Who serves the generation of this serial number now, of all that should.
    pub fn looked<'n>(&mut self, cert: &CertName, serial: &str, nodes: impl Iterator<Item = (&'n NodeName, bool)>) -> Result<(), String> {
        let (serving, lagging): (Vec<_>, Vec<_>) = nodes.partition(|(_, serves)| *serves);
        for (node, _) in lagging.into_iter().filter(|_| !serving.is_empty()) {
            let since = self.since.entry((node.clone(), cert.clone(), serial.to_owned())).or_insert_with(Instant::now);
            if since.elapsed() > LATE {
                return Err(format!(
                    "{node} does not serve certificate {serial} of {cert}, as others have for {} s",
                    since.elapsed().as_secs()
                ));
            }
        }
        Ok(())
    }
}
