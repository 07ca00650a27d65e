//! One run: a world from a seed, disturbed for a while, then left alone until it has come to rest.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certfleet_core::names::NodeName;
use certfleet_core::time::Timestamp;
use tokio::time::{Instant, sleep};

use crate::ca::{Grants, Habits, Limit};
use crate::draw::Draw;
use crate::faults::{self, Plan, Planned, Rare};
use crate::fleet::{Founder, Wanted, configuration};
use crate::machine::{Machine, Standing};
use crate::shape::Shape;
use crate::variant::Variant;
use crate::watch::Late;
use crate::world::World;

/// Longest that a fleet which is left alone takes to come to rest: failures can have put the next attempt off by a day, and that one may be
/// for the old specification. Strict limits of the CA refill within a quarter of a lifetime for all nodes ([`Grants::Strict`]), four hours at most.
pub const REST_HOURS_MAX: u64 = 60;
/// How often everything is looked at.
const LOOK: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;

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
    /// Those among them that an engine's lost writes led to.
    pub extra: usize,
    /// How many of them it revoked.
    pub revoked: usize,
    /// How often it refused an order because of a limit.
    pub limited: BTreeMap<Limit, usize>,
    /// How long it lasted there.
    pub simulated: Duration,
    /// For so many nodes.
    pub nodes: usize,
    /// Who and what was there, to leave something of it out.
    pub cast: Cast,
}

/// Who and what was there.
#[derive(Debug, Clone)]
pub struct Cast {
    /// The machines.
    pub nodes: Vec<NodeName>,
    /// Those without any one of whom the others could still do all the work.
    pub spare: Vec<NodeName>,
    /// The certificates' names.
    pub certs: Vec<String>,
    /// The faults.
    pub plan: Plan,
}

impl Report {
    /// The checker that found something wrong: what a violation begins with.
    pub fn checker(&self) -> Option<&str> {
        self.wrong.as_deref().and_then(|wrong| wrong.split(':').next())
    }
}

/// A world and its people.
#[derive(Debug)]
pub struct Scene {
    /// The world.
    pub world: World,
    /// What the operator wants.
    pub wanted: Vec<Wanted>,
    /// Who has the fleet key.
    pub founder: Founder,
    /// What it is.
    pub shape: Shape,
    /// Where chance comes from.
    pub draw: Draw,
    /// What `store backup` wrote last.
    pub saved: Option<String>,
    dir: tempfile::TempDir,
    start: Instant,
    plan: Plan,
}

/// Runs a seed. Time passes as fast as it can; the caller's run time must be a paused one of a single thread ([`crate::run`] makes one).
pub async fn run(seed: u64, variant: &Variant) -> Report {
    let mut scene = Scene::new(seed, variant);
    scene.start_all();
    scene.be_disturbed().await;
    scene.be_left_alone().await;
    let history = &scene.world.observer.history;
    Report {
        seed,
        history: scene.without_its_place(&history.text()),
        wrong: history.violation().map(|violation| scene.without_its_place(&violation)),
        issued: scene.world.observer.issued_count(),
        extra: scene.world.observer.extra_count(),
        revoked: scene.world.site.ca.revoked(),
        limited: scene.world.observer.limited(),
        simulated: scene.start.elapsed(),
        nodes: scene.nodes().len(),
        cast: Cast {
            nodes: scene.nodes(),
            spare: scene.nodes().into_iter().filter(|node| !scene.is_needed(node)).collect(),
            certs: scene.wanted.iter().map(|wanted| wanted.name.clone()).collect(),
            plan: scene.plan.clone(),
        },
    }
}

impl Scene {
    /// Errors name files, which lie elsewhere in each run.
    fn without_its_place(&self, text: &str) -> String {
        text.replace(&*self.dir.path().to_string_lossy(), "")
    }

    fn new(seed: u64, variant: &Variant) -> Self {
        let mut draw = Draw::new(seed);
        let wall = Timestamp::from_second(BEGINNING).expect("a moment");
        let habits = Habits {
            wall,
            lifetime: HOUR * u32::try_from(draw.between(1, 6)).expect("a few"),
            order_life: HOUR * *draw.one(&[1, 8, 7 * 24]),
            authorization_life: HOUR * *draw.one(&[0, 7]),
            pace_ms: *draw.one(&[1_000, 4_000, 60_000]),
            vantage_points: 3,
        };
        let shape = Shape::of(&draw);
        let world = World::new(habits, &shape, &draw);
        let certs: Vec<String> = shape.wanted.iter().map(|wanted| wanted.name.clone()).collect();
        let wanted = shape.wanted.iter().filter(|wanted| !variant.certs.contains(&wanted.name)).cloned().collect();
        let plan = Plan::new(&draw, &shape, &certs, variant.rare.unwrap_or(1)).less(variant);
        if plan.has(|rare| matches!(rare, Rare::Forge(_) | Rare::BringBack(_) | Rare::Restore)) {
            world.observer.expect_forgeries();
        }
        world.site.ca.limit(Grants::drawn(&draw, habits.lifetime, shape.nodes));
        let dir = tempfile::Builder::new().prefix("sim-").tempdir_in(memory_disk()).expect("a directory");
        let founder = Founder::new(&draw, wall);
        let scene = Self { world, founder, wanted, shape, draw, saved: None, dir, start: Instant::now(), plan };
        scene.found(variant);
        scene.world.site.engine.settle();
        if scene.plan.has(|rare| matches!(rare, Rare::BringBack(_))) {
            scene.world.site.engine.remember();
        }
        scene
    }

    fn found(&self, variant: &Variant) {
        let founder = &self.founder;
        self.world.observer.history.say("──", || format!("{:?}, {}", self.shape.topology, self.shape.engine));
        let nodes: Vec<_> = (1..).zip(self.shape.names()).filter(|(_, node)| !variant.nodes.contains(node)).collect();
        for (number, node) in nodes.clone() {
            let (dir, draw) = (self.dir_of(&node), self.draw.fork(node.as_str()));
            std::fs::create_dir_all(&dir).expect("the disk can be written");
            let identity = founder.identity(&node, 0, &dir.join("state"), &draw);
            self.world.observer.has_joined(&node, &identity);
            let engine = &self.world.site.engine;
            if number == nodes[0].0 {
                founder.found(engine, &identity);
            }
            founder.admit(engine, &identity, self.shape.granted(number));
            let machine = Machine::new(node.clone(), &dir, &self.world.site, draw);
            machine.configure(&self.configuration_at(&dir));
            self.world.observer.machines().insert(node, machine);
        }
    }

    fn configuration_at(&self, dir: &Path) -> String {
        let nodes: Vec<_> = self.shape.names().into_iter().zip(1..).map(|(node, number)| (node, self.shape.roles(number))).collect();
        configuration(dir, &nodes, &self.wanted)
    }

    /// Where a machine's disk is.
    pub fn dir_of(&self, node: &NodeName) -> PathBuf {
        self.dir.path().join(node.as_str())
    }

    /// The nodes' names.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.world.observer.machines().keys().cloned().collect()
    }

    /// The names of those that were not removed.
    pub fn members(&self) -> Vec<NodeName> {
        let machines = self.world.observer.machines();
        machines.values().filter(|machine| machine.standing != Standing::Removed).map(|machine| machine.node.clone()).collect()
    }

    /// Everybody is disturbed.
    pub fn unsettle_all(&self) {
        self.world.observer.machines().values_mut().filter(|machine| machine.calm_since.is_some()).for_each(|machine| {
            machine.calm_since = Some(Instant::now());
        });
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
            let text = self.configuration_at(&self.with(node, |machine| machine.dir().to_owned()));
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
        let plan = self.plan.clone();
        let mut lurking = VecDeque::new();
        for planned in plan.faults {
            self.pass_until(planned.at, &mut lurking).await;
            match planned.after_step {
                _ if self.is_broken() => return,
                Some(_) => lurking.push_back(planned),
                None => planned.strike(self).await,
            }
        }
        self.pass_until(plan.end, &mut lurking).await;
    }

    /// Until so long after the world began. Some faults wait for the next step of an attempt: there is little to be broken while nothing is
    /// under way.
    async fn pass_until(&mut self, moment: Duration, lurking: &mut VecDeque<Planned>) {
        loop {
            let observer = self.world.observer.clone();
            let is_step = tokio::select! {
                biased;
                () = observer.steps.notified(), if !lurking.is_empty() => true,
                () = self.pass(moment.saturating_sub(self.start.elapsed())) => false,
            };
            if !is_step {
                return;
            }
            let Some(planned) = lurking.pop_front() else { return };
            sleep(planned.after_step.unwrap_or_default()).await;
            planned.strike(self).await;
        }
    }

    async fn be_left_alone(&mut self) {
        self.world.observer.history.say("──", || "the faults stop".into());
        faults::mend(self).await;
        let mut late = Late::default();
        for _ in 0..REST_HOURS_MAX * 6 {
            self.pass(HOUR / 6).await;
            if let Err(why) = self.is_in_step(&mut late) {
                self.world.observer.history.violated(format!("late: {why}"));
            }
            if self.is_broken() || self.is_at_rest().is_ok() {
                return;
            }
            self.let_all_join().await;
            self.start_all();
        }
        if let Err(why) = self.is_at_rest() {
            self.world.observer.history.violated(format!("rest: the fleet has not come to rest in {REST_HOURS_MAX} hours: {why}"));
        }
    }
}

/// A disk in memory where there is one: a simulated machine syncs as often as a real one.
fn memory_disk() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}
