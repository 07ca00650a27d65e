//! What is being waited for: one line that changes on a terminal, a line for each change elsewhere. Always on stderr.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::out;

/// How often the line moves, in milliseconds.
const TICK_MS: u64 = 120;

/// Drawn in turn; the last one is never seen.
const TICKS: &str = "|/-\\ ";

/// Shows what is being waited for; gone from the terminal when dropped.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    said: String,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn start() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style.tick_chars(TICKS));
            bar.enable_steady_tick(Duration::from_millis(TICK_MS));
            bar
        });
        Self { bar, said: String::new() }
    }

    /// It is this now.
    pub fn say(&mut self, what: &str) {
        if self.said == what {
            return;
        }
        self.said = what.to_owned();
        match &self.bar {
            Some(bar) => bar.set_message(self.said.clone()),
            None => out::talk(what),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
