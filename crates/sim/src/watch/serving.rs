//! No node that is up and can see the store goes on serving an expired certificate while a valid one is placed.

use std::time::Duration;

use certfleet_core::invariants::{Violation, serves_valid};
use certfleet_core::names::NodeName;
use certfleet_core::records::CertRecord;
use certfleet_core::time::Timestamp;
use certfleet_core::x509::Leaf;

/// So long a node must have been undisturbed before it is judged.
pub const CALM: Duration = Duration::from_secs(15 * 60);

/// How long a certificate may be placed before nodes are judged by it, in seconds; where changes are seen late, several times that besides.
const SLACK_SECONDS: u64 = 120;

/// The same, for a store where others see a change so late.
pub fn slack(visibility_delay: Duration) -> Duration {
    Duration::from_secs(SLACK_SECONDS) + 4 * visibility_delay
}

/// What `node` serves of a certificate, and what is placed.
pub fn serving(node: &NodeName, served: &Leaf, record: &CertRecord, now: Timestamp) -> Result<(), Violation> {
    let Some(placed) = &record.placed else { return Ok(()) };
    serves_valid(node, served.not_after, placed.not_after, now)
}
