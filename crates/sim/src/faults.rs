//! What disturbs a world: drawn from its seed, for some hours.

use std::time::Duration;

use certfleet_core::names::NodeName;
use tokio::time::Instant;

use crate::ca::Mood;
use crate::draw::Draw;
use crate::gate::Process;
use crate::link::Weather;
use crate::scenario::Scene;
use crate::servers::Server;

const HOUR: Duration = Duration::from_secs(3600);
/// Longest disturbance, in hours.
const HOURS_MAX: u64 = 20;
/// How wrong a wall clock may be, in seconds.
const CLOCKS: [i64; 6] = [0, 0, 60, -300, 86_400 * 40, -86_400 * 3];

/// A time of faults.
#[derive(Debug)]
pub struct Disturbance {
    draw: Draw,
    end: Instant,
}

impl Disturbance {
    /// Of a world's seed.
    pub fn new(draw: &Draw) -> Self {
        let mut draw = draw.fork("faults");
        let end = Instant::now() + HOUR * u32::try_from(draw.between(1, HOURS_MAX)).expect("a few");
        Self { draw, end }
    }

    /// Whether it is.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// How long until the next fault: often soon, so that faults meet the work; sometimes long, so that time-outs and renewals are met too.
    pub fn pause(&mut self) -> Duration {
        match self.draw.between(0, 9) {
            0..=4 => Duration::from_millis(self.draw.between(5, 3_000)),
            5..=7 => Duration::from_secs(self.draw.between(3, 300)),
            _ => Duration::from_secs(self.draw.between(5, 120) * 60),
        }
    }

    /// The next fault, or the end of one.
    pub fn strike(&mut self, scene: &mut Scene) {
        let node = self.draw.one(&scene.nodes()).clone();
        let fault = self.draw.between(0, 15);
        scene.with(&node, |machine| machine.calm_since = None);
        match fault {
            0 => scene.with(&node, crate::machine::Machine::kill),
            1..=3 => scene.start_all(),
            4 => self.pause_one(scene, &node),
            5 => scene.with(&node, |machine| machine.pause(Process::Runs)),
            6..=8 => self.set_weather(scene, &node),
            9..=10 => Self::mend_one(scene, &node),
            11 => self.set_mood(scene),
            12 => self.set_server(scene, &node),
            13 => self.set_clock(scene, &node),
            14 => self.change_names(scene, &node),
            _ => scene.with(&node, |machine| machine.stop()),
        }
    }

    /// The end of all faults.
    pub fn mend(scene: &mut Scene) {
        scene.world.site.ca.set(Mood::Works);
        for node in scene.nodes() {
            Self::mend_one(scene, &node);
        }
        scene.configure(&scene.nodes());
    }

    fn say(&self, scene: &Scene, who: &str, what: String) {
        scene.world.observer.history.say(who, || what);
    }

    fn pause_one(&mut self, scene: &Scene, node: &NodeName) {
        self.say(scene, node.as_str(), "stands still".into());
        scene.with(node, |machine| machine.pause(Process::StandsStill));
    }

    fn set_weather(&mut self, scene: &Scene, node: &NodeName) {
        let cut = self.draw.once_in_a_thousand(300);
        let [lost, slow, deadly] = [50, 200, 15].map(|most| self.draw.between(0, most));
        let weather = Weather { cut, lost, slow, deadly, ..Weather::default() };
        let (store, ca) = (self.draw.once_in_a_thousand(600), self.draw.once_in_a_thousand(500));
        self.say(
            scene,
            node.as_str(),
            format!("{} to{}{}", weather, if store { " the store" } else { "" }, if ca { " the CA" } else { "" }),
        );
        scene.with(node, |machine| machine.set(store.then_some(weather), ca.then_some(weather)));
    }

    fn mend_one(scene: &Scene, node: &NodeName) {
        scene.with(node, |machine| {
            machine.set(Some(Weather::default()), Some(Weather::default()));
            machine.pause(Process::Runs);
            machine.servers.set(Server::Works);
            machine.set_clock(0);
            machine.start();
            machine.calm_since = Some(Instant::now());
        });
    }

    fn set_mood(&mut self, scene: &Scene) {
        let mood = *self.draw.one(&[Mood::Works, Mood::Works, Mood::Down, Mood::Busy, Mood::Silent, Mood::Fails]);
        self.say(scene, "ca", format!("{mood:?}"));
        scene.world.site.ca.set(mood);
    }

    fn set_server(&mut self, scene: &Scene, node: &NodeName) {
        let server = *self.draw.one(&[Server::Works, Server::Fails, Server::Down]);
        self.say(scene, node.as_str(), format!("its server: {server:?}"));
        scene.with(node, |machine| machine.servers.set(server));
    }

    fn set_clock(&mut self, scene: &Scene, node: &NodeName) {
        let seconds = *self.draw.one(&CLOCKS);
        self.say(scene, node.as_str(), format!("its clock is {seconds} s wrong"));
        scene.with(node, |machine| machine.set_clock(seconds));
    }

    /// On one machine, or on all: then the fleet follows.
    fn change_names(&mut self, scene: &mut Scene, node: &NodeName) {
        let which = usize::try_from(self.draw.between(0, scene.wanted.len() as u64 - 1)).expect("an index");
        scene.wanted[which].has_www ^= true;
        let everywhere = self.draw.once_in_a_thousand(500);
        self.say(
            scene,
            "operator",
            format!("{} changes its names on {}", scene.wanted[which].name, if everywhere { "all" } else { node.as_str() }),
        );
        let nodes = if everywhere { scene.nodes() } else { vec![node.clone()] };
        scene.configure(&nodes);
    }
}
