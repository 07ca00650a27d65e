//! A machine's clocks: the wall clock can be wrong, and go wrong; the monotonic one is right.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use certfleet_core::time::{Mono, Now, Timestamp, earlier, later};
use certfleet_node::clock::Clock;
use tokio::time::Instant;

/// The clocks of a machine.
#[derive(Debug)]
pub struct MachineClock {
    start: Instant,
    wall: Timestamp,
    error: Mutex<Wrong>,
}

/// How wrong a wall clock is.
#[derive(Debug, Clone, Copy, Default)]
struct Wrong {
    seconds: i64,
    gains: i64,
    since: Duration,
}

impl Wrong {
    fn seconds_at(&self, moment: Duration) -> i64 {
        let passed = i64::try_from(moment.saturating_sub(self.since).as_secs()).unwrap_or_default();
        self.seconds + passed * self.gains / 3600
    }
}

impl MachineClock {
    /// Right clocks; it is `wall` now.
    pub fn new(wall: Timestamp) -> Self {
        Self { start: Instant::now(), wall, error: Mutex::default() }
    }

    /// From now on the wall clock is so many seconds wrong, and gains so many more each hour.
    pub fn set(&self, seconds: i64, gains: i64) {
        let wrong = Wrong { seconds, gains, since: self.start.elapsed() };
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Now {
        let passed = self.start.elapsed();
        let right = later(self.wall, passed);
        let offset = self.error.lock().unwrap_or_else(PoisonError::into_inner).seconds_at(passed);
        let span = Duration::from_secs(offset.unsigned_abs());
        let wall = if offset < 0 { earlier(right, span) } else { later(right, span) };
        Now { wall, mono: Mono(passed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_runs_fast_goes_wrong_by_hours() {
        let clock = MachineClock::new(Timestamp::UNIX_EPOCH);
        clock.set(-60, 1800);
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        let now = clock.now();
        assert_eq!((now.wall.as_second(), now.mono), (6 * 3600 - 60, Mono(Duration::from_secs(4 * 3600))));
        clock.set(0, 0);
        assert_eq!(clock.now().wall.as_second(), 4 * 3600);
    }
}
