//! Nobody writes one record again and again: two that write over each other without end are stopped by nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use certfleet_core::key::Key;
use tokio::time::Instant;

/// How long is looked back.
const SPAN: Duration = Duration::from_secs(60);
/// Most writes of one record in that time, by all: twice what a holder beats.
const WRITES_MAX: usize = 120;

/// When each record was written of late.
#[derive(Debug, Default)]
pub struct Storms {
    writes: BTreeMap<Key, VecDeque<Instant>>,
}

impl Storms {
    /// A record was written.
    pub fn wrote(&mut self, key: &Key) -> Result<(), String> {
        let (writes, now) = (self.writes.entry(key.clone()).or_default(), Instant::now());
        while writes.front().is_some_and(|at| now.duration_since(*at) > SPAN) {
            writes.pop_front();
        }
        writes.push_back(now);
        if writes.len() <= WRITES_MAX { Ok(()) } else { Err(format!("{key} is written {} times in {} s", writes.len(), SPAN.as_secs())) }
    }
}
