//! One machine of the world: a process that may be up, paused or down, and what survives it.

use std::collections::BTreeMap;
use std::time::Duration;

use certfleet_core::names::{CertName, FleetId, NodeName, TargetName};
use certfleet_core::records::{Placed, PresenceState, TargetState};
use certfleet_core::spec::FleetSpec;
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::view::{Me, Memory, StoreState, View};

use super::Happening;

/// How a target behaves on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetMood {
    #[default]
    Works,
    Fails,
    NotRunning,
}

/// A machine.
pub struct Machine {
    pub id: String,
    pub node: NodeName,
    pub identity: String,
    pub fleet: FleetId,
    pub spec: FleetSpec,
    /// None while it is down.
    pub view: Option<View>,
    /// Rises with each start; what an earlier life began comes to nothing.
    pub life: u32,
    pub paused: bool,
    /// What happens to it while it is paused, for later.
    pub held: Vec<Happening>,
    pub cut_from_ca: bool,
    pub cut_from_store: bool,
    pub target: TargetMood,
    /// How far its wall clock is off, in seconds.
    pub off_seconds: i64,
    /// Where its monotonic clock began; different everywhere, so that comparing two is seen to be wrong.
    pub origin: Duration,
    /// On disk: what a node knows of its earlier lives.
    pub memory: BTreeMap<CertName, Memory>,
    /// On disk and served.
    pub disk: BTreeMap<(CertName, TargetName), Placed>,
    pub troubles: Vec<String>,
    pub waits: BTreeMap<CertName, String>,
    pub wake: Option<Duration>,
    /// Actions begun within the current second.
    pub pace: (u64, u32),
}

impl Machine {
    pub fn now(&self, t: Duration, wall: Timestamp) -> Now {
        let off = certfleet_core::time::Timestamp::from_second(wall.as_second() + self.off_seconds).expect("within time");
        let wall = off + Duration::from_nanos(u64::from(wall.subsec_nanosecond().unsigned_abs()));
        Now { wall, mono: Mono(self.origin + t) }
    }

    pub fn is_up(&self) -> bool {
        self.view.is_some()
    }

    /// A new life that has read nothing yet.
    pub fn boot(&mut self) -> &mut View {
        self.life += 1;
        self.paused = false;
        self.held.clear();
        self.troubles.clear();
        self.waits.clear();
        let me = Me {
            node: self.node.clone(),
            incarnation: format!("{}.{}", self.id, self.life).parse().expect("name"),
            identity: self.identity.clone(),
            fleet: self.fleet.clone(),
            configured: certfleet_core::spec::all_roles(),
            version: "0.1.0".into(),
        };
        let mut view = View::new(me, self.spec.clone());
        view.local.memory.clone_from(&self.memory);
        view.local.store = StoreState::Ready;
        self.view.insert(view)
    }

    /// The process ends; what is on disk stays.
    pub fn die(&mut self) {
        self.view = None;
        self.paused = false;
        self.held.clear();
        self.wake = None;
    }

    /// Its own word on what it has of `cert`.
    pub fn has_verified(&self, cert: &CertName, placed: &Placed) -> bool {
        let Some(view) = &self.view else { return false };
        let mut targets = view.local.targets.iter().filter(|((name, _), _)| name == cert).map(|(_, installed)| installed).peekable();
        targets.peek().is_some()
            && targets.all(|installed| installed.placement == placed.placement && installed.state == TargetState::Verified)
    }

    /// Has handed everything back and said goodbye.
    pub fn may_go(&self) -> bool {
        let Some(view) = self.view.as_ref().filter(|view| view.local.leaving) else { return false };
        let held = |seen: &certfleet_core::view::Observed<certfleet_core::records::CertRecord>| {
            let holder = seen.value.attempt.as_ref().and_then(|attempt| attempt.holder.as_ref());
            holder.is_some_and(|holder| holder.incarnation == view.me.incarnation)
        };
        let goodbye = view.local.beaten_at.as_ref().is_some_and(|(_, presence)| presence.state == PresenceState::Leaving);
        goodbye && view.local.busy.is_empty() && !view.certs.values().any(held)
    }
}
