//! One machine of the world: a process that may be up, paused or down, and what survives it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::decide::Decider;
use certfleet_core::envelope::{Envelope, Nonce};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, FleetId, NodeName, SpkiHash, TargetName};
use certfleet_core::records::{Placed, PresenceState, TargetState};
use certfleet_core::spec::{FleetSpec, Roles};
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::trust::{SealingKey, SigningKey};
use certfleet_core::view::{Me, Memory, Moves, StoreState, View, is_kept};

use super::keys::sealing_key;
use super::store::signing_key;
use super::{Found, Happening};

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
    /// What it has decided so far in this life.
    pub decider: Decider,
    /// Rises with each start; what an earlier life began comes to nothing.
    pub life: u32,
    pub paused: bool,
    /// What happens to it while it is paused, for later.
    pub held: Vec<Happening>,
    pub cut_from_ca: bool,
    pub cut_from_store: bool,
    pub target: TargetMood,
    /// What the configuration lets it do.
    pub roles: Roles,
    /// What it hears late of: below these prefixes, by this much.
    pub slow: Vec<(String, Duration)>,
    /// On disk: private keys that it made for itself.
    pub own_keys: BTreeSet<SpkiHash>,
    /// On disk: private keys that it has opened, as they were sealed.
    pub opened: BTreeSet<SpkiHash>,
    /// How far its wall clock is off, in seconds.
    pub off_seconds: i64,
    /// Where its monotonic clock began; different everywhere, so that comparing two is seen to be wrong.
    pub origin: Duration,
    /// On disk: what a node knows of its earlier lives.
    pub memory: BTreeMap<CertName, Memory>,
    /// On disk: how often the fleet has moved.
    pub moves: Moves,
    /// On disk: the records that counted last, of those that are never removed.
    pub records: BTreeMap<Key, Envelope>,
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

    /// What it signs with.
    pub fn pen(&self) -> SigningKey {
        signing_key(&self.identity)
    }

    /// What is sealed for it.
    pub fn sealing_key(&self) -> SealingKey {
        sealing_key(&self.identity)
    }

    /// How late it hears of a change of this key.
    pub fn slowness(&self, key: &Key) -> Duration {
        self.slow.iter().filter(|(prefix, _)| key.is_under(prefix)).map(|(_, span)| *span).max().unwrap_or_default()
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
        self.decider = Decider::default();
        let view = self.fresh_view(&format!("{}.{}", self.id, self.life));
        self.view.insert(view)
    }

    /// What is on disk, and nothing of the store yet.
    pub fn fresh_view(&self, incarnation: &str) -> View {
        let me = Me {
            node: self.node.clone(),
            incarnation: incarnation.parse().expect("name"),
            identity: self.identity.clone(),
            fleet: self.fleet.clone(),
            verifying_keys: vec![signing_key("the fleet").verifying_key()],
            configured: self.roles.clone(),
            version: "0.1.0".into(),
        };
        let mut view = View::new(me, self.spec.clone());
        view.local.memory = self.memory.clone().into();
        view.local.moves.clone_from(&self.moves);
        view.local.store = StoreState::Ready;
        for (key, envelope) in &self.records {
            view.recall(key, envelope, Mono(self.origin));
        }
        view
    }

    /// Writes to disk what counts, of the records that are never removed.
    pub fn keep<'f>(&mut self, found: impl IntoIterator<Item = &'f Found>) {
        let Some(view) = &self.view else { return };
        for (key, (envelope, revision)) in found.into_iter().filter_map(|(key, stored)| Some((key, stored.as_ref()?))) {
            let counts = view.accepted.get(key).is_some_and(|accepted| accepted.revision == *revision);
            if counts && RecordKey::of(key).is_some_and(|record| is_kept(&record)) {
                self.records.insert(key.clone(), envelope.clone());
            }
        }
    }

    /// Whether it knows this value of a key, or did when it went down.
    pub fn knows(&self, key: &Key, nonce: &Nonce) -> bool {
        let accepted = self.view.as_ref().and_then(|view| view.accepted.get(key)).map(|accepted| &accepted.revision.nonce);
        accepted.into_iter().chain(self.records.get(key).map(|envelope| &envelope.nonce)).any(|known| known == nonce)
    }

    /// Has read that it was removed.
    pub fn stands_back(&self) -> bool {
        let fleet = self.view.as_ref().and_then(|view| view.fleet.as_ref());
        fleet.is_some_and(|fleet| fleet.removals.iter().any(|removal| removal.identity == self.identity))
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
