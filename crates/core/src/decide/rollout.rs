//! In which order the nodes install a new generation: canaries first, the others when those have it. Computed from the reports by the same
//! pure function on every node; there is no coordinator.

use std::time::Duration;

use super::part::Part;
use super::turn::Turn;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, NodeName, TargetName};
use crate::records::{CertRecord, Placed, TargetState};
use crate::spec::OnFailure;
use crate::time::{Now, Timestamp, earlier, later, until};
use crate::view::View;

/// Whether the placed generation may be installed on nodes that are no canaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// These canaries have not shown it yet.
    Waiting(Vec<NodeName>),
    /// This canary failed with it, for this reason.
    Halted(NodeName, String),
}

/// The gate of `cert`.
pub(super) fn gate(view: &View, cert: &CertName, now: Now) -> Gate {
    let Some(record) = view.certs.get(cert).map(|seen| &seen.value) else { return Gate::Open };
    let Some(placed) = record.placed.as_ref().filter(|placed| !placed.resumed && record.spec.rollout.canary > 0) else { return Gate::Open };
    let mut waiting = Vec::new();
    for node in canaries(view, cert, record, now) {
        match shown(view, cert, record, placed, node) {
            Shown::Yes => {}
            Shown::NotYet => waiting.push(node.clone()),
            Shown::Failed(why) if record.spec.rollout.on_failure == OnFailure::Halt => return Gate::Halted(node.clone(), why),
            Shown::Failed(_) => {}
        }
    }
    if waiting.is_empty() { Gate::Open } else { Gate::Waiting(waiting) }
}

/// Whether this node may install the placed generation now.
pub(super) fn may_install(turn: Turn<'_>, target: &TargetName, part: &mut Part) -> bool {
    let Turn { view, now, cert, .. } = turn;
    let Some(record) = view.certs.get(cert).map(|seen| &seen.value) else { return false };
    if record.spec.rollout.canary > 0 {
        part.ties.passing = true;
    }
    match gate(view, cert, now) {
        _ if has(Mutant::IgnoreCanary) => true,
        Gate::Open => true,
        _ if canaries(view, cert, record, now).contains(&&view.me.node) => true,
        // A gate holds only as long as there is something good to serve.
        waits => match served(view, cert, target) {
            Some((until, life)) => {
                let stamp = urgent_at(until, life, record.spec.rollout.override_percent);
                part.wake_at_stamp(now, stamp);
                now.wall >= stamp
            }
            None => matches!(waits, Gate::Halted(..)),
        },
    }
}

/// Nodes that are not live are passed over.
fn canaries<'a>(view: &'a View, cert: &CertName, record: &CertRecord, now: Now) -> Vec<&'a NodeName> {
    let live = view.placed_nodes(cert).filter(|node| view.is_live(node, now.mono));
    let mut order = crate::rank::order(&format!("canary/{cert}"), live);
    order.truncate(record.spec.rollout.canary as usize);
    order
}

enum Shown {
    Yes,
    NotYet,
    Failed(String),
}

fn shown(view: &View, cert: &CertName, record: &CertRecord, placed: &Placed, node: &NodeName) -> Shown {
    let targets = record.spec.deploy.iter().filter(|target| view.spec.targets.get(*target).is_some_and(|t| t.is_on(node)));
    let mut shown = Shown::Yes;
    for target in targets {
        let reports = view.reports.get(cert);
        let report = reports.and_then(|reports| reports.get(&(node.clone(), target.clone()))).map(|seen| &seen.value);
        match report.filter(|report| report.seq == placed.placement.seq) {
            Some(report) if report.state == TargetState::Failed => {
                return Shown::Failed(report.reason.clone().unwrap_or_else(|| "no reason given".into()));
            }
            Some(report) if report.state == TargetState::Verified || report.settled => {}
            _ => shown = Shown::NotYet,
        }
    }
    shown
}

/// Until when what this node serves is valid, and its whole life; known from earlier lives of this process too.
fn served(view: &View, cert: &CertName, target: &TargetName) -> Option<(Timestamp, Duration)> {
    let installed = view.local.targets.get(&(cert.clone(), target.clone())).filter(|installed| installed.state != TargetState::Failed);
    let remembered = || view.local.memory.get(cert).and_then(|memory| memory.valid).map(|(start, end)| (end, until(start, end)));
    installed.map(|installed| (installed.not_after, installed.life)).or_else(remembered)
}

/// When less than so much of its life is left.
fn urgent_at(not_after: Timestamp, life: Duration, percent: u8) -> Timestamp {
    let left = Duration::from_secs((life.as_secs() * u64::from(percent)).div_ceil(100));
    later(earlier(not_after, left), Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::Facts;
    use crate::samples::{at, cert, name, placed, record, report, seen, view};
    use crate::spec::Rollout;

    /// A view with generation 2 placed and one canary, and the canary's name.
    fn rolling() -> (View, Placed, NodeName) {
        let mut view = view();
        let mut record = record();
        record.spec.rollout = Rollout { canary: 1, ..Rollout::default() };
        record.placed = Some(placed(2, 5));
        view.certs.insert(cert(), seen(record.clone(), 0, 0));
        let canary = canaries(&view, &cert(), &record, at(0))[0].clone();
        (view, placed(2, 5), canary)
    }

    #[test]
    fn the_gate_opens_when_the_canary_is_verified() {
        let (mut view, placed, canary) = rolling();
        assert_eq!(gate(&view, &cert(), at(0)), Gate::Waiting(vec![canary.clone()]));
        report(&mut view, canary.as_str(), placed.placement, TargetState::Installed);
        assert_eq!(gate(&view, &cert(), at(0)), Gate::Waiting(vec![canary.clone()]), "written is not seen");
        report(&mut view, canary.as_str(), placed.placement, TargetState::Verified);
        assert_eq!(gate(&view, &cert(), at(0)), Gate::Open);
    }

    #[test]
    fn a_failure_halts_until_resumed() {
        let (mut view, placed, canary) = rolling();
        report(&mut view, canary.as_str(), placed.placement, TargetState::Failed);
        assert!(matches!(gate(&view, &cert(), at(0)), Gate::Halted(node, _) if node == canary));
        let resumed = super::super::resume_rollout(&view.certs[&cert()].value);
        view.certs.insert(cert(), seen(resumed, 1, 1));
        assert_eq!(gate(&view, &cert(), at(1)), Gate::Open);
    }

    #[test]
    fn a_halt_yields_where_little_life_is_left() {
        let (mut view, placed, canary) = rolling();
        report(&mut view, canary.as_str(), placed.placement, TargetState::Failed);
        view.me.node = ["a", "b", "c"].into_iter().map(name).find(|node| *node != canary).expect("two are no canaries");
        let may = |view: &View, days: u64| {
            let (now, cert) = (at(days * 24 * 3600), cert());
            let turn = Turn { view, now, seed: 0, cert: &cert, facts: &Facts::of(view, now, 0) };
            may_install(turn, &name("nginx"), &mut Part::default())
        };
        assert!(may(&view, 0), "it has nothing to serve");
        let memory = view.local.memory.entry(cert()).or_default();
        memory.valid = Some((placed.not_before, placed.not_after));
        assert!(!may(&view, 0), "an earlier life installed something good");
        view.presence.values_mut().for_each(|presence| presence.changed_at = crate::samples::mono(80 * 24 * 3600));
        assert!(!may(&view, 71) && may(&view, 73), "20 % of 90 days are 18");
    }
}
