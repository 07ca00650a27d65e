//! The way from a node to the store or to the CA: it takes time, breaks, loses questions and answers; and a node can die on it.
//!
//! Always holds: what is said to be "not sent" was not done; what is "lost" may have been.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::draw::Draw;
use crate::gate::{Gate, Process};
use crate::history::History;

/// How long a client waits for an answer that does not come, in milliseconds.
pub const TIMEOUT_MS: u64 = 5_000;
/// The slowest that a way without faults is, in milliseconds.
pub const LATENCY_MS_MAX: u64 = 20;
/// How slow a bad way may be, in milliseconds.
const SLOW_MS_MAX: u64 = 4_000;
/// Longest time after which a write that was delivered twice, or late, comes, in milliseconds.
const ECHO_MS_MAX: u64 = 90_000;
/// Of a thousand answers so many are lost where none comes back.
const ALL: u64 = 1000;

/// How a way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// The slowest that it is each way where nothing is wrong, in milliseconds; 0: it takes no time.
    pub latency_ms: u64,
    /// Nothing gets through.
    pub cut: bool,
    /// Of a thousand answers so many are lost.
    pub lost: u64,
    /// Of a thousand questions so many take long.
    pub slow: u64,
    /// Of a thousand questions so many kill who asks: before, or after it was done.
    pub deadly: u64,
    /// Of a thousand writes so many are delivered twice, or only later.
    pub echoes: u64,
}

impl Weather {
    /// Questions arrive, and no answer ever does.
    pub fn mute() -> Self {
        Self { lost: ALL, ..Self::default() }
    }

    /// Nothing gets through.
    pub fn cut() -> Self {
        Self { cut: true, ..Self::default() }
    }

    /// Whether no answer comes.
    pub fn is_mute(&self) -> bool {
        self.cut || self.lost >= ALL
    }
}

/// A write that the network delivers again, or only later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// Only later: nobody got the first one.
    pub first_is_lost: bool,
    /// So much later.
    pub after: Duration,
}

impl Default for Weather {
    fn default() -> Self {
        Self { latency_ms: LATENCY_MS_MAX, cut: false, lost: 0, slow: 0, deadly: 0, echoes: 0 }
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cut, lost, slow, deadly, echoes, .. } = self;
        match () {
            () if *cut => write!(f, "nothing gets through"),
            () if self.is_mute() => write!(f, "no answer comes back"),
            () => write!(f, "bad weather ({lost} lost, {slow} slow, {deadly} deadly, {echoes} twice or late of 1000)"),
        }
    }
}

/// What came of a question.
#[derive(Debug)]
pub enum Passed<T> {
    /// The answer.
    Answer(T),
    /// It did not get there.
    NotSent,
    /// Nobody knows.
    Lost,
}

/// One node's way to one place.
#[derive(Debug)]
pub struct Link {
    who: String,
    to: &'static str,
    gate: Gate,
    history: Arc<History>,
    state: Mutex<(Weather, Draw)>,
}

impl Link {
    /// A way without faults.
    pub fn new(who: &str, to: &'static str, gate: &Gate, history: &Arc<History>, draw: Draw) -> Self {
        let state = Mutex::new((Weather::default(), draw));
        Self { who: who.to_owned(), to, gate: gate.clone(), history: history.clone(), state }
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        self.lock().0 = weather;
    }

    /// How it is now.
    pub fn weather(&self) -> Weather {
        self.lock().0
    }

    /// Asks; `work` is done where the question arrives.
    pub async fn pass<T>(&self, what: &str, work: impl FnOnce() -> T) -> Passed<T> {
        if self.weather().cut {
            sleep(Duration::from_millis(TIMEOUT_MS)).await;
            return Passed::NotSent;
        }
        self.may_kill("before", what).await;
        self.travel().await;
        if self.weather().cut || self.draws(|weather| weather.lost / 2) {
            self.history.say(&self.who, || format!("the question of {what} is lost"));
            sleep(Duration::from_millis(TIMEOUT_MS)).await;
            return Passed::Lost;
        }
        let done = work();
        self.may_kill("after", what).await;
        self.travel().await;
        if self.weather().cut || self.draws(|weather| weather.lost) {
            self.history.say(&self.who, || format!("the answer to {what} is lost"));
            sleep(Duration::from_millis(TIMEOUT_MS)).await;
            return Passed::Lost;
        }
        Passed::Answer(done)
    }

    /// Whether the next write comes again, or late.
    pub fn echo(&self) -> Option<Echo> {
        if !self.draws(|weather| weather.echoes) {
            return None;
        }
        let draw = &mut self.lock().1;
        Some(Echo { first_is_lost: draw.once_in_a_thousand(500), after: Duration::from_millis(draw.between(1, ECHO_MS_MAX)) })
    }

    async fn may_kill(&self, when: &str, what: &str) {
        if self.draws(|weather| weather.deadly) {
            self.history.say(&self.who, || format!("dies {when} {what} ({})", self.to));
            self.gate.set(Process::Gone);
            std::future::pending::<()>().await;
        }
    }

    async fn travel(&self) {
        let slow = self.draws(|weather| weather.slow);
        let most = if slow { SLOW_MS_MAX } else { self.weather().latency_ms };
        if most > 0 {
            let span = self.lock().1.between(1, most);
            sleep(Duration::from_millis(span)).await;
        }
    }

    fn draws(&self, chance: impl FnOnce(&Weather) -> u64) -> bool {
        let mut state = self.lock();
        let times = chance(&state.0);
        times > 0 && state.1.once_in_a_thousand(times)
    }

    fn lock(&self) -> MutexGuard<'_, (Weather, Draw)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
