//! What was decided about one certificate, or about all that is no certificate's.
//!
//! Always holds: what a part says is right until something of its own is touched, its moment comes, or something that it is tied to changes.
//! So whatever compares a moment with the time does it here, or notes the moment by [`Part::wake`] or [`Part::wake_at_stamp`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::action::{Action, Subject};
use crate::names::{NodeName, TargetName};
use crate::records::Placed;
use crate::time::{Mono, Now, Timestamp, until};
use crate::view::View;

/// Longest sleep, in seconds: the wall clock may be set meanwhile.
const SLEEP_SECONDS_MAX: u64 = 600;

/// A part of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub actions: Vec<(Subject, Action)>,
    /// When to decide again, by this process's own clock.
    pub wake: Option<Mono>,
    /// The same by the wall clock.
    pub stamp: Option<Timestamp>,
    pub due_since: BTreeMap<Subject, Mono>,
    pub wait: Option<String>,
    pub troubles: BTreeSet<String>,
    /// Targets of this node that are to have what is placed.
    pub installs: BTreeMap<TargetName, Placed>,
    /// An attempt that is begun or taken over as soon as this node drives few enough.
    pub claim: Option<(Urgency, Action)>,
    pub ties: Ties,
}

/// In which order attempts are begun and taken over: what expires sooner first; of the others, those that somebody began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Urgency {
    pub expires: Timestamp,
    pub is_new: bool,
}

/// What a part was decided by besides what is the certificate's own and what all parts are decided by.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ties {
    /// Who is live and as what, and which CA can be used.
    pub passing: bool,
    /// When this node's presence was seen.
    pub presence: Option<NodeName>,
    /// Who says that it cannot open a key, and since when.
    pub lacking: bool,
}

impl Part {
    /// Adds an action, unless its subject is busy or paused.
    pub fn act(&mut self, view: &View, now: Now, action: Action) {
        let subject = action.subject();
        self.act_on(view, now, subject, action);
    }

    /// Adds an action that is about something else than it usually is. What does not count is not written over.
    pub fn act_on(&mut self, view: &View, now: Now, subject: Subject, action: Action) {
        if let Some(key) = action.key().filter(|key| view.is_blocked(key, now.mono)) {
            self.troubles.extend(view.strays.get(&key).map(|stray| format!("{key} is left alone: {}", stray.why)));
            return;
        }
        self.force(view, now, subject, action);
    }

    /// Adds an action whatever stands where it writes.
    pub fn force(&mut self, view: &View, now: Now, subject: Subject, action: Action) {
        if self.is_free(view, now, &subject) && !self.actions.iter().any(|(other, _)| *other == subject) {
            self.actions.push((subject, action));
        }
    }

    /// An attempt is begun or taken over, when its turn comes among all that this node could drive.
    pub fn claim(&mut self, view: &View, now: Now, urgency: Urgency, action: Action) {
        if self.is_free(view, now, &action.subject()) {
            self.claim = Some((urgency, action));
        }
    }

    /// Whether nothing is under way there, and nothing failed a moment ago.
    pub fn is_free(&mut self, view: &View, now: Now, subject: &Subject) -> bool {
        if view.local.busy.contains(subject) {
            return false;
        }
        let pause = view.local.pauses.get(subject);
        pause.is_none_or(|pause| self.has_come(now, pause.until))
    }

    /// Whether a moment has come; if not, it is decided again then.
    pub fn has_come(&mut self, now: Now, moment: Mono) -> bool {
        if now.mono < moment {
            self.wake(moment);
        }
        now.mono >= moment
    }

    /// Decide again at `moment`.
    pub fn wake(&mut self, moment: Mono) {
        self.wake = Some(self.wake.map_or(moment, |before| before.min(moment)));
    }

    /// Decide again when the wall clock shows `stamp`, if that lies ahead.
    pub fn wake_at_stamp(&mut self, now: Now, stamp: Timestamp) {
        if stamp > now.wall {
            self.stamp = Some(self.stamp.map_or(stamp, |before| before.min(stamp)));
        }
    }

    /// Since when `subject` has been due; now, if this is the first time.
    pub fn due(&mut self, view: &View, now: Now, subject: Subject) -> Mono {
        let since = view.local.due_since.get(&subject).copied().unwrap_or(now.mono);
        *self.due_since.entry(subject).or_insert(since)
    }
}

/// When a sleep that is to end when the wall clock shows `stamp` ends.
pub(super) fn moment_of(now: Now, stamp: Timestamp) -> Mono {
    now.mono + until(now.wall, stamp).min(Duration::from_secs(SLEEP_SECONDS_MAX))
}
