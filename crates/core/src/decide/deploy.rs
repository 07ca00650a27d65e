//! Bringing this node's targets to what is placed, and reporting what they have.

use std::collections::BTreeMap;

use super::action::Action;
use super::plan::Plan;
use super::rollout::may_install;
use crate::key::RecordKey;
use crate::names::{CertName, TargetName};
use crate::records::{CertRecord, Placed, Report};
use crate::spec::Role;
use crate::time::Now;
use crate::view::{Installed, View};

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    if !view.my_roles().contains(&Role::Deploy) || view.local.leaving {
        return;
    }
    let mut batches: BTreeMap<&TargetName, Vec<(CertName, Placed)>> = BTreeMap::new();
    for (cert, seen) in view.certs.iter().filter(|(_, seen)| seen.value.spec.is_placed_on(&view.me.node)) {
        let Some(placed) = &seen.value.placed else { continue };
        for target in my_targets(view, &seen.value) {
            if wants(view, cert, target, placed, now, plan) {
                batches.entry(target).or_default().push((cert.clone(), placed.clone()));
            }
            report(view, cert, target, now, plan);
        }
    }
    for (target, batch) in batches {
        plan.act(view, now, Action::Install(target.clone(), batch));
    }
}

fn my_targets<'a>(view: &'a View, record: &'a CertRecord) -> impl Iterator<Item = &'a TargetName> {
    record.spec.deploy.iter().filter(|target| view.spec.targets.get(*target).is_some_and(|t| t.is_on(&view.me.node)))
}

fn wants(view: &View, cert: &CertName, target: &TargetName, placed: &Placed, now: Now, plan: &mut Plan) -> bool {
    let seen = view.local.memory.get(cert).map(|memory| memory.seen).unwrap_or_default();
    if placed.placement.rank() < seen {
        plan.troubles.insert(format!(
            "{cert}: the store names placement {} and this node has seen {}: was an old backup restored? what is installed stays",
            placed.placement.seq, seen.1
        ));
        return false;
    }
    match view.local.targets.get(&(cert.clone(), target.clone())) {
        Some(installed) if installed.placement == placed.placement => {
            let due = now.mono >= installed.next_try;
            if !due {
                plan.wake(installed.next_try);
            }
            due
        }
        _ => {
            let may = may_install(view, cert, target, now);
            if !may {
                plan.wait(cert, "a canary goes first");
            }
            may
        }
    }
}

fn report(view: &View, cert: &CertName, target: &TargetName, now: Now, plan: &mut Plan) {
    let Some(installed) = view.local.targets.get(&(cert.clone(), target.clone())) else { return };
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
    plan.act(view, now, Action::Report(cert.clone(), target.clone(), report, view.base(&key)));
}

fn says(report: &Report, installed: &Installed) -> bool {
    report.seq == installed.placement.seq
        && report.generation == installed.placement.generation
        && report.state == installed.state
        && report.reason == installed.reason
        && report.settled == installed.is_settled()
}
