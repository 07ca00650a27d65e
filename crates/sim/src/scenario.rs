//! One run: a world from a seed, disturbed for a while, then left alone until it has come to rest.

use std::path::PathBuf;
use std::time::Duration;

use certfleet_core::names::{CertName, NodeName};
use certfleet_core::time::Timestamp;
use tokio::time::{Instant, sleep};

use crate::ca::Habits;
use crate::draw::Draw;
use crate::faults::Disturbance;
use crate::fleet::{Founder, Wanted, configuration};
use crate::machine::Machine;
use crate::world::World;

/// Longest that a fleet which is left alone takes to come to rest: failures can have put the next attempt off by a day, and that one may be
/// for the old specification.
pub const REST_HOURS_MAX: u64 = 60;
/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;
/// What a certificate's table may say besides.
const LINES: [&str; 4] = ["", "rollout = { canary = 1 }", "key = { reuse = true }", "key = { policy = \"per-node\" }"];

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// Everything that happened.
    pub history: String,
    /// What was wrong, if anything.
    pub wrong: Option<String>,
    /// Certificates that the CA issued.
    pub issued: usize,
    /// How long it lasted there.
    pub simulated: Duration,
    /// For so many nodes.
    pub nodes: usize,
}

/// A world and its people.
#[derive(Debug)]
pub struct Scene {
    /// The world.
    pub world: World,
    /// What the operator wants.
    pub wanted: Vec<Wanted>,
    /// Where chance comes from.
    pub draw: Draw,
    dir: tempfile::TempDir,
    start: Instant,
}

/// Runs a seed. Time passes as fast as it can; the caller's run time must be a paused one of a single thread ([`crate::run`] makes one).
pub async fn run(seed: u64) -> Report {
    let mut scene = Scene::new(seed);
    scene.start_all();
    scene.be_disturbed().await;
    scene.be_left_alone().await;
    let history = &scene.world.observer.history;
    Report {
        seed,
        history: history.text(),
        wrong: history.violation(),
        issued: scene.world.observer.issued_count(),
        simulated: scene.start.elapsed(),
        nodes: scene.nodes().len(),
    }
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let wall = Timestamp::from_second(BEGINNING).expect("a moment");
        let habits = Habits {
            wall,
            lifetime: HOUR * u32::try_from(draw.between(4, 16)).expect("a few"),
            order_life: HOUR * *draw.one(&[1, 8, 7 * 24]),
            authorization_life: HOUR * *draw.one(&[0, 7]),
            pace_ms: *draw.one(&[1_000, 4_000, 60_000]),
            vantage_points: 3,
        };
        let world = World::new(habits, &draw);
        let certificate = |n: u64, lines| Wanted { name: format!("c{n}.example"), has_www: false, lines };
        let wanted = (0..draw.between(1, 3)).map(|n| certificate(n, *draw.one(&LINES))).collect();
        let dir = tempfile::Builder::new().prefix("sim-").tempdir_in(memory_disk()).expect("a directory");
        let mut scene = Self { world, wanted, draw, dir, start: Instant::now() };
        scene.found(wall);
        scene
    }

    fn found(&mut self, wall: Timestamp) {
        let founder = Founder::new(&self.draw, wall);
        for n in 1..=self.draw.between(1, 4) {
            let node: NodeName = format!("n{n}").parse().expect("a name");
            let (dir, draw) = (self.dir_of(&node), self.draw.fork(node.as_str()));
            std::fs::create_dir_all(&dir).expect("the disk can be written");
            let identity = founder.identity(&node, &dir.join("state"), &draw);
            let engine = &self.world.site.engine;
            if n == 1 {
                founder.found(engine, &identity);
            }
            founder.admit(engine, &identity);
            let machine = Machine::new(node.clone(), &dir, &self.world.site, draw);
            machine.configure(&configuration(&dir, &self.wanted));
            self.world.observer.machines().insert(node, machine);
        }
    }

    fn dir_of(&self, node: &NodeName) -> PathBuf {
        self.dir.path().join(node.as_str())
    }

    /// The nodes' names.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.world.observer.machines().keys().cloned().collect()
    }

    /// Does something to a machine.
    pub fn with<T>(&self, node: &NodeName, what: impl FnOnce(&mut Machine) -> T) -> T {
        what(self.world.observer.machines().get_mut(node).expect("a machine of this world"))
    }

    /// Starts what does not run.
    pub fn start_all(&self) {
        self.world.observer.machines().values_mut().for_each(Machine::start);
    }

    /// Gives machines the configuration that is wanted now, and lets them take it up.
    pub fn configure(&self, nodes: &[NodeName]) {
        for node in nodes {
            let text = configuration(&self.dir_of(node), &self.wanted);
            self.with(node, |machine| {
                machine.configure(&text);
                machine.reload();
            });
        }
    }

    /// Whether something is wrong already.
    pub fn is_broken(&self) -> bool {
        self.world.observer.history.violation().is_some()
    }

    /// Lets time pass, and looks at everything each minute.
    pub async fn pass(&self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end && !self.is_broken() {
            sleep(LOOK.min(end - Instant::now())).await;
            self.world.observer.look_around();
        }
    }

    async fn be_disturbed(&mut self) {
        let mut disturbance = Disturbance::new(&self.draw);
        while !disturbance.is_over() && !self.is_broken() {
            self.pass(disturbance.pause()).await;
            disturbance.strike(self);
        }
    }

    async fn be_left_alone(&mut self) {
        self.world.observer.history.say("──", || "the faults stop".into());
        Disturbance::mend(self);
        for _ in 0..REST_HOURS_MAX * 6 {
            self.pass(HOUR / 6).await;
            if self.is_broken() || self.is_at_rest().is_ok() {
                return;
            }
            self.start_all();
        }
        if let Err(why) = self.is_at_rest() {
            self.world.observer.history.violated(format!("the fleet has not come to rest in {REST_HOURS_MAX} hours: {why}"));
        }
    }

    /// Whether every node serves what it should, and nothing is under way.
    fn is_at_rest(&self) -> Result<(), String> {
        for node in self.nodes() {
            for wanted in &self.wanted {
                self.serves(&node, wanted)?;
            }
        }
        Ok(())
    }

    fn serves(&self, node: &NodeName, wanted: &Wanted) -> Result<(), String> {
        let own = wanted.lines.contains("per-node").then(|| format!("{}@{node}", wanted.name));
        let cert: CertName = own.as_ref().unwrap_or(&wanted.name).parse().expect("a certificate's name");
        let record = self.world.record(&cert).ok_or_else(|| format!("{cert} has no record"))?;
        let placed = record.placed.ok_or_else(|| format!("{cert} was never issued"))?;
        let mut names: Vec<String> = placed.names.iter().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        let served = self.with(node, |machine| machine.servers.served());
        let served = served.iter().find(|((_, served), _)| *served == cert).map(|(_, leaf)| leaf.serial.clone());
        match () {
            () if record.attempt.is_some() => Err(format!("{cert} has an attempt")),
            () if names != wanted.names() => Err(format!("{cert} is placed with the names {names:?}")),
            () if placed.not_after <= self.world.site.ca.now() => Err(format!("{cert} has expired")),
            () if served != Some(placed.serial) => Err(format!("{node} serves another generation of {cert}")),
            () => Ok(()),
        }
    }
}

/// A disk in memory where there is one: a simulated machine syncs as often as a real one.
fn memory_disk() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}
