//! What disturbs a world: the kinds of faults, and what each does. Which come when is the [`Plan`]'s.
//!
//! Always holds: all that a fault is made of was drawn before the world began, so that leaving one out changes none of the others.

mod backup;
mod configuration;
mod forgery;
mod machines;
mod plan;
mod rare;
mod restore;
mod store;

use std::fmt;
use std::time::Duration;

use certfleet_core::names::NodeName;
use tokio::time::Instant;

pub use configuration::Change;
pub use plan::{Plan, Planned};
pub use rare::Rare;

use crate::ca::Mood;
use crate::draw::Draw;
use crate::engine::LOST_MS_MAX;
use crate::gate::Process;
use crate::link::Weather;
use crate::machine::Machine;
use crate::scenario::Scene;
use crate::servers::Server;

/// How wrong a wall clock may be, in seconds.
const CLOCKS: [i64; 6] = [0, 0, 60, -300, 86_400 * 40, -86_400 * 3];
/// How many seconds a wall clock may gain in an hour.
const DRIFTS: [i64; 6] = [0, 0, 0, 20, 1_800, -1_800];
/// Longest time without a leader, in milliseconds.
const TORN_MS_MAX: u64 = 20_000;

/// How long a machine may stand still before it goes on by itself, in seconds.
const NAP_SECONDS_MAX: u64 = 90;

/// A fault, or the end of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// As `kill -9` does, or the power.
    Kill,
    /// As systemd does: it may hand back what it holds.
    Stop,
    /// What does not run is started, everywhere.
    StartAll,
    /// The process stops, and the world goes on; or it goes on too.
    Pause(Process),
    /// It stands still for so long.
    Nap(Duration),
    /// The ways to the store and to the CA.
    Weather {
        /// How they are.
        weather: Weather,
        /// Whether the way to the store is.
        store: bool,
        /// Whether the way to the CA is.
        ca: bool,
    },
    /// All is well on this machine.
    Mend,
    /// How the CA feels.
    Mood(Mood),
    /// The CA revokes a certificate.
    Revoke(u64),
    /// How the machine's server feels.
    Server(Server),
    /// How wrong the wall clock is, in seconds, and how many it gains in an hour.
    Clock(i64, i64),
    /// One direction of one way, or one of two ways.
    Ways {
        /// To the store.
        store: Option<Weather>,
        /// To the CA.
        ca: Option<Weather>,
    },
    /// The CA's questions do not reach the machine.
    Deafness,
    /// The machine has no way to the CA, for the whole run.
    ShutIn,
    /// The machine is dead until the faults end.
    Ground,
    /// The engine has no leader for so long; and if it can lose writes, it loses those of so long.
    Leader(Duration, Option<Duration>),
    /// A certificate's table is changed, on this machine or on all.
    Change {
        /// What.
        change: Change,
        /// Which certificate.
        cert: String,
        /// Whether on all: then the fleet follows.
        everywhere: bool,
    },
    /// What few worlds have.
    Rare(Rare),
}

impl Fault {
    fn draw(draw: &mut Draw, certs: &[String]) -> Self {
        match draw.between(0, 19) {
            0 => Self::Kill,
            1..=3 => Self::StartAll,
            4 if draw.once_in_a_thousand(500) => Self::Nap(Duration::from_secs(draw.between(1, NAP_SECONDS_MAX))),
            4 => Self::Pause(Process::StandsStill),
            5 => Self::Pause(Process::Runs),
            6..=8 => Self::draw_weather(draw),
            9..=10 => Self::Mend,
            11 if draw.once_in_a_thousand(100) => Self::Revoke(draw.number()),
            11 => Self::Mood(Mood::drawn(draw)),
            12 => Self::Server(*draw.one(&[Server::Works, Server::Fails, Server::Down])),
            13 => Self::Clock(*draw.one(&CLOCKS), *draw.one(&DRIFTS)),
            14..=15 => Self::Change { change: Change::draw(draw), cert: draw.one(certs).clone(), everywhere: draw.once_in_a_thousand(500) },
            16 => Self::draw_ways(draw),
            17..=18 => {
                let [torn, lost] = [TORN_MS_MAX, LOST_MS_MAX].map(|most| Duration::from_millis(draw.between(1, most)));
                Self::Leader(torn, draw.once_in_a_thousand(700).then_some(lost))
            }
            _ => Self::Stop,
        }
    }

    fn draw_weather(draw: &mut Draw) -> Self {
        let cut = draw.once_in_a_thousand(300);
        let [lost, slow, deadly, echoes] = [50, 200, 15, 100].map(|most| draw.between(0, most));
        let weather = Weather { cut, lost, slow, deadly, echoes, ..Weather::default() };
        Self::Weather { weather, store: draw.once_in_a_thousand(600), ca: draw.once_in_a_thousand(500) }
    }

    /// Questions arrive and answers never do; one place is reached and the other is not; the CA does not reach the machine.
    fn draw_ways(draw: &mut Draw) -> Self {
        let (well, mute, cut) = (Some(Weather::default()), Some(Weather::mute()), Some(Weather::cut()));
        let ways = [(mute, None), (None, mute), (cut, well), (well, cut)];
        match usize::try_from(draw.between(0, 4)).ok().and_then(|which| ways.get(which)) {
            Some((store, ca)) => Self::Ways { store: *store, ca: *ca },
            None => Self::Deafness,
        }
    }

    async fn strike(&self, scene: &mut Scene, node: &NodeName) {
        // A full disk is no excuse for serving what has expired.
        if *self != Self::Rare(Rare::FullDisk) {
            scene.with(node, |machine| machine.calm_since = None);
            let carries = scene.world.site.carrier.as_ref() == Some(node);
            scene.world.observer.are_disturbed(|other| carries || other == node);
        }
        match self {
            Self::Kill => scene.with(node, Machine::kill),
            Self::Stop => scene.with(node, |machine| machine.stop()),
            Self::StartAll => scene.start_all(),
            Self::Pause(process) => {
                scene.world.observer.is_delayed(node, Duration::ZERO);
                scene.with(node, |machine| machine.pause(*process));
            }
            Self::Nap(span) => {
                scene.world.observer.is_delayed(node, *span);
                scene.with(node, |machine| machine.nap(*span));
            }
            Self::Weather { weather, store, ca } => {
                scene.with(node, |machine| machine.set(store.then_some(*weather), ca.then_some(*weather)));
            }
            Self::Mend => mend_one(scene, node),
            Self::Mood(mood) => scene.world.site.ca.set(*mood),
            Self::Revoke(which) => scene.world.site.ca.revoke(*which),
            Self::Server(server) => scene.with(node, |machine| machine.servers.set(*server)),
            Self::Clock(seconds, gains) => scene.with(node, |machine| machine.set_clock(*seconds, *gains)),
            Self::Ways { store, ca } => scene.with(node, |machine| machine.set(*store, *ca)),
            Self::Deafness => scene.with(node, |machine| machine.is_deaf = true),
            Self::ShutIn => scene.with(node, Machine::shut_in),
            Self::Ground => scene.with(node, Machine::ground),
            Self::Leader(torn, lost) => store::lose_leader(scene, *torn, *lost),
            Self::Change { change, cert, everywhere } => change.strike(scene, node, cert, *everywhere),
            Self::Rare(rare) => rare.strike(scene, node).await,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "is to be killed"),
            Self::Stop => write!(f, "is told to stop"),
            Self::StartAll => write!(f, "all that are down are started"),
            Self::Pause(Process::Runs) => write!(f, "goes on"),
            Self::Pause(_) => write!(f, "stands still"),
            Self::Nap(span) => write!(f, "stands still for {} s", span.as_secs()),
            Self::Weather { weather, store, ca } => {
                write!(f, "{weather} to{}{}", if *store { " the store" } else { "" }, if *ca { " the CA" } else { "" })
            }
            Self::Mend => write!(f, "all is well here"),
            Self::Mood(mood) => write!(f, "the CA: {mood:?}"),
            Self::Revoke(_) => write!(f, "the CA revokes a certificate"),
            Self::Server(server) => write!(f, "its server: {server:?}"),
            Self::Clock(seconds, gains) => write!(f, "its clock is {seconds} s wrong and gains {gains} s an hour"),
            Self::Ways { store, ca } => {
                let told = |to, weather: &Option<Weather>| weather.map_or(String::new(), |weather| format!(" {to}: {weather};"));
                write!(f, "its ways are other ones:{}{}", told("store", store), told("CA", ca))
            }
            Self::Deafness => write!(f, "the CA does not reach it"),
            Self::ShutIn => write!(f, "it never has a way to the CA"),
            Self::Ground => write!(f, "it is dead until the faults end"),
            Self::Leader(torn, _) => write!(f, "the store has no leader for {} ms", torn.as_millis()),
            Self::Change { change, cert, everywhere } => write!(f, "{cert} {change}, {}", if *everywhere { "on all" } else { "here" }),
            Self::Rare(rare) => write!(f, "{rare}"),
        }
    }
}

/// The end of all faults.
pub async fn mend(scene: &mut Scene) {
    scene.world.site.ca.set(Mood::Works);
    scene.switch_off_copies();
    for node in scene.nodes() {
        scene.with(&node, |machine| machine.is_grounded = false);
        mend_one(scene, &node);
    }
    scene.let_all_join().await;
    scene.configure(&scene.nodes());
}

fn mend_one(scene: &Scene, node: &NodeName) {
    scene.world.observer.is_delayed(node, Duration::ZERO);
    scene.with(node, |machine| {
        machine.set(Some(Weather::default()), Some(Weather::default()));
        machine.pause(Process::Runs);
        machine.servers.set(Server::Works);
        machine.set_clock(0, 0);
        machine.is_deaf = false;
        machine.fill_disk(false);
        machine.start();
        machine.calm_since = Some(Instant::now());
    });
}
