//! A node that decides for itself: its view, its decider, and what deciding cost it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use certfleet_core::decide::{Action, Decider, Subject};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{CertRecord, Placement, Presence, Report, TargetState};
use certfleet_core::view::{Accepted, Installed, Me, Memory, Observed, StoreState, View};

use super::Scale;
use super::figures::Cost;
use super::fleet::{Fleet, at, revision};

/// So many beats of others are taken in after the run, one by one, to see what each costs.
const BEATS_MEASURED: usize = 1_000;
/// A target that is seen served is looked at again within this long.
const VERIFIED_AGAIN_SECONDS: u64 = 3600;

/// A node.
#[derive(Debug)]
pub struct Actor {
    pub node: NodeName,
    /// Which of the fleet's.
    pub n: usize,
    pub view: View,
    pub cost: Cost,
    decider: Decider,
    seed: u64,
}

impl Actor {
    /// A node that issues: it knows everything.
    pub fn issuing(fleet: &Fleet, n: usize) -> Self {
        let before = resident_bytes();
        let Scale { nodes, certificates, new, .. } = fleet.scale;
        let mut actor = Self::empty(fleet, n, 0..certificates, 0..nodes);
        let (key, account) = fleet.account();
        actor.view.account_key = Some(key);
        actor.view.accounts.insert(fleet.issuer.clone(), seen(account, Duration::ZERO, 1));
        for cert in (0..certificates).filter(|_| !new) {
            let placed = actor.place(fleet, cert);
            for node in fleet.placed_on(cert) {
                actor.take_report(fleet, cert, node, fleet.report(&placed, Duration::ZERO), Duration::ZERO);
            }
        }
        actor.cost.view_bytes = resident_bytes().saturating_sub(before);
        actor
    }

    /// A node that installs: it knows what a central node would show it of the certificates, and whom it shares them with.
    pub fn deploying(fleet: &Fleet, n: usize) -> Self {
        let others = (0..fleet.scale.issuers).chain(fleet.cluster_of(n));
        let mut actor = Self::empty(fleet, n, fleet.certs_of(n), others);
        actor.view.local.withholds = true;
        for cert in fleet.certs_of(n) {
            let name = fleet.cert(cert);
            actor.view.local.stood_in.insert((name.clone(), fleet.target.clone()));
            if fleet.scale.new {
                continue;
            }
            let placed = actor.place(fleet, cert);
            for node in fleet.placed_on(cert) {
                actor.take_report(fleet, cert, node, fleet.report(&placed, Duration::ZERO), Duration::ZERO);
            }
            let next_try = at(Duration::from_secs(cert as u64 % VERIFIED_AGAIN_SECONDS)).mono;
            let (not_after, life) = (fleet.placed(cert).not_after, fleet.life());
            let installed =
                Installed { placement: placed, state: TargetState::Verified, reason: None, next_try, fails: 0, not_after, life };
            actor.view.local.targets.insert((name, fleet.target.clone()), installed);
        }
        actor
    }

    fn empty(fleet: &Fleet, n: usize, certs: impl Iterator<Item = usize>, present: impl Iterator<Item = usize>) -> Self {
        let (node, presence) = (fleet.node(n), fleet.presence(n));
        let me = Me {
            node: node.clone(),
            incarnation: presence.incarnation.clone(),
            identity: node.to_string(),
            fleet: fleet.record.id.clone(),
            verifying_keys: fleet.record.verifying_keys.clone(),
            configured: fleet.roles(n),
            version: "0".into(),
        };
        let mut view = View::new(me, fleet.configuration(certs));
        view.local.store = StoreState::Ready;
        (view.fleet, view.nodes, view.roster) = (Some(fleet.record.clone()), fleet.nodes.clone(), fleet.roster.clone());
        view.local.beaten_at = Some((at(Duration::ZERO).mono, presence));
        view.local.looked_through_at = Some(at(Duration::ZERO).mono);
        let seed = n as u64;
        let mut actor = Self { node, n, view, cost: Cost::default(), decider: Decider::default(), seed };
        present.for_each(|n| actor.take_presence(fleet.node(n), fleet.presence(n), Duration::ZERO));
        actor
    }

    /// These nodes do not act: they count as heard of all along.
    pub fn hears_all_along(&mut self, nodes: impl Iterator<Item = NodeName>, end: Duration) {
        nodes.for_each(|node| self.view.heard(&node, at(end).mono));
    }

    /// After the run: what it costs to decide when another node was heard of, again and again.
    pub fn measure_beats(&mut self, end: Duration) {
        let others: Vec<NodeName> = self.view.presence.keys().filter(|node| **node != self.node).take(BEATS_MEASURED).cloned().collect();
        let start = Instant::now();
        for (n, node) in others.iter().enumerate() {
            let now = at(end + Duration::from_millis(n as u64));
            self.view.heard(node, now.mono);
            black_box(self.decider.decide(&mut self.view, now, self.seed));
        }
        self.cost.beat = start.elapsed() / u32::try_from(others.len()).unwrap_or(1).max(1);
    }

    /// What is placed when the run begins.
    fn place(&mut self, fleet: &Fleet, cert: usize) -> Placement {
        let (name, record) = (fleet.cert(cert), fleet.cert_record(cert));
        let Some(placed) = record.placed.clone() else { return Placement { epoch: 0, seq: 0, generation: record.last_number } };
        let valid = Some((placed.not_before, placed.not_after));
        self.view.local.memory.insert(name.clone(), Memory { number: record.last_number, seen: placed.placement.rank(), valid });
        self.take_cert(&name, record, 1, &self.node.clone(), Duration::ZERO);
        placed.placement
    }

    /// Decides what to do.
    pub fn turn(&mut self, since: Duration) -> Vec<(Subject, Action)> {
        let now = at(since);
        let is_first = self.cost.turns == 0;
        let before = resident_bytes_if(is_first);
        let (start, looked_at) = (Instant::now(), self.decider.looked_at());
        let actions = black_box(self.decider.decide(&mut self.view, now, self.seed));
        let took = start.elapsed();
        self.cost.turns += 1;
        if is_first {
            (self.cost.first, self.cost.decided_bytes) = (took, resident_bytes_if(true).saturating_sub(before));
        } else {
            self.cost.took += took;
            self.cost.longest = self.cost.longest.max(took);
            self.cost.looked_at += self.decider.looked_at() - looked_at;
        }
        // They are on disk before anything else is decided.
        self.view.local.unsaved.clear();
        actions
    }

    /// When to decide again if nothing happens before.
    pub fn wake(&self) -> Option<Duration> {
        self.decider.plan().wake_at.map(|moment| moment.since(at(Duration::ZERO).mono))
    }

    /// How many certificates wait for others to be driven first.
    pub fn waiting(&self) -> usize {
        self.decider.plan().waits.len()
    }

    /// A certificate's record as it stands in the store: what `View::apply` does with one that counts.
    pub fn take_cert(&mut self, cert: &CertName, record: CertRecord, change: u64, writer: &NodeName, since: Duration) {
        let number = record.last_number;
        let holder = record.attempt.as_ref().and_then(|attempt| attempt.holder.as_ref());
        let is_mine = holder.is_some_and(|holder| holder.incarnation == self.view.me.incarnation);
        self.accept(&RecordKey::Cert(cert.clone()), change, writer);
        self.view.certs.insert(cert.clone(), seen(record, since, change));
        if self.view.local.memory.get(cert).is_none_or(|memory| memory.number < number) {
            self.view.local.memory.entry(cert.clone()).or_default().number = number;
        }
        // What this life knows of an attempt is of use only while it drives it.
        if !is_mine {
            self.view.local.drives.remove(&(cert.clone(), number));
        }
    }

    /// A report.
    pub fn take_report(&mut self, fleet: &Fleet, cert: usize, node: usize, report: Report, since: Duration) {
        let (cert, node, target) = (fleet.cert(cert), fleet.node(node), fleet.target.clone());
        self.accept(&RecordKey::Report(cert.clone(), node.clone(), target.clone()), report.seq, &node);
        let change = report.seq;
        self.view.reports.entry(cert).or_default().insert((node, target), seen(report, since, change));
    }

    /// A presence that was read.
    pub fn take_presence(&mut self, node: NodeName, presence: Presence, since: Duration) {
        let change = presence.beat;
        self.accept(&RecordKey::Presence(node.clone()), change, &node);
        self.view.presence.insert(node, seen(presence, since, change));
    }

    fn accept(&mut self, record: &RecordKey, change: u64, writer: &NodeName) {
        let signer = self.view.nodes.get(writer).map(|node| node.signing_key);
        self.view.accepted.insert(record.key(), Accepted { revision: revision(change), writer: writer.clone(), signer, verbatim: None });
    }
}

fn seen<T>(value: T, since: Duration, change: u64) -> Observed<T> {
    let now = at(since).mono;
    Observed { value, revision: revision(change), changed_at: now, read_at: now }
}

fn resident_bytes_if(wanted: bool) -> u64 {
    if wanted { resident_bytes() } else { 0 }
}

/// What this process has in memory; 0 where nobody tells.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}
