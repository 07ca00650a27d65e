//! What stands of the parts that were decided before, and what the plan as a whole is made of it: kept up as parts are replaced, never added
//! up anew.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Subject;
use super::claim::ATTEMPTS_AT_ONCE_MAX;
use super::part::{Part, Ties, Urgency};
use super::plan::Plan;
use crate::names::{CertName, NodeName, TargetName};
use crate::time::{Mono, Now, Timestamp};

type Name = CertName;

/// What stands of all parts.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Waits, troubles and moments since when work is due, of all parts.
    pub plan: Plan,
    /// What waits for this node to drive fewer attempts, the most urgent first.
    pub claims: BTreeSet<(Urgency, Name)>,
    /// What each target of this node is to have.
    pub installs: BTreeMap<TargetName, BTreeSet<Name>>,
    kept: BTreeMap<Name, Kept>,
    fleet: Kept,
    moments: BTreeSet<(Mono, Name)>,
    stamps: BTreeSet<(Timestamp, Name)>,
    passing: BTreeSet<Name>,
    lacking: BTreeSet<Name>,
    watching: BTreeMap<NodeName, BTreeSet<Name>>,
    troubles: BTreeMap<String, u32>,
}

/// What stands of one part: for most certificates, when to look at them again.
#[derive(Debug, Default)]
struct Kept {
    wake: Option<Mono>,
    stamp: Option<Timestamp>,
    more: Option<Box<More>>,
}

#[derive(Debug, Default)]
struct More {
    due: Vec<Subject>,
    wait: Option<String>,
    troubles: BTreeSet<String>,
    installs: Vec<TargetName>,
    claim: Option<Urgency>,
    ties: Ties,
}

impl Standing {
    /// Puts a certificate's part in the place of the one before. Gives what of the moments since when work is due is another.
    pub fn replace(&mut self, cert: &CertName, part: &Part, due: &mut BTreeMap<Subject, Option<Mono>>) {
        let (name, before) = match self.kept.remove_entry(cert) {
            Some((name, before)) => (name, before),
            None => (cert.clone(), Kept::default()),
        };
        let after = Kept::of(part);
        self.replace_moments(&name, (before.wake, before.stamp), (after.wake, after.stamp));
        let (old, new) = (before.more.unwrap_or_default(), after.more.as_deref());
        self.replace_due(&old.due, part, due);
        self.replace_troubles(&old.troubles, &part.troubles);
        self.untie(&name, &old);
        if let Some(new) = new {
            self.tie(&name, new);
        }
        self.show_wait(cert, new);
        if after.wake.is_some() || after.stamp.is_some() || after.more.is_some() {
            self.kept.insert(name, after);
        }
    }

    /// The same of what is no certificate's.
    pub fn replace_fleet(&mut self, part: &Part, due: &mut BTreeMap<Subject, Option<Mono>>) {
        let before = std::mem::replace(&mut self.fleet, Kept::of(part));
        let old = before.more.unwrap_or_default();
        self.replace_due(&old.due, part, due);
        self.replace_troubles(&old.troubles, &part.troubles);
    }

    /// A claim comes to its turn: it waits no longer.
    pub fn chosen(&mut self, cert: &CertName) {
        match self.kept.get(cert).and_then(|kept| kept.more.as_ref()?.wait.clone()) {
            Some(wait) => drop(self.plan.waits.insert(cert.clone(), wait)),
            None => drop(self.plan.waits.remove(cert)),
        }
    }

    /// Those whose moment has come.
    pub fn come(&self, now: Now) -> impl Iterator<Item = &CertName> {
        let moments = self.moments.iter().take_while(move |(moment, _)| *moment <= now.mono).map(|(_, name)| name);
        moments.chain(self.stamps.iter().take_while(move |(stamp, _)| *stamp <= now.wall).map(|(_, name)| name))
    }

    /// Those that are tied to what passes.
    pub fn passing(&self) -> impl Iterator<Item = &CertName> {
        self.passing.iter()
    }

    /// Those that are tied to who lacks a key.
    pub fn lacking(&self) -> impl Iterator<Item = &CertName> {
        self.lacking.iter()
    }

    /// Those that are tied to when a node's presence was seen.
    pub fn watching(&self, node: &NodeName) -> impl Iterator<Item = &CertName> {
        self.watching.get(node).into_iter().flatten()
    }

    /// Those that are tied to when any presence was seen.
    pub fn watching_any(&self) -> impl Iterator<Item = &CertName> {
        self.watching.values().flatten()
    }

    /// All of which something stands.
    pub fn all(&self) -> impl Iterator<Item = &CertName> {
        self.kept.keys()
    }

    /// The first moments, by each clock.
    pub fn first(&self) -> (Option<Mono>, Option<Timestamp>) {
        (self.moments.first().map(|(moment, _)| *moment), self.stamps.first().map(|(stamp, _)| *stamp))
    }

    fn replace_moments(&mut self, name: &Name, old: (Option<Mono>, Option<Timestamp>), new: (Option<Mono>, Option<Timestamp>)) {
        replace(&mut self.moments, name, old.0, new.0);
        replace(&mut self.stamps, name, old.1, new.1);
    }

    fn replace_due(&mut self, old: &[Subject], part: &Part, due: &mut BTreeMap<Subject, Option<Mono>>) {
        for subject in old.iter().filter(|subject| !part.due_since.contains_key(subject)) {
            self.plan.due_since.remove(subject);
            due.insert(subject.clone(), None);
        }
        for (subject, since) in &part.due_since {
            if self.plan.due_since.get(subject) != Some(since) {
                self.plan.due_since.insert(subject.clone(), *since);
                due.insert(subject.clone(), Some(*since));
            }
        }
    }

    /// The same may be told of several.
    fn replace_troubles(&mut self, old: &BTreeSet<String>, new: &BTreeSet<String>) {
        for trouble in new.difference(old) {
            *self.troubles.entry(trouble.clone()).or_default() += 1;
            self.plan.troubles.insert(trouble.clone());
        }
        for trouble in old.difference(new) {
            let count = self.troubles.get_mut(trouble).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if count == 0 {
                self.troubles.remove(trouble);
                self.plan.troubles.remove(trouble);
            }
        }
    }

    fn tie(&mut self, name: &Name, new: &More) {
        if new.ties.passing {
            self.passing.insert(name.clone());
        }
        if new.ties.lacking {
            self.lacking.insert(name.clone());
        }
        if let Some(node) = &new.ties.presence {
            self.watching.entry(node.clone()).or_default().insert(name.clone());
        }
        if let Some(urgency) = new.claim {
            self.claims.insert((urgency, name.clone()));
        }
        for target in &new.installs {
            self.installs.entry(target.clone()).or_default().insert(name.clone());
        }
    }

    fn untie(&mut self, name: &Name, old: &More) {
        self.passing.remove(name);
        self.lacking.remove(name);
        if let Some(watching) = old.ties.presence.as_ref().and_then(|node| self.watching.get_mut(node)) {
            watching.remove(name);
        }
        if let Some(urgency) = old.claim {
            self.claims.remove(&(urgency, name.clone()));
        }
        for target in &old.installs {
            self.installs.get_mut(target).map(|names| names.remove(name));
        }
    }

    fn show_wait(&mut self, cert: &CertName, new: Option<&More>) {
        let full = || format!("this node drives {ATTEMPTS_AT_ONCE_MAX} other attempts first");
        let wait = new.and_then(|new| if new.claim.is_some() { Some(full()) } else { new.wait.clone() });
        match wait {
            Some(wait) => drop(self.plan.waits.insert(cert.clone(), wait)),
            None => drop(self.plan.waits.remove(cert)),
        }
    }
}

fn replace<T: Ord>(moments: &mut BTreeSet<(T, Name)>, name: &Name, old: Option<T>, new: Option<T>) {
    if old != new {
        if let Some(old) = old {
            moments.remove(&(old, name.clone()));
        }
        if let Some(new) = new {
            moments.insert((new, name.clone()));
        }
    }
}

impl Kept {
    fn of(part: &Part) -> Self {
        let more = More {
            due: part.due_since.keys().cloned().collect(),
            wait: part.wait.clone(),
            troubles: part.troubles.clone(),
            installs: part.installs.keys().cloned().collect(),
            claim: part.claim.as_ref().map(|(urgency, _)| *urgency),
            ties: part.ties.clone(),
        };
        let is_plain = more.due.is_empty()
            && more.wait.is_none()
            && more.troubles.is_empty()
            && more.installs.is_empty()
            && more.claim.is_none()
            && more.ties == Ties::default();
        Self { wake: part.wake, stamp: part.stamp, more: (!is_plain).then(|| Box::new(more)) }
    }
}
