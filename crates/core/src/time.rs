//! Time as an argument. Core never asks what time it is.

use std::ops::{Add, Sub};
use std::time::Duration;

pub use jiff::Timestamp;

/// A moment of this process's monotonic clock. Only differences mean anything, and only within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub Duration);

impl Mono {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Mono) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, span: Duration) -> Mono {
        Mono(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, span: Duration) -> Mono {
        Mono(self.0.saturating_sub(span))
    }
}

/// Both clocks, read together. `mono` measures how long something lasted; `wall` is compared only with what the CA says and with
/// stamps in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// UTC.
    pub wall: Timestamp,
    /// This process's own clock.
    pub mono: Mono,
}

/// `stamp + span`, held at the end of time.
pub fn later(stamp: Timestamp, span: Duration) -> Timestamp {
    stamp.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// `stamp - span`, held at the beginning of time.
pub fn earlier(stamp: Timestamp, span: Duration) -> Timestamp {
    stamp.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// How long from `now` until `stamp`; zero if it has passed.
pub fn until(now: Timestamp, stamp: Timestamp) -> Duration {
    Duration::try_from(stamp.duration_since(now)).unwrap_or(Duration::ZERO)
}
