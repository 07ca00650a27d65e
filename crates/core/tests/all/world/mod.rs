//! A small world for the core: machines with a view each, a store, a CA, clocks that disagree, and one queue of events that makes every
//! run of a seed the same. After every step the invariants are checked; a machine that is too busy is stopped as a livelock.

mod ca;
mod command;
mod execute;
mod fleet;
mod machine;
mod store;
mod table;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use certfleet_core::decide::{Action, Plan, Subject, decide, renewal_moment};
use certfleet_core::hash::draw;
use certfleet_core::invariants::{Books, Violation};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, IssuerName};
use certfleet_core::time::{Timestamp, earlier, until};
use certfleet_core::view::Outcome;

pub use command::tell;

use ca::FakeCa;
use machine::Machine;
use store::FakeStore;

/// Most actions of one machine within a second.
const ACTIONS_PER_SECOND_MAX: u32 = 60;
/// The machines live through this much before they are suspended (again).
const AWAKE: Duration = Duration::from_secs(70);
/// Shortest suspension.
const SUSPENDED_MIN: Duration = Duration::from_secs(1800);
/// Longest suspension.
const SUSPENDED_MAX: Duration = Duration::from_secs(6 * 3600);
/// Most events of a run: a bound on a test gone wild.
const EVENTS_MAX: u64 = 3_000_000;

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

/// What the queue holds.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The store tells a machine that a key may have changed.
    Deliver(String, u32, Key),
    /// An action takes effect outside.
    Effect(Ticket),
    /// Its machine hears of it, having read the keys again that it touched.
    Absorb(Ticket, Vec<Key>, Outcome),
    /// A machine's timer.
    Wake(String, u32),
    /// A machine that was started again comes up.
    Boot(String),
}

struct Queued {
    at: Duration,
    order: u64,
    event: Happening,
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
            last_words: BTreeMap::new(),
        }
    }

    /// True UTC: what the CA's clock shows.
    pub fn wall(&self) -> Timestamp {
        Timestamp::from_second(1_767_225_600).expect("2026-01-01") + self.elapsed()
    }

    /// Since the beginning, by true clocks.
    pub fn elapsed(&self) -> Duration {
        self.t + self.suspended
    }

    /// Between `low` and `high` milliseconds, by the seed.
    fn ms(&mut self, low: u64, high: u64) -> Duration {
        self.drawn += 1;
        Duration::from_millis(low + draw(&[&self.seed.to_string(), &self.drawn.to_string()]) % (high - low + 1))
    }

    pub fn say(&mut self, who: &str, what: &str) {
        let ms = self.elapsed().as_millis();
        let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
        let day = if days > 0 { format!("{days}d ") } else { String::new() };
        let clock = format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        self.log.push_str(&format!("{day}{clock} {who:<3} {what}\n"));
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

    fn later(&mut self, span: Duration, event: Happening) {
        self.at(self.t + span, event);
    }

    fn at(&mut self, at: Duration, event: Happening) {
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
                self.up().iter().for_each(|id| self.decide(id));
            }
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

    fn live(&mut self, span: Duration) {
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

    fn happen(&mut self, event: Happening) {
        let id = match &event {
            Happening::Deliver(id, life, _) | Happening::Wake(id, life) => self.alive(id, *life),
            Happening::Effect(ticket) | Happening::Absorb(ticket, ..) => self.alive(&ticket.machine, ticket.life),
            Happening::Boot(id) => return self.start(&id.clone()),
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
            Happening::Effect(ticket) => return self.effect(ticket),
            Happening::Absorb(ticket, keys, outcome) => self.absorb(&ticket, &keys, outcome),
            Happening::Wake(..) | Happening::Boot(_) => {}
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

    /// A machine reads a key.
    fn deliver(&mut self, id: &str, key: &Key) {
        let (t, wall) = (self.t, self.wall());
        let Some(machine) = self.machines.get_mut(id).filter(|machine| !machine.cut_from_store) else { return };
        let now = machine.now(t, wall);
        let Some(view) = &mut machine.view else { return };
        view.apply(key, self.store.get(key), now.mono);
        machine.memory.clone_from(&view.local.memory);
    }

    fn absorb(&mut self, ticket: &Ticket, keys: &[Key], outcome: Outcome) {
        keys.iter().for_each(|key| self.deliver(&ticket.machine, key));
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
            let delay = self.ms(5, 30);
            self.later(delay, Happening::Deliver(id, life, key.clone()));
        }
    }

    /// A machine decides, and begins what it decided.
    pub fn decide(&mut self, id: &str) {
        let (t, wall, seed, looks_twice) = (self.t, self.wall(), self.seed, self.events % 16 == 0);
        let machine = self.machine(id);
        let now = machine.now(t, wall);
        let Some(view) = &mut machine.view else { return };
        let plan = decide(view, now, seed);
        if looks_twice {
            assert_eq!(plan, decide(view, now, seed), "the same view gives the same plan");
        }
        view.begin(&plan);
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
            self.later(delay, Happening::Effect(Ticket { machine: id.to_owned(), life, subject, action }));
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

    /// What people would want to read of a plan: troubles and waits that are new.
    fn narrate(&mut self, id: &str, plan: &Plan) {
        let machine = self.machine(id);
        let passing = |why: &str| {
            why.contains("goes first") || why.contains("put off by") || why.contains("is compared") || why.contains("being registered")
        };
        let news: Vec<String> = plan.troubles.iter().filter(|why| !machine.troubles.contains(why)).cloned().collect();
        let waits: BTreeMap<CertName, String> = plan.waits.clone().into_iter().filter(|(_, why)| !passing(why)).collect();
        let new_waits: Vec<String> = waits
            .iter()
            .filter(|(cert, why)| machine.waits.get(*cert) != Some(*why))
            .map(|(cert, why)| format!("waits with {cert}: {why}"))
            .collect();
        machine.waits = waits;
        machine.troubles = plan.troubles.iter().cloned().collect();
        for why in news {
            self.say(id, &format!("trouble: {why}"));
        }
        for why in new_waits {
            // What several wait for in the same words is told once.
            let moment = self.elapsed().as_secs();
            if self.last_words.insert((String::new(), why.clone()), moment.to_string()).is_none() {
                self.say(id, &why);
            }
        }
    }

    fn delay(&mut self, action: &Action) -> Duration {
        match action {
            Action::Call(..) | Action::Register(..) | Action::CheckClock(_) => self.ms(30, 60),
            Action::Install(..) => self.ms(80, 150),
            _ => self.ms(3, 9),
        }
    }
}
