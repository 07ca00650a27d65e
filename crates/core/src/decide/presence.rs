//! Beating: every second while this node holds an attempt, every minute otherwise, at once when something about it changes, and soon after that
//! once more; not while another process beats in this node's name (a cloned machine), but when that one has been silent for long.

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::Action;
use super::part::Part;
use crate::envelope::FORMAT;
use crate::key::RecordKey;
use crate::records::{Presence, PresenceState};
use crate::time::Now;
use crate::view::View;

/// Most keys that a presence says are lacking; the others come after these were wrapped.
const LACKS_MAX: usize = 50;
/// Most troubles that a presence tells of: when everything fails, one is much like the other.
const TROUBLES_MAX: usize = 50;
/// Between two beats while holding, in milliseconds.
const BEAT_HOLDING_MS: u64 = 1_000;
/// Between two beats otherwise, in milliseconds.
pub const BEAT_IDLE_MS: u64 = 60_000;
/// After a beat that says something new, in milliseconds: who took that for one more beat, since it came when one was due, reads this one.
const BEAT_NEWS_MS: u64 = 10_000;
/// The least time between two beats that only tell of other troubles, in milliseconds.
const BEAT_TROUBLED_MS: u64 = 5_000;

pub(super) fn decide(view: &View, now: Now, troubles: &BTreeSet<String>, part: &mut Part) {
    // Who is silent for as long as a node counts as live was switched off; should it come back, it sees its presence changed by us.
    if view.twin_until().is_some_and(|gone| !part.has_come(now, gone)) {
        return;
    }
    let wanted = wanted(view, now, troubles);
    let Some((at, before)) = &view.local.beaten_at else { return beat(view, now, part, wanted) };
    let interval = Duration::from_millis(match () {
        () if holds(view) => BEAT_HOLDING_MS,
        () if view.local.said_news => BEAT_NEWS_MS,
        () => BEAT_IDLE_MS,
    });
    let interval = if before.troubles == wanted.troubles { interval } else { interval.min(Duration::from_millis(BEAT_TROUBLED_MS)) };
    if !before.says_the_same(&wanted) || is_overwritten(view) || now.mono.since(*at) >= interval {
        return beat(view, now, part, wanted);
    }
    part.wake(*at + interval);
}

fn beat(view: &View, now: Now, part: &mut Part, wanted: Presence) {
    let base = view.base(&RecordKey::Presence(view.me.node.clone()).key());
    part.act(view, now, Action::Beat(wanted, base));
}

fn wanted(view: &View, now: Now, troubles: &BTreeSet<String>) -> Presence {
    let before = view.presence.get(&view.me.node).map(|seen| &seen.value);
    Presence {
        incarnation: view.me.incarnation.clone(),
        beat: before.map_or(1, |presence| presence.beat.saturating_add(1)),
        at: now.wall,
        version: view.me.version.clone(),
        config: view.spec.hash.clone(),
        roles: view.my_roles(),
        state: if view.local.leaving { PresenceState::Leaving } else { PresenceState::Live },
        troubles: troubles.iter().take(TROUBLES_MAX).cloned().collect(),
        lacks: view.local.lacks.keys().take(LACKS_MAX).cloned().collect(),
        reads_format: FORMAT,
        extra: before.map(|presence| presence.extra.clone()).unwrap_or_default(),
    }
}

fn holds(view: &View) -> bool {
    view.certs.held_by(&view.me.node).any(|(_, attempt)| {
        let holder = attempt.holder.as_ref();
        holder.is_some_and(|holder| holder.incarnation == view.me.incarnation)
    })
}

/// Another life of this node stands there, as after a backup was restored; a clone would have been noticed.
fn is_overwritten(view: &View) -> bool {
    let is_stray = view.strays.contains_key(&RecordKey::Presence(view.me.node.clone()).key());
    is_stray || view.presence.get(&view.me.node).is_none_or(|seen| seen.value.incarnation != view.me.incarnation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::SpkiHash;
    use crate::samples::{at, mono, presence, seen, view};
    use crate::view::Outcome;

    /// What a node does at these seconds: its presence is written at once.
    fn beats(view: &mut View, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let mut at_seconds = Vec::new();
        for second in seconds {
            let mut part = Part::default();
            decide(view, at(second), &BTreeSet::new(), &mut part);
            if let Some((subject, Action::Beat(wanted, _))) = part.actions.pop() {
                view.presence.insert(view.me.node.clone(), seen(wanted.clone(), second, second));
                view.absorb(&subject, Outcome::Beaten(wanted), at(second));
                at_seconds.push(second);
            }
        }
        at_seconds
    }

    #[test]
    fn who_says_something_new_says_it_once_more_soon() {
        let mut view = view();
        view.presence.insert(view.me.node.clone(), seen(presence("a", 1), 0, 0));
        assert_eq!(beats(&mut view, 1..200), [1, 11, 71, 131, 191]);
        view.local.lacks.insert(SpkiHash::of(b"k"), mono(200));
        assert_eq!(beats(&mut view, 200..300), [200, 210, 270]);
    }
}
