//! Bringing this node's targets to what is placed, and reporting what they have.

use super::action::Action;
use super::part::Part;
use super::rollout::may_install;
use super::turn::Turn;
use crate::key::RecordKey;
use crate::names::{CertName, TargetName};
use crate::records::{CertRecord, Placed, Report};
use crate::spec::Role;
use crate::time::Now;
use crate::view::{Installed, View};

pub(super) fn decide(turn: Turn<'_>, part: &mut Part) {
    let Turn { view, now, cert, facts, .. } = turn;
    if !facts.may(Role::Deploy) || view.local.leaving {
        return;
    }
    let record = view.certs.get(cert).map(|seen| &seen.value).filter(|record| record.spec.is_placed_on(&view.me.node));
    let Some((record, placed)) = record.and_then(|record| Some((record, record.placed.as_ref()?))) else { return };
    for target in my_targets(view, record) {
        if wants(turn, target, placed, part) {
            part.installs.insert(target.clone(), placed.clone());
        }
        report(view, cert, target, now, part);
    }
}

fn my_targets<'a>(view: &'a View, record: &'a CertRecord) -> impl Iterator<Item = &'a TargetName> {
    record.spec.deploy.iter().filter(|target| view.spec.targets.get(*target).is_some_and(|t| t.is_on(&view.me.node)))
}

fn wants(turn: Turn<'_>, target: &TargetName, placed: &Placed, part: &mut Part) -> bool {
    let Turn { view, now, cert, .. } = turn;
    let seen = view.local.memory.get(cert).map(|memory| memory.seen).unwrap_or_default();
    if placed.placement.rank() < seen {
        part.troubles.insert(format!(
            "{cert}: the store names placement {} and this node has seen {}: was an old backup restored? what is installed stays",
            placed.placement.seq, seen.1
        ));
        return false;
    }
    match view.local.targets.get(&(cert.clone(), target.clone())) {
        Some(installed) if installed.placement == placed.placement => part.has_come(now, installed.next_try),
        _ => {
            let may = may_install(turn, target, part);
            if !may {
                turn.wait(part, "a canary goes first");
            }
            may
        }
    }
}

fn report(view: &View, cert: &CertName, target: &TargetName, now: Now, part: &mut Part) {
    let Some(installed) = view.local.targets.get(&(cert.clone(), target.clone())) else { return };
    // Both would report without end where the servers of the two machines differ.
    if view.local.duplicate.is_some() {
        return;
    }
    let slot = (view.me.node.clone(), target.clone());
    let before = view.reports.get(cert).and_then(|reports| reports.get(&slot));
    let key = RecordKey::Report(cert.clone(), view.me.node.clone(), target.clone()).key();
    if before.is_some_and(|seen| says(&seen.value, installed)) && !view.strays.contains_key(&key) {
        return;
    }
    let report = Report {
        generation: installed.placement.generation,
        seq: installed.placement.seq,
        state: installed.state,
        reason: installed.reason.clone(),
        settled: installed.is_settled(),
        at: now.wall,
        extra: before.map(|seen| seen.value.extra.clone()).unwrap_or_default(),
    };
    part.act(view, now, Action::Report(cert.clone(), target.clone(), report, view.base(&key)));
}

fn says(report: &Report, installed: &Installed) -> bool {
    report.seq == installed.placement.seq
        && report.generation == installed.placement.generation
        && report.state == installed.state
        && report.reason == installed.reason
        && report.settled == installed.is_settled()
}
