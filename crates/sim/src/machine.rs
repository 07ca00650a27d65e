//! One machine: its disk, its clock, its ways to the store and the CA, and the daemon that runs on it, started and killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use certfleet_acme::KeySource;
use certfleet_core::names::{Incarnation, NodeName};
use certfleet_core::time::{Mono, Now, Timestamp, earlier, later};
use certfleet_deploy::Target;
use certfleet_edge::AnswerTable;
use certfleet_node::clock::Clock;
use certfleet_node::config::Settings;
use certfleet_node::daemon::{Authorities, Control, DaemonError, Surroundings, Targets, Task, run};
use certfleet_node::identity::{Identity, RandomError};
use certfleet_store::Store;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::ca::{Ca, Client};
use crate::draw::Draw;
use crate::engine::{Engine, Line};
use crate::gate::{Gate, Process};
use crate::history::History;
use crate::keys::DrawnKeys;
use crate::link::{Link, Weather};
use crate::servers::{Servers, SimTarget, Visitor};

/// Orders that wait for a daemon that stands still.
const ORDERS_MAX: usize = 4096;

/// What all machines of a world share.
#[derive(Debug, Clone)]
pub struct Site {
    /// The store.
    pub engine: Arc<Engine>,
    /// The CA.
    pub ca: Arc<Ca>,
    /// Who sees what is installed.
    pub visitor: Arc<dyn Visitor>,
    /// What is told.
    pub history: Arc<History>,
    /// When the world began, UTC.
    pub wall: Timestamp,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its node's name.
    pub node: NodeName,
    /// What is served there.
    pub servers: Arc<Servers>,
    /// Since when it has been undisturbed, if it is.
    pub calm_since: Option<Instant>,
    site: Site,
    dir: PathBuf,
    clock: Arc<MachineClock>,
    draw: Draw,
    lives: u64,
    life: Option<Life>,
}

/// A running daemon.
#[derive(Debug)]
struct Life {
    gate: Gate,
    store: Arc<Link>,
    ca: Arc<Link>,
    answers: AnswerTable,
    control: mpsc::Sender<Control>,
    task: JoinHandle<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.gate.set(Process::Gone);
        self.task.abort();
    }
}

impl Machine {
    /// One whose disk is `dir`, with `certfleet.toml` and the node's identity on it.
    pub fn new(node: NodeName, dir: &Path, site: &Site, draw: Draw) -> Self {
        let clock = Arc::new(MachineClock { start: Instant::now(), wall: site.wall, offset: AtomicI64::new(0) });
        let (site, dir) = (site.clone(), dir.to_owned());
        Self { node, servers: Arc::default(), calm_since: None, site, dir, clock, draw, lives: 0, life: None }
    }

    /// Whether the daemon runs and was not killed.
    pub fn is_up(&self) -> bool {
        self.process() == Process::Runs
    }

    /// How its process is.
    pub fn process(&self) -> Process {
        match &self.life {
            Some(life) if !life.task.is_finished() => life.gate.process(),
            _ => Process::Gone,
        }
    }

    /// What its challenge listener answers from, while it runs.
    pub fn answers(&self) -> Option<AnswerTable> {
        self.life.as_ref().filter(|_| self.is_up()).map(|life| life.answers.clone())
    }

    /// The settings that stand on its disk.
    pub fn settings(&self) -> Settings {
        let machine = certfleet_node::operator::Machine::load(&self.dir.join("certfleet.toml"), Some(&self.node));
        machine.expect("the configuration is the simulator's own").settings
    }

    /// The daemon's own directory.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Starts a daemon, unless one runs.
    pub fn start(&mut self) {
        if self.process() != Process::Gone {
            return;
        }
        self.life = None;
        self.lives += 1;
        let (gate, answers) = (Gate::default(), AnswerTable::default());
        let draw = self.draw.fork(&format!("life {}", self.lives));
        let link = |to: &'static str| Arc::new(Link::new(self.node.as_str(), to, &gate, &self.site.history, draw.fork(to)));
        let (store, ca) = (link("store"), link("ca"));
        let around = Arc::new(Around {
            incarnation: format!("{}.{}", self.node, self.lives).parse().expect("a name"),
            gate: gate.clone(),
            clock: self.clock.clone(),
            keys: Arc::new(DrawnKeys::new(draw.fork("keys"))),
            store: Line::new(&self.site.engine, self.node.as_str(), &store),
            site: self.site.clone(),
            ca_link: ca.clone(),
            servers: self.servers.clone(),
            answers: answers.clone(),
        });
        let (control, orders) = mpsc::channel(ORDERS_MAX);
        let (settings, history, who) = (self.settings(), self.site.history.clone(), self.node.to_string());
        let identity = Identity::load(&settings.state).expect("the disk can be read").expect("it has joined");
        history.say(&who, || "starts".into());
        let daemon = gate.task(async move {
            if let Err(error) = run(settings, identity, orders, || {}, around).await {
                history.say(&who, || format!("ends: {error}"));
            }
        });
        self.life = Some(Life { gate, store, ca, answers, control, task: tokio::spawn(daemon) });
    }

    /// As `kill -9` does, or the power.
    pub fn kill(&mut self) {
        if self.process() != Process::Gone {
            self.site.history.say(self.node.as_str(), || "is killed".into());
        }
        self.life = None;
    }

    /// Stops the process, or lets it go on.
    pub fn pause(&self, process: Process) {
        if let Some(life) = &self.life {
            life.gate.set(process);
        }
    }

    /// As systemd does: it may hand back what it holds.
    pub fn stop(&self) {
        self.tell(Control::Stop);
    }

    /// Makes it take up what stands on its disk.
    pub fn reload(&self) {
        self.tell(Control::Reload(Box::new(self.settings())));
    }

    fn tell(&self, order: Control) {
        if let Some(life) = &self.life {
            let _ = life.control.try_send(order);
        }
    }

    /// Writes its configuration.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.dir.join("certfleet.toml"), text).expect("the disk can be written");
    }

    /// Sets how its ways are; what is mended tells that notices were lost.
    pub fn set(&self, store: Option<Weather>, ca: Option<Weather>) {
        let Some(life) = &self.life else { return };
        if let Some(weather) = store {
            let was_cut = life.store.weather().cut;
            life.store.set(weather);
            if was_cut && !weather.cut {
                self.site.engine.reset(self.node.as_str());
            }
        }
        if let Some(weather) = ca {
            life.ca.set(weather);
        }
    }

    /// Sets its wall clock so many seconds wrong.
    pub fn set_clock(&self, seconds: i64) {
        self.clock.offset.store(seconds, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct MachineClock {
    start: Instant,
    wall: Timestamp,
    offset: AtomicI64,
}

impl Clock for MachineClock {
    fn now(&self) -> Now {
        let passed = self.start.elapsed();
        let right = later(self.wall, passed);
        let offset = self.offset.load(Ordering::Relaxed);
        let span = Duration::from_secs(offset.unsigned_abs());
        let wall = if offset < 0 { earlier(right, span) } else { later(right, span) };
        Now { wall, mono: Mono(passed) }
    }
}

/// What the daemon of a simulated machine touches.
#[derive(Debug)]
struct Around {
    incarnation: Incarnation,
    gate: Gate,
    clock: Arc<MachineClock>,
    keys: Arc<DrawnKeys>,
    store: Arc<Line>,
    ca_link: Arc<Link>,
    site: Site,
    servers: Arc<Servers>,
    answers: AnswerTable,
}

impl Surroundings for Around {
    fn incarnation(&self) -> Result<Incarnation, RandomError> {
        Ok(self.incarnation.clone())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn keys(&self) -> Arc<dyn KeySource> {
        self.keys.clone()
    }

    fn store(&self, _: &Settings, _: &Identity) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn authorities(&self, settings: &Settings) -> Result<Authorities, DaemonError> {
        let client = || Arc::new(Client::new(&self.site.ca, &self.ca_link));
        Ok(settings.spec.issuers.keys().map(|issuer| (issuer.clone(), client() as _)).collect())
    }

    fn targets(&self, settings: &Settings) -> Result<Targets, DaemonError> {
        let target = |name: &certfleet_core::names::TargetName| SimTarget::new(name.clone(), &self.servers, &self.site.visitor);
        Ok(settings.targets.keys().map(|name| (name.clone(), Arc::new(target(name)) as Arc<dyn Target>)).collect())
    }

    fn answers(&self) -> AnswerTable {
        self.answers.clone()
    }

    fn listens(&self) -> bool {
        false
    }

    fn start(&self, tasks: &mut JoinSet<()>, task: Task) {
        tasks.spawn(self.gate.task(task));
    }
}
