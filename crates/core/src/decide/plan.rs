//! What a plan is made of.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Action, Subject};
use crate::names::CertName;
use crate::time::{Mono, Now, Timestamp, until};
use crate::view::View;

/// Longest sleep, in seconds: the wall clock may be set meanwhile.
const SLEEP_SECONDS_MAX: u64 = 600;

/// What to do now, when to look again, and why the rest waits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In no particular order; their subjects differ.
    pub actions: Vec<(Subject, Action)>,
    /// When to decide again if nothing changes before.
    pub wake_at: Option<Mono>,
    /// When each piece of waiting work was first seen due; goes back into the view.
    pub due_since: BTreeMap<Subject, Mono>,
    /// Why nothing is done for a certificate that wants something.
    pub waits: BTreeMap<CertName, String>,
    /// Why this node does not do all that it could, for `status`.
    pub troubles: BTreeSet<String>,
}

impl Plan {
    /// Adds an action, unless its subject is busy or paused.
    pub(super) fn act(&mut self, view: &View, now: Now, action: Action) {
        let subject = action.subject();
        self.act_on(view, now, subject, action);
    }

    /// Adds an action that is about something else than it usually is. What does not count is not written over.
    pub(super) fn act_on(&mut self, view: &View, now: Now, subject: Subject, action: Action) {
        if let Some(key) = action.key().filter(|key| view.is_blocked(key, now.mono)) {
            self.troubles.extend(view.strays.get(&key).map(|stray| format!("{key} is left alone: {}", stray.why)));
            return;
        }
        self.force(view, now, subject, action);
    }

    /// Adds an action whatever stands where it writes.
    pub(super) fn force(&mut self, view: &View, now: Now, subject: Subject, action: Action) {
        if view.local.busy.contains(&subject) || self.actions.iter().any(|(other, _)| *other == subject) {
            return;
        }
        if let Some(pause) = view.local.pauses.get(&subject).filter(|pause| pause.until > now.mono) {
            return self.wake(pause.until);
        }
        self.actions.push((subject, action));
    }

    /// Decide again at `moment`.
    pub(super) fn wake(&mut self, moment: Mono) {
        self.wake_at = Some(self.wake_at.map_or(moment, |before| before.min(moment)));
    }

    /// Decide again when the wall clock shows `stamp`, or sooner.
    pub(super) fn wake_at_stamp(&mut self, now: Now, stamp: Timestamp) {
        let span = until(now.wall, stamp).min(std::time::Duration::from_secs(SLEEP_SECONDS_MAX));
        self.wake(now.mono + span);
    }

    /// Notes why a certificate waits.
    pub(super) fn wait(&mut self, cert: &CertName, why: impl Into<String>) {
        self.waits.insert(cert.clone(), why.into());
    }

    /// Since when `subject` has been due; now, if this is the first time.
    pub(super) fn due(&mut self, view: &View, now: Now, subject: Subject) -> Mono {
        let since = view.local.due_since.get(&subject).copied().unwrap_or(now.mono);
        *self.due_since.entry(subject).or_insert(since)
    }
}
