//! What all certificates are decided by, as values: compared with what it was at the decision before, it tells which of them to look at again.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Subject;
use super::turn::Clock;
use super::{accounts, turn};
use crate::names::{ConfigHash, IssuerName, NodeName, SpkiHash, TargetName};
use crate::records::{FleetRecord, NodeRecord};
use crate::spec::{IssuerSpec, Role, Roles, TargetSpec};
use crate::time::{Mono, Now};
use crate::trust::Roster;
use crate::view::{Bar, First, Me, Shared, Touched, View};

/// All of it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub lasting: Lasting,
    pub passing: Passing,
    pub lacked: Lacked,
}

/// Who says that it cannot open which keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Lacked {
    pub keys: BTreeSet<SpkiHash>,
    pub nodes: BTreeSet<NodeName>,
}

/// What seldom changes. When it does, everything is decided anew.
#[derive(Debug, Clone)]
pub(super) struct Lasting {
    pub is_member: bool,
    pub roles: Roles,
    seed: u64,
    me: Me,
    leaving: bool,
    is_duplicate: bool,
    has_beaten: bool,
    lag: std::time::Duration,
    config: ConfigHash,
    targets: BTreeMap<TargetName, TargetSpec>,
    issuers: BTreeMap<IssuerName, IssuerSpec>,
    fleet: Option<FleetRecord>,
    nodes: Shared<BTreeMap<NodeName, NodeRecord>>,
    roster: Shared<Roster>,
}

/// What changes often, and is asked for only where something is due or under way.
#[derive(Debug, Clone)]
pub(super) struct Passing {
    /// Each node that has beaten.
    nodes: BTreeMap<NodeName, Sighting>,
    /// For each live one a moment, not after the one at which it ceases to be live unless it beats: it is looked at then.
    ends: BTreeSet<(Mono, NodeName)>,
    /// The live nodes that may drive orders.
    pub issuers: Vec<NodeName>,
    cas: BTreeMap<IssuerName, Ca>,
}

/// A node that has beaten: whether it is live, as what, and with which configuration.
#[derive(Debug, Clone)]
struct Sighting {
    live: bool,
    roles: Roles,
    config: ConfigHash,
    /// The moment by which it stands among the `ends`.
    end: Option<Mono>,
}

/// What is known of a CA from here.
#[derive(Debug, Clone, PartialEq)]
struct Ca {
    bar: Option<Bar>,
    clock: Clock,
    is_asked: bool,
    asked_again: Option<Mono>,
    is_registered: bool,
    is_rolling: bool,
}

impl Facts {
    pub fn of(view: &View, now: Now, seed: u64) -> Self {
        Self { lasting: Lasting::of(view, seed), passing: Passing::of(view, now), lacked: Lacked::of(view) }
    }
}

impl Lacked {
    pub fn of(view: &View) -> Self {
        let lacking = || view.presence.iter().filter(|(_, seen)| !seen.value.lacks.is_empty());
        let keys = lacking().flat_map(|(_, seen)| seen.value.lacks.iter().cloned());
        Self { keys: keys.collect(), nodes: lacking().map(|(node, _)| node.clone()).collect() }
    }

    /// Whether it may be another now that these presences were touched.
    pub fn is_touched(&self, view: &View, touched: &Touched<NodeName>) -> bool {
        match touched {
            Touched::All => true,
            Touched::Some(nodes) => nodes.iter().any(|node| {
                let lacks = view.presence.get(node).is_some_and(|seen| !seen.value.lacks.is_empty());
                lacks || self.nodes.contains(node)
            }),
        }
    }
}

impl Lasting {
    fn of(view: &View, seed: u64) -> Self {
        Self {
            is_member: view.membership().is_ok(),
            roles: view.my_roles(),
            seed,
            me: view.me.clone(),
            leaving: view.local.leaving,
            is_duplicate: view.local.duplicate.is_some(),
            has_beaten: view.local.beaten_at.is_some(),
            lag: view.local.lag,
            config: view.spec.hash.clone(),
            targets: view.spec.targets.clone(),
            issuers: view.spec.issuers.clone(),
            fleet: view.fleet.clone(),
            nodes: view.nodes.clone(),
            roster: view.roster.clone(),
        }
    }

    /// Whether it is still so; nothing is copied for that.
    pub fn is_of(&self, view: &View, seed: u64) -> bool {
        let of_process = self.seed == seed
            && self.leaving == view.local.leaving
            && self.is_duplicate == view.local.duplicate.is_some()
            && self.has_beaten == view.local.beaten_at.is_some()
            && self.lag == view.local.lag
            && self.me == view.me;
        let of_file = self.config == view.spec.hash && self.targets == view.spec.targets && self.issuers == view.spec.issuers;
        let of_fleet = self.fleet == view.fleet && self.nodes == view.nodes && self.roster == view.roster;
        of_process && of_file && of_fleet && self.is_member == view.membership().is_ok()
    }
}

impl Passing {
    pub fn of(view: &View, now: Now) -> Self {
        let mut passing = Self { nodes: BTreeMap::new(), ends: BTreeSet::new(), issuers: Vec::new(), cas: cas(view, now) };
        passing.look_at_all(view, now);
        passing.issuers = view.live_issuers(now.mono).into_iter().cloned().collect();
        passing
    }

    /// Keeps it up, at the cost of the presences that were touched and of the nodes that may have ceased to be live; true if it is another now.
    pub fn follow(&mut self, view: &View, now: Now, touched: &Touched<NodeName>) -> bool {
        let ended: Vec<NodeName> = self.ends.iter().take_while(|(end, _)| *end <= now.mono).map(|(_, node)| node.clone()).collect();
        let mut others = ended.iter().filter(|node| self.look_at(view, now, node)).count();
        others += match touched {
            Touched::Some(nodes) => nodes.iter().filter(|node| self.look_at(view, now, node)).count(),
            Touched::All => self.look_at_all(view, now),
        };
        if others > 0 {
            self.issuers = view.live_issuers(now.mono).into_iter().cloned().collect();
        }
        let before = std::mem::replace(&mut self.cas, cas(view, now));
        others > 0 || before != self.cas
    }

    /// Looks at all; gives how many are others than they were.
    fn look_at_all(&mut self, view: &View, now: Now) -> usize {
        let others = view.presence.keys().filter(|node| self.look_at(view, now, node)).count();
        if self.nodes.len() == view.presence.len() {
            return others;
        }
        let gone: Vec<NodeName> = self.nodes.keys().filter(|node| !view.presence.contains_key(*node)).cloned().collect();
        others + gone.iter().filter(|node| self.look_at(view, now, node)).count()
    }

    /// Looks at one node; true if it is another than it was.
    fn look_at(&mut self, view: &View, now: Now, node: &NodeName) -> bool {
        let Some(seen) = view.presence.get(node) else {
            let gone = self.nodes.remove(node);
            self.forget_end(node, gone.as_ref().and_then(|before| before.end));
            return gone.is_some();
        };
        let (presence, live) = (&seen.value, view.is_live(node, now.mono));
        let before = self.nodes.get(node);
        let is_other =
            before.is_none_or(|before| before.live != live || before.roles != presence.roles || before.config != presence.config);
        let stands = before.and_then(|before| before.end);
        let until = view.live_until(node).filter(|_| live);
        // A beat moves the end away: it is looked at when the old one comes.
        let end = stands.filter(|end| *end > now.mono && Some(*end) <= until).or(until);
        if is_other || end != stands {
            self.forget_end(node, stands);
            self.ends.extend(end.map(|end| (end, node.clone())));
            self.nodes.insert(node.clone(), Sighting { live, roles: presence.roles.clone(), config: presence.config.clone(), end });
        }
        is_other
    }

    fn forget_end(&mut self, node: &NodeName, end: Option<Mono>) {
        if let Some(end) = end {
            self.ends.remove(&(end, node.clone()));
        }
    }
}

fn cas(view: &View, now: Now) -> BTreeMap<IssuerName, Ca> {
    let local = &view.local;
    // Those that are configured no more may still be asked for what is under way there.
    let first = || Subject::Clock(IssuerName::first());
    fn issuer(subject: &Subject) -> Option<&IssuerName> {
        if let Subject::Clock(issuer) = subject { Some(issuer) } else { None }
    }
    let asked =
        local.busy.range(first()..).map_while(issuer).chain(local.pauses.range(first()..).map_while(|(subject, _)| issuer(subject)));
    let issuers: BTreeSet<&IssuerName> =
        view.spec.issuers.keys().chain(local.clocks.keys()).chain(local.bars.keys()).chain(asked).collect();
    issuers.into_iter().map(|issuer| (issuer.clone(), ca(view, now, issuer))).collect()
}

fn ca(view: &View, now: Now, issuer: &IssuerName) -> Ca {
    let (subject, clock) = (Subject::Clock(issuer.clone()), turn::clock(view, now, issuer));
    Ca {
        bar: view.local.bars.get(issuer).filter(|bar| bar.until > now.mono).cloned(),
        // Of no interest to anybody while the clock is known to be right.
        is_asked: clock == Clock::Unknown && view.local.busy.contains(&subject),
        clock,
        asked_again: view.local.pauses.get(&subject).map(|pause| pause.until).filter(|until| *until > now.mono),
        is_registered: accounts::is_registered(view, issuer),
        is_rolling: accounts::is_rolling(view, issuer),
    }
}

impl Passing {
    /// This node's place among the live `issue` nodes for `work`.
    pub fn my_rank(&self, view: &View, work: &str, without: Option<&NodeName>) -> u32 {
        let candidates = self.issuers.iter().filter(|node| Some(*node) != without || **node == view.me.node);
        let order = crate::rank::order(work, candidates);
        let place = order.iter().position(|node| **node == view.me.node).unwrap_or(order.len());
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}

/// Whether this life of this node may do what is seen by others.
pub(super) fn is_on_duty(view: &View) -> bool {
    !view.local.leaving && view.local.duplicate.is_none() && view.local.beaten_at.is_some()
}

impl Facts {
    pub fn may(&self, role: Role) -> bool {
        self.lasting.roles.contains(&role)
    }
}
