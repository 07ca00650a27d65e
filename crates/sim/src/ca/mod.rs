//! A CA that behaves like Boulder: orders are handed out again while they are pending or ready, an order can be finalized once, an
//! authorization that was valid is valid for the next order, several vantage points look at once, each meeting any node; there is no list of an
//! account's orders; what it grants is limited. It passes the suite of `certfleet_acme::conformance`; what is bad about the way to it is the
//! [`Link`](crate::link::Link)'s.

mod client;
mod gcra;
mod issue;
mod limits;
mod order;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certfleet_core::ca::{CaError, Problem};
use certfleet_core::names::{Identifier, SpkiHash};
use certfleet_core::time::{Timestamp, later};
use tokio::time::Instant;

pub use client::Client;
pub(crate) use limits::Limits;
pub use limits::{Grants, Limit};
use order::Order;

use crate::draw::Draw;

/// Of a thousand requests that a CA took while it was silent it forgets so many.
const FORGOTTEN: u64 = 300;

/// What the CA sees of the world.
pub trait Internet: Send + Sync + std::fmt::Debug {
    /// What one vantage point gets for a challenge of `host`: the key authorization, or why not.
    fn ask(&self, host: &Identifier, token: &str) -> Result<String, String>;
    /// A certificate signing request was taken: from now on there may be a certificate for this key.
    fn taken(&self, order: &str, key: &SpkiHash);
    /// A certificate was issued.
    fn issued(&self, order: &str, key: &SpkiHash, serial: u64);
    /// An order was refused because of a limit.
    fn limited(&self, _: Limit, _subject: &str) {}
}

/// How the CA feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// It works.
    #[default]
    Works,
    /// 503 to everything.
    Down,
    /// The same, with a time.
    Maintenance(Duration),
    /// 429 to new orders, with a time.
    Busy,
    /// It takes requests and issues nothing; when it speaks again, it has forgotten some of them for good.
    Silent,
    /// Validations fail, whatever is answered.
    Fails,
    /// It does not know many of its own nonces.
    Forgetful,
}

/// How it does its work.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// From which time on, UTC.
    pub wall: Timestamp,
    /// How long its certificates last.
    pub lifetime: Duration,
    /// How long an unfinished order lasts.
    pub order_life: Duration,
    /// How long a valid authorization lasts.
    pub authorization_life: Duration,
    /// Longest time that validation takes, and issuance, in milliseconds; the least is a tenth.
    pub pace_ms: u64,
    /// From how many places it looks; but from the first of them, something else may be seen by as many as the rules for CAs allow.
    pub vantage_points: usize,
}

/// The CA.
#[derive(Debug)]
pub struct Ca {
    habits: Habits,
    internet: Arc<dyn Internet>,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    draw: Draw,
    mood: Mood,
    /// Thumbprints by account URL.
    accounts: BTreeMap<String, String>,
    orders: BTreeMap<String, Order>,
    /// Until when names are authorized for an account.
    authorized: BTreeMap<(String, Identifier), Instant>,
    issued: usize,
    /// Serial numbers.
    revoked: BTreeSet<u64>,
    limits: Limits,
}

impl Ca {
    /// A CA without accounts and limits.
    pub fn new(habits: Habits, internet: Arc<dyn Internet>, draw: Draw) -> Arc<Self> {
        let (accounts, orders, authorized, revoked) = Default::default();
        let (mood, limits) = (Mood::default(), Limits::new(Grants::All));
        let state = State { draw, mood, accounts, orders, authorized, issued: 0, revoked, limits };
        Arc::new(Self { habits, internet, start: Instant::now(), state: Mutex::new(state) })
    }

    /// From now on.
    pub fn set(self: &Arc<Self>, mood: Mood) {
        let mut state = self.state();
        let speaks_again = std::mem::replace(&mut state.mood, mood) == Mood::Silent && mood != Mood::Silent;
        let is_waiting = |order: &Order| matches!(order.stage, order::Stage::Processing(_));
        if !speaks_again {
            return;
        }
        let mut waiting: Vec<String> = state.orders.iter().filter(|(_, order)| is_waiting(order)).map(|(url, _)| url.clone()).collect();
        waiting.retain(|_| !state.draw.once_in_a_thousand(FORGOTTEN));
        drop(state);
        waiting.iter().for_each(|url| self.will_issue(url));
    }

    /// Grants so much, beginning now.
    pub fn limit(&self, grants: Grants) {
        self.state().limits = Limits::new(grants);
    }

    /// How many certificates there are.
    pub fn issued(&self) -> usize {
        self.state().issued
    }

    /// Whether an order can never give a certificate any more, or has given it.
    pub fn is_over(&self, url: &str) -> bool {
        self.state().orders.get(url).is_none_or(Order::is_over)
    }

    /// Its clock.
    pub fn now(&self) -> Timestamp {
        later(self.habits.wall, self.start.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has been there, which limits are measured by.
    fn age(&self) -> Duration {
        self.start.elapsed()
    }

    fn pause(&self) -> Duration {
        let most = self.habits.pace_ms;
        Duration::from_millis(self.state().draw.between(most / 10, most))
    }
}

impl State {
    /// Whether this key is the account's.
    fn account(&mut self, url: &str, thumbprint: &str) -> Result<(), CaError> {
        self.is_taken()?;
        match self.accounts.get(url) {
            Some(known) if known == thumbprint => Ok(()),
            Some(_) => Err(refused("malformed", "JWS verification error", 400)),
            None => Err(not_found("no such account")),
        }
    }

    fn account_of(&self, thumbprint: &str) -> Option<String> {
        self.accounts.iter().find(|(_, known)| *known == thumbprint).map(|(url, _)| url.clone())
    }
}

fn refused(kind: &str, detail: &str, status: u16) -> CaError {
    CaError::Refused(Problem::new(kind, detail, Some(status)))
}

fn not_found(detail: &str) -> CaError {
    CaError::NotFound(Problem::new("malformed", detail, Some(404)))
}
