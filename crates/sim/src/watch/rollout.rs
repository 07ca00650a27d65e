//! Canaries go first: while all nodes are seen to live, no other installs a generation that they have not shown, as long as what it serves
//! is good for long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certfleet_core::names::{CertName, NodeName};
use certfleet_core::rank;
use certfleet_core::records::{CertRecord, Placed, Report, TargetState};
use certfleet_core::spec::Role;
use certfleet_core::time::{Timestamp, until};

use super::Presences;

/// For so long all must have beaten, so that nobody takes another for dead.
const AWAKE: Duration = Duration::from_secs(200);
/// How much more of its life a node's wrong clock may take for spent, in percent.
const URGENT_SLACK_PERCENT: u64 = 10;

/// What was shown, and what is served.
#[derive(Debug, Default)]
pub struct Rollout {
    shown: BTreeSet<(NodeName, CertName, u64)>,
    served: BTreeMap<(NodeName, CertName), Placed>,
}

impl Rollout {
    /// A node wrote what a target has.
    pub fn reported(&mut self, node: &NodeName, cert: &CertName, report: &Report) {
        if report.state == TargetState::Verified || report.settled {
            self.shown.insert((node.clone(), cert.clone(), report.seq));
        }
    }

    /// What the node served is lost.
    pub fn disk_lost(&mut self, node: &NodeName) {
        self.served.retain(|(of, _), _| of != node);
    }

    /// A copy of a machine serves the same.
    pub fn is_copied(&mut self, node: &NodeName, copy: &NodeName) {
        let theirs = self.served.iter().filter(|((of, _), _)| of == node);
        let same: Vec<_> = theirs.map(|((_, cert), placed)| ((copy.clone(), cert.clone()), placed.clone())).collect();
        self.served.extend(same);
    }

    /// A server of `node`, on the machine `who`, took what was placed.
    pub fn installed(
        &mut self,
        (who, node): (&NodeName, &NodeName),
        (cert, record): (&CertName, &CertRecord),
        placed: &Placed,
        presences: &Presences,
        now: Timestamp,
    ) -> Result<(), String> {
        let before = self.served.insert((who.clone(), cert.clone()), placed.clone());
        let rollout = &record.spec.rollout;
        let is_other = record.placed.as_ref().is_none_or(|now| now.placement != placed.placement || now.resumed);
        let Some(before) = before.filter(|before| !is_other && rollout.canary > 0 && before.serial != placed.serial) else { return Ok(()) };
        let life = until(before.not_before, before.not_after).as_secs();
        let is_urgent = until(now, before.not_after).as_secs() * 100 < life * (u64::from(rollout.override_percent) + URGENT_SLACK_PERCENT);
        let placed_on = presences.all().filter(|(other, seen)| seen.roles.contains(&Role::Deploy) && record.spec.is_placed_on(other));
        if is_urgent || presences.has_changed_within(AWAKE) || !presences.all().all(|(_, seen)| seen.beats_for(AWAKE)) {
            return Ok(());
        }
        let mut canaries = rank::order(&format!("canary/{cert}"), placed_on.map(|(other, _)| other));
        canaries.truncate(rollout.canary as usize);
        let has_shown = |canary: &&NodeName| self.shown.contains(&((*canary).clone(), cert.clone(), placed.placement.seq));
        match canaries.iter().find(|canary| !has_shown(canary)).filter(|_| !canaries.contains(&node)) {
            Some(canary) => {
                Err(format!("{who} installs generation {} of {cert} before its canary {canary} has shown it", placed.placement.generation))
            }
            None => Ok(()),
        }
    }
}
