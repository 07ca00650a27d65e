//! One machine: its disk, its clock, its ways to the store and the CA, and the daemon that runs on it, started and killed.

mod around;
mod life;
mod twin;
mod ways;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::key::Key;
use certfleet_core::names::NodeName;
use certfleet_core::spec::Role;
use certfleet_edge::AnswerTable;
use certfleet_node::config::Settings;
use certfleet_node::daemon::{Control, run};
use certfleet_node::disk::Full;
use certfleet_node::identity::Identity;
use certfleet_node::operator;
use tokio::sync::mpsc;
use tokio::time::Instant;

use around::Around;
use life::{Alarm, Life};
use ways::Ways;

use crate::ca::Ca;
use crate::clock::MachineClock;
use crate::draw::Draw;
use crate::engine::{Engine, Line};
use crate::fleet::Wanted;
use crate::gate::{Gate, Process};
use crate::history::History;
use crate::keys::DrawnKeys;
use crate::link::{Link, Weather};
use crate::servers::{Servers, Visitor};

/// Where its configuration stands on its disk.
const CONFIGURATION: &str = "certfleet.toml";
/// Orders that wait for a daemon that stands still.
const ORDERS_MAX: usize = 4096;

/// What the fleet takes a machine for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It is in, or asks to be.
    #[default]
    Member,
    /// It has a new disk, and could not ask yet.
    Outside,
    /// It was removed.
    Removed,
}

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
    /// Whose machine carries the store, if one does.
    pub carrier: Option<NodeName>,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its node's name.
    pub node: NodeName,
    /// What is served there.
    pub servers: Arc<Servers>,
    /// Who it is in the history: its node's name, but for a clone.
    pub who: NodeName,
    /// Since when it has been undisturbed, if it is.
    pub calm_since: Option<Instant>,
    /// It does not start.
    pub is_grounded: bool,
    /// The CA's questions do not reach it.
    pub is_deaf: bool,
    /// What the fleet takes it for.
    pub standing: Standing,
    /// How many disks it had before this one.
    pub disks: u64,
    is_shut_in: bool,
    full: Option<Full>,
    ways: Ways,
    site: Site,
    dir: PathBuf,
    clock: Arc<MachineClock>,
    draw: Draw,
    lives: u64,
    life: Option<Life>,
}

impl Machine {
    /// One whose disk is `dir`, with `certfleet.toml` and the node's identity on it.
    pub fn new(node: NodeName, dir: &Path, site: &Site, draw: Draw) -> Self {
        let clock = Arc::new(MachineClock::new(site.ca.now()));
        let (site, dir, who) = (site.clone(), dir.to_owned(), node.clone());
        Self {
            node,
            servers: Arc::default(),
            who,
            calm_since: None,
            is_grounded: false,
            is_deaf: false,
            standing: Standing::default(),
            disks: 0,
            is_shut_in: false,
            full: None,
            ways: Ways::default(),
            site,
            dir,
            clock,
            draw,
            lives: 0,
            life: None,
        }
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

    /// Whether it does its work and reaches the store well.
    pub fn is_well(&self) -> bool {
        self.is_up() && self.standing == Standing::Member && self.ways.store == Weather::default()
    }

    /// What its challenge listener answers from, while it runs.
    pub fn answers(&self) -> Option<AnswerTable> {
        self.life.as_ref().filter(|_| self.is_up()).map(|life| life.answers.clone())
    }

    /// The settings that stand on its disk.
    pub fn settings(&self) -> Settings {
        self.loaded().settings
    }

    /// It, as commands see it.
    pub fn loaded(&self) -> operator::Machine {
        let machine = operator::Machine::load(&self.dir.join(CONFIGURATION), Some(&self.node));
        machine.expect("the configuration is the simulator's own")
    }

    /// Whether a certificate is to be served here.
    pub fn deploys(&self, wanted: &Wanted) -> bool {
        wanted.is_placed_on(&self.node) && self.settings().roles.contains(&Role::Deploy)
    }

    /// Where its disk is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The daemon's own directory.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Starts a daemon, unless one runs.
    pub fn start(&mut self) {
        if self.process() != Process::Gone || self.is_grounded || self.standing == Standing::Outside {
            return;
        }
        self.life = None;
        self.lives += 1;
        let (gate, answers) = (Gate::default(), AnswerTable::default());
        let draw = self.draw.fork(&format!("life {}", self.lives));
        let link = |to: &'static str, weather| {
            let link = Link::new(self.who.as_str(), to, &gate, &self.site.history, draw.fork(to));
            link.set(weather);
            Arc::new(link)
        };
        let (store, ca) = (link("store", self.ways.store), link("ca", self.way_to_ca()));
        if self.site.carrier.as_ref() == Some(&self.node) {
            self.site.engine.carried_by(self.who.as_str(), &gate);
        }
        let settings = self.settings();
        let identity = Identity::load(&settings.state).expect("the disk can be read").expect("it has joined");
        let around = Arc::new(Around {
            incarnation: format!("{}.{}", self.who, self.lives).parse().expect("a name"),
            who: self.who.clone(),
            gate: gate.clone(),
            clock: self.clock.clone(),
            keys: Arc::new(DrawnKeys::new(draw.fork("keys"))),
            store: Line::new(&self.site.engine, self.who.as_str(), &store, Some(identity.signing_key.verifying_key())),
            site: self.site.clone(),
            ca_link: ca.clone(),
            servers: self.servers.clone(),
            answers: answers.clone(),
        });
        let (control, orders) = mpsc::channel(ORDERS_MAX);
        let (history, who) = (self.site.history.clone(), self.who.clone());
        history.say(who.as_str(), || "starts".into());
        let daemon = gate.task(async move {
            let _alarm = Alarm { history: history.clone(), who: who.clone() };
            if let Err(error) = run(settings, identity, orders, || {}, around).await {
                history.say(who.as_str(), || format!("ends: {error}"));
            }
        });
        self.life = Some(Life { gate, store, ca, answers, control, task: tokio::spawn(daemon) });
    }

    /// As `kill -9` does, or the power.
    pub fn kill(&mut self) {
        if self.process() != Process::Gone {
            self.site.history.say(self.who.as_str(), || "is killed".into());
        }
        self.life = None;
    }

    /// Stops the process, or lets it go on.
    pub fn pause(&self, process: Process) {
        if let Some(life) = &self.life {
            life.gate.set(process);
        }
    }

    /// Stops the process for so long.
    pub fn nap(&self, span: Duration) {
        let Some(gate) = self.life.as_ref().map(|life| life.gate.clone()) else { return };
        gate.set(Process::StandsStill);
        tokio::spawn(async move {
            tokio::time::sleep(span).await;
            gate.set(Process::Runs);
        });
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
        std::fs::write(self.dir.join(CONFIGURATION), text).expect("the disk can be written");
    }

    /// It dies, with all that was on its disk but the configuration; gives the keys that may have been in no other place.
    pub fn lose_disk(&mut self) -> Vec<Key> {
        self.kill();
        self.site.history.say(self.who.as_str(), || "loses its disk".into());
        self.full = None;
        let keys = self.keys();
        std::fs::remove_dir_all(self.state()).expect("the disk can be written");
        (self.servers, self.standing, self.disks) = (Arc::default(), Standing::Outside, self.disks + 1);
        keys
    }

    /// The disk with the daemon's own directory is full, or has room again.
    pub fn fill_disk(&mut self, is_full: bool) {
        self.full = None;
        self.full = is_full.then(|| Full::of(&self.state()));
    }

    /// Whether nothing can be written into the daemon's own directory.
    pub fn has_full_disk(&self) -> bool {
        self.full.is_some()
    }

    /// It is dead, and does not start.
    pub fn ground(&mut self) {
        self.is_grounded = true;
        self.kill();
    }
}
