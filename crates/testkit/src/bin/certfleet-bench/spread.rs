//! How long a new generation takes to reach the whole fleet: from the compare-and-swap that publishes it until the last node has it installed.
//!
//! The method: ten real daemons; one `certfleet renew` after the other, each waited for. The moment of publication is when the driving node
//! *began* the write that places the generation (the log line `placed` less its `write_ms`); a node has it when it tells `installed`, with its
//! files written, synced and put in place. All read one clock. A publication's time is that of its last node.

use std::time::{Duration, Instant};

use crate::certfleet::Fleet;
use crate::engines::Engine;
use crate::journal::{Journal, at_ms};
use crate::{LIMIT, Lab};

/// How often the logs are looked at; the times are from the logs.
const POLL: Duration = Duration::from_millis(20);
const EVENTS: [&str; 2] = ["placed", "installed"];

/// The times of so many publications, in milliseconds, sorted.
pub async fn measure(lab: &Lab, engine: &Engine, publications: u64) -> Vec<i64> {
    let fleet = Fleet::prepare_on(lab, &crate::certfleet_program(), &engine.store);
    let (_, nodes) = fleet.until_all_have_all(lab).await;
    let mut journals: Vec<Journal> = (1..=nodes.len()).map(|n| Journal::new(fleet.log(n))).collect();
    let mut times = Vec::new();
    for generation in 2..publications + 2 {
        fleet.command(1, &["renew", &lab.names[0]]);
        times.push(published(&mut journals, generation).await);
    }
    times.sort_unstable();
    times
}

/// Waits until all have it.
async fn published(journals: &mut [Journal], generation: u64) -> i64 {
    let start = Instant::now();
    loop {
        journals.iter_mut().for_each(|journal| journal.read_on(&EVENTS));
        let placed = journals.iter().find_map(|journal| journal.find("placed", "attempt", generation));
        let installed: Vec<i64> =
            journals.iter().filter_map(|journal| journal.find("installed", "generation", generation)).map(at_ms).collect();
        if let (Some(placed), true) = (placed, installed.len() == journals.len()) {
            let began = at_ms(placed) - placed["write_ms"].as_i64().expect("the write's time is told");
            return installed.into_iter().max().unwrap_or_default() - began;
        }
        assert!(start.elapsed() < LIMIT, "generation {generation} is not everywhere after {LIMIT:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Of sorted times, the one that `percent` of them do not exceed.
pub fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}
