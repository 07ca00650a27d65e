//! A small world for the core: machines with a view each, a store, a CA, clocks that disagree, and one queue of events that makes every
//! run of a seed the same. After every step the invariants are checked; a machine that is too busy is stopped as a livelock.

mod account;
mod ca;
mod command;
mod execute;
mod fleet;
mod home;
mod keys;
mod machine;
mod narrate;
mod store;
mod table;
mod timeline;
mod trust;
mod watch;
mod words;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use certfleet_core::decide::{Action, Plan, Subject};
use certfleet_core::envelope::{Envelope, Revision};
use certfleet_core::hash::draw;
use certfleet_core::invariants::{Books, Violation};
use certfleet_core::key::Key;
use certfleet_core::names::IssuerName;
use certfleet_core::trust::Grant;
use certfleet_core::view::{Outcome, Taken};

pub use command::{Story, tell};

use ca::FakeCa;
use machine::Machine;
use store::FakeStore;
use timeline::Queued;
use watch::Watch;

/// Most actions of one machine within a second.
const ACTIONS_PER_SECOND_MAX: u32 = 60;

/// A moment of a machine's work at which something can be made to happen to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// Before or after it took effect.
    pub after: bool,
    /// For example `write ordered` or `call finalize`.
    pub point: String,
    pub what: Blow,
}

/// What happens at a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    Crash,
    Pause,
}

/// An action under way.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub machine: String,
    pub life: u32,
    pub subject: Subject,
    pub action: Action,
}

/// What stood under a key at a moment.
pub type Found = (Key, Option<(Envelope, Revision)>);

/// What the queue holds.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The store tells a machine that a key may have changed.
    Deliver(String, u32, Key),
    /// An action takes effect outside.
    Effect(Box<Ticket>),
    /// Its machine hears of it, and of what stood under the keys that it touched right after.
    Absorb(Box<(Ticket, Outcome)>, Vec<Found>),
    /// A machine's timer.
    Wake(String, u32),
}

/// The world.
pub struct World {
    /// Time that machines lived through.
    pub t: Duration,
    /// Time that they were suspended.
    suspended: Duration,
    pub machines: BTreeMap<String, Machine>,
    pub store: FakeStore,
    pub backup: FakeStore,
    pub cas: BTreeMap<IssuerName, FakeCa>,
    pub traps: Vec<Trap>,
    pub log: String,
    books: Books,
    /// How many certificates of each CA are in the books.
    counted: BTreeMap<IssuerName, usize>,
    queue: BinaryHeap<Reverse<Queued>>,
    seed: u64,
    drawn: u64,
    events: u64,
    keys_made: u64,
    /// How many machines came with tokens.
    built: u64,
    /// What the tokens allow.
    tokens: BTreeMap<String, Grant>,
    watch: Watch,
    /// What the CA last said to a machine about an order.
    last_words: BTreeMap<(String, String), String>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            t: Duration::ZERO,
            suspended: Duration::ZERO,
            machines: BTreeMap::new(),
            store: FakeStore::default(),
            backup: FakeStore::default(),
            cas: BTreeMap::new(),
            traps: Vec::new(),
            log: String::new(),
            books: Books::default(),
            counted: BTreeMap::new(),
            queue: BinaryHeap::new(),
            seed,
            drawn: 0,
            events: 0,
            keys_made: 0,
            built: 0,
            tokens: BTreeMap::new(),
            watch: Watch::default(),
            last_words: BTreeMap::new(),
        }
    }

    /// Between `low` and `high` milliseconds, by the seed.
    fn ms(&mut self, low: u64, high: u64) -> Duration {
        self.drawn += 1;
        Duration::from_millis(low + draw(&[&self.seed.to_string(), &self.drawn.to_string()]) % (high - low + 1))
    }

    /// Stops the test, with the story so far.
    pub fn fail(&self, what: &str) -> ! {
        panic!("{}\n{what}", self.log)
    }

    fn insist(&self, result: Result<(), Violation>) {
        if let Err(violation) = result {
            self.fail(&format!("INVARIANT: {violation}"));
        }
    }

    fn happen(&mut self, event: Happening) {
        let id = match &event {
            Happening::Deliver(id, life, _) | Happening::Wake(id, life) => self.alive(id, *life),
            Happening::Effect(ticket) => self.alive(&ticket.machine, ticket.life),
            Happening::Absorb(heard, _) => self.alive(&heard.0.machine, heard.0.life),
        };
        let (Some(id), t) = (id, self.t) else { return };
        let machine = self.machine(&id);
        if machine.paused {
            return machine.held.push(event);
        }
        if matches!(event, Happening::Wake(..)) && machine.wake.take_if(|wake| *wake == t).is_none() {
            return;
        }
        match event {
            Happening::Deliver(_, _, key) => self.deliver(&id, &key),
            Happening::Effect(ticket) => return self.effect(*ticket),
            Happening::Absorb(heard, found) => self.absorb(&heard.0, &found, heard.1),
            Happening::Wake(..) => {}
        }
        self.decide(&id);
    }

    fn alive(&self, id: &str, life: u32) -> Option<String> {
        self.machines.get(id).filter(|machine| machine.is_up() && machine.life == life).map(|machine| machine.id.clone())
    }

    pub fn machine(&mut self, id: &str) -> &mut Machine {
        if !self.machines.contains_key(id) {
            self.fail(&format!("there is no machine {id}"));
        }
        self.machines.get_mut(id).expect("looked at above")
    }

    fn find(&self, key: &Key) -> Found {
        (key.clone(), self.store.get(key).map(|(envelope, revision)| (envelope.clone(), revision.clone())))
    }

    /// A machine reads a key.
    fn deliver(&mut self, id: &str, key: &Key) {
        let found = self.find(key);
        self.take_in(id, &found);
    }

    fn take_in_one(&mut self, id: &str, (key, stored): &Found) {
        let (t, wall) = (self.t, self.wall());
        let Some(machine) = self.machines.get_mut(id).filter(|machine| !machine.cut_from_store) else { return };
        let now = machine.now(t, wall);
        let Some(view) = &mut machine.view else { return };
        let stored = stored.as_ref().map(|(envelope, revision)| (envelope, revision));
        let taken = view.apply(key, stored, now.mono);
        machine.memory.clone_from(&view.local.memory);
        machine.moves.clone_from(&view.local.moves);
        let envelope = stored.map(|(envelope, _)| envelope.clone()).filter(|_| taken == Taken::New);
        // A change of the roster can have made strays count.
        let changes_roster = taken == Taken::New && (key.is_under("fleet") || key.is_under("nodes"));
        let found: Vec<Found> = if changes_roster { self.store.keys().iter().map(|key| self.find(key)).collect() } else { Vec::new() };
        let own = stored.map(|(envelope, revision)| (key.clone(), Some((envelope.clone(), revision.clone()))));
        self.machine(id).keep(own.iter().chain(&found));
        if let Some(envelope) = envelope {
            self.look_at_taken(id, key, &envelope);
        }
        if key.is_under("accounts/@key") || key.is_under("wraps") {
            self.try_account_keys(id);
        }
    }

    fn absorb(&mut self, ticket: &Ticket, found: &[Found], outcome: Outcome) {
        found.iter().for_each(|found| self.take_in(&ticket.machine, found));
        let (t, wall) = (self.t, self.wall());
        let machine = self.machine(&ticket.machine);
        let now = machine.now(t, wall);
        let Some(view) = &mut machine.view else { return };
        view.absorb(&ticket.subject, outcome, now);
        machine.memory.clone_from(&view.local.memory);
    }

    /// Everybody else hears of a written key.
    fn announce(&mut self, key: &Key, writer: &str) {
        let others: Vec<(String, u32)> =
            self.machines.values().filter(|m| m.id != writer && m.is_up()).map(|m| (m.id.clone(), m.life)).collect();
        for (id, life) in others {
            let delay = self.ms(5, 30) + self.machine(&id).slowness(key);
            self.later(delay, Happening::Deliver(id, life, key.clone()));
        }
    }

    /// A machine decides, and begins what it decided.
    pub fn decide(&mut self, id: &str) {
        let (t, wall, seed) = (self.t, self.wall(), self.seed);
        let machine = self.machine(id);
        let now = machine.now(t, wall);
        let Some(view) = &mut machine.view else { return };
        // What it decides at the cost of what changed is what it would decide by the view as a whole.
        let actions = machine.decider.decide_checked(view, now, seed);
        let plan = Plan { actions, ..machine.decider.plan().clone() };
        let (origin, life) = (machine.origin, machine.life);
        let wake = plan.wake_at.map(|moment| moment.0.saturating_sub(origin));
        let is_new = std::mem::replace(&mut machine.wake, wake) != wake;
        if let Some(wake) = wake.filter(|_| is_new) {
            if wake <= t {
                self.fail(&format!("{id} wants to be woken at once, for ever: {plan:?}"));
            }
            self.at(wake, Happening::Wake(id.to_owned(), life));
        }
        self.narrate(id, &plan);
        self.pace(id, &plan);
        for (subject, action) in plan.actions {
            let delay = self.delay(&action);
            self.later(delay, Happening::Effect(Box::new(Ticket { machine: id.to_owned(), life, subject, action })));
        }
        if self.machine(id).may_go() {
            self.say(id, "is gone");
            self.machine(id).die();
        }
    }

    fn pace(&mut self, id: &str, plan: &Plan) {
        let second = self.t.as_secs();
        let machine = self.machine(id);
        let before = if machine.pace.0 == second { machine.pace.1 } else { 0 };
        machine.pace = (second, before + u32::try_from(plan.actions.len()).expect("few"));
        if machine.pace.1 > ACTIONS_PER_SECOND_MAX {
            self.fail(&format!("{id} is in a livelock: {:?}", plan.actions));
        }
    }

    fn delay(&mut self, action: &Action) -> Duration {
        match action {
            Action::Call(..) | Action::Register(..) | Action::RollAccount(..) | Action::CheckClock(_) => self.ms(30, 60),
            Action::Install(..) => self.ms(80, 150),
            _ => self.ms(3, 9),
        }
    }
}
