//! Who did what, when: the story of a world, readable, and the same byte for byte for the same seed.
//!
//! Always holds: nothing random that the seed does not give (nonces, signatures) stands in it.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// The lines so far, and what was found wrong.
#[derive(Debug)]
pub struct History {
    start: Instant,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    lines: String,
    violation: Option<String>,
}

impl Default for History {
    fn default() -> Self {
        Self { start: Instant::now(), told: Mutex::default() }
    }
}

impl History {
    /// Adds a line.
    pub fn say(&self, who: &str, what: impl FnOnce() -> String) {
        let line = format!("{} {who:<8} {}", self.moment(), what());
        let mut told = self.lock();
        // Writing to a string cannot fail.
        let _ = writeln!(told.lines, "{line}");
    }

    /// Something that must never be; the first is kept.
    pub fn violated(&self, what: impl std::fmt::Display) {
        let what = what.to_string();
        self.say("!!", || format!("VIOLATION: {what}"));
        self.lock().violation.get_or_insert(what);
    }

    /// The first thing that was wrong.
    pub fn violation(&self) -> Option<String> {
        self.lock().violation.clone()
    }

    /// All lines.
    pub fn text(&self) -> String {
        self.lock().lines.clone()
    }

    fn moment(&self) -> String {
        let ms = self.start.elapsed().as_millis();
        let (s, ms) = (ms / 1000, ms % 1000);
        format!("{:>3}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
