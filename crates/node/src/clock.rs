//! Reading the clocks: the only place of the daemon that does.

use std::fmt::Debug;
use std::time::Instant;

use certfleet_core::time::{Mono, Now, Timestamp};

/// Where the time comes from.
pub trait Clock: Send + Sync + Debug {
    /// Both clocks.
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The monotonic clock starts here.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { wall: Timestamp::now(), mono: Mono(self.start.elapsed()) }
    }
}
