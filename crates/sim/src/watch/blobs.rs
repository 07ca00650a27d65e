//! What records refer to: a chain is stored before it is placed, a report tells of what was installed, nothing is removed within a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Generation, NodeName};
use certfleet_core::records::{CertRecord, Report, TargetState};
use tokio::time::Instant;

/// How long something that nothing refers to stays at least; the daemons' clocks run like the world's, but for a minute.
const KEPT: Duration = Duration::from_secs(24 * 3600 - 60);

/// What was stored and installed so far.
#[derive(Debug, Default)]
pub struct Blobs {
    written: BTreeMap<RecordKey, Instant>,
    installed: BTreeSet<(NodeName, CertName, Generation)>,
}

impl Blobs {
    /// A private key, a wrap or a chain was written.
    pub fn wrote(&mut self, key: &RecordKey) {
        self.written.insert(key.clone(), Instant::now());
    }

    /// It was removed.
    pub fn removed(&self, key: &RecordKey) -> Result<(), String> {
        let is_blob = matches!(key, RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Version(..));
        match self.written.get(key).filter(|at| is_blob && at.elapsed() < KEPT) {
            Some(at) => Err(format!("{key} is removed {} s after it was written", at.elapsed().as_secs())),
            None => Ok(()),
        }
    }

    /// A certificate's record was written.
    pub fn placed(&self, cert: &CertName, record: &CertRecord) -> Result<(), String> {
        let Some(generation) = record.placed.as_ref().map(|placed| placed.placement.generation) else { return Ok(()) };
        let is_stored = self.written.contains_key(&RecordKey::Version(cert.clone(), generation));
        if is_stored { Ok(()) } else { Err(format!("{cert}: generation {generation} is placed and its chain was never stored")) }
    }

    /// A server took a generation.
    pub fn installed(&mut self, node: &NodeName, cert: &CertName, generation: Generation) {
        self.installed.insert((node.clone(), cert.clone(), generation));
    }

    /// A node wrote what a target has.
    pub fn reported(&self, node: &NodeName, cert: &CertName, report: &Report) -> Result<(), String> {
        let says = matches!(report.state, TargetState::Installed | TargetState::Verified);
        if !says || self.installed.contains(&(node.clone(), cert.clone(), report.generation)) {
            return Ok(());
        }
        Err(format!("{node} reports generation {} of {cert}, which its server never took", report.generation))
    }
}
