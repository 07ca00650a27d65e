//! Time in the world: one queue of what will happen, and long suspensions instead of thousands of idle beats.

use std::cmp::Reverse;
use std::time::Duration;

use certfleet_core::decide::renewal_moment;
use certfleet_core::key::RecordKey;
use certfleet_core::time::{Timestamp, earlier, until};

use super::{Happening, World};

/// The machines live through this much before they are suspended (again).
const AWAKE: Duration = Duration::from_secs(70);
/// Shortest suspension.
const SUSPENDED_MIN: Duration = Duration::from_secs(1800);
/// Longest suspension.
const SUSPENDED_MAX: Duration = Duration::from_secs(6 * 3600);
/// Most events of a run: a bound on a test gone wild.
const EVENTS_MAX: u64 = 3_000_000;

/// Something that will happen.
pub struct Queued {
    pub at: Duration,
    pub order: u64,
    pub event: Happening,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl World {
    /// True UTC: what the CA's clock shows.
    pub fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_767_225_600).expect("2026-01-01") + self.elapsed()
    }

    /// Since the beginning, by true clocks.
    pub fn elapsed(&self) -> Duration {
        self.t + self.suspended
    }

    pub(super) fn later(&mut self, span: Duration, event: Happening) {
        self.at(self.t + span, event);
    }

    pub(super) fn at(&mut self, at: Duration, event: Happening) {
        self.events += 1;
        if self.events > EVENTS_MAX {
            self.fail("too many events: a livelock");
        }
        self.queue.push(Reverse(Queued { at, order: self.events, event }));
    }

    /// Lets time pass. Where nothing is going on, all machines are suspended together for hours: their wall clocks go on, their monotonic
    /// ones do not, and what would be thousands of idle beats need not be lived through.
    pub fn run(&mut self, span: Duration) {
        let end = self.elapsed() + span;
        while self.elapsed() < end {
            self.live(AWAKE.min(end - self.elapsed()));
            let rest = end.saturating_sub(self.elapsed() + AWAKE).min(SUSPENDED_MAX);
            let rest = self.next_stamp().map_or(rest, |stamp| until(self.wall(), earlier(stamp, Duration::from_secs(1))).min(rest));
            if rest > SUSPENDED_MIN && self.is_quiet() {
                self.suspended += rest;
                self.list_again();
            }
        }
    }

    /// What a daemon does every hour, in case it took something in late. Where the store is missing there is nothing to list.
    fn list_again(&mut self) {
        for id in self.up() {
            if self.machines[&id].view.as_ref().is_some_and(|view| view.membership().is_ok()) {
                self.read_all(&id);
            }
            self.decide(&id);
        }
    }

    /// The first stamp in the records that lies ahead.
    fn next_stamp(&self) -> Option<Timestamp> {
        let records = self.store.keys().into_iter().filter_map(|key| match RecordKey::of(&key) {
            Some(RecordKey::Cert(cert)) => Some((self.cert_record(&cert)?, cert)),
            _ => None,
        });
        let stamps = records.flat_map(|(record, cert)| {
            let renewal = record.placed.as_ref().map(|placed| renewal_moment(&cert, placed));
            [renewal, record.failures.not_before, record.attempt.and_then(|attempt| attempt.not_before)]
        });
        stamps.flatten().filter(|stamp| *stamp > self.wall()).min()
    }

    fn is_quiet(&self) -> bool {
        let calm = |queued: &Reverse<Queued>| matches!(queued.0.event, Happening::Wake(..));
        self.queue.iter().all(calm) && self.machines.values().all(|machine| !machine.paused)
    }

    /// Lets time pass that everybody lives through.
    pub fn live(&mut self, span: Duration) {
        let end = self.t + span;
        while let Some(Reverse(next)) = self.queue.pop() {
            if next.at > end {
                self.queue.push(Reverse(next));
                break;
            }
            self.t = next.at;
            self.happen(next.event);
        }
        self.t = end;
    }
}
