//! Who may go on with an attempt: whether its holder is gone, and whose turn it is.

use std::collections::BTreeSet;
use std::time::Duration;

use super::part::Part;
use super::turn::Turn;
use crate::key::{Key, RecordKey};
use crate::mutants::{Mutant, has};
use crate::names::NodeName;
use crate::records::{Attempt, CertRecord, Holder, Presence, PresenceState};
use crate::spec::Role;
use crate::time::{Mono, Now, later};
use crate::view::{Observed, View};

/// How long a holder's presence and record may both stand still before it is gone.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(5);
/// How long a record may stand still even though its holder beats.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(300);
/// How long each later rank waits for the one before it.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What this node makes of an attempt's holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hold {
    /// This life of this node drives it.
    Mine,
    /// Another drives it; look again at that moment.
    Alive(Mono),
    /// It may be gone; these keys must be read again first.
    Unsure(Vec<Key>),
    /// Nobody drives it any more, since that moment; the node to leave out of the ranking.
    Free(Mono, Option<NodeName>),
}

/// Judges the holder of `attempt`, which stands in the record `seen`.
pub(super) fn judge(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt, part: &mut Part) -> Hold {
    let Turn { view, now, .. } = turn;
    let Some(holder) = &attempt.holder else { return Hold::Free(seen.changed_at, None) };
    if holder.node == view.me.node && holder.incarnation == view.me.incarnation {
        return Hold::Mine;
    }
    if has(Mutant::NeverTakeOver) {
        return Hold::Alive(now.mono + GONE_AFTER);
    }
    part.ties.presence = Some(holder.node.clone());
    if view.is_removed(&holder.node) || !view.nodes.contains_key(&holder.node) {
        return Hold::Free(seen.changed_at, Some(holder.node.clone()));
    }
    let reread = || Hold::Unsure(vec![RecordKey::Presence(holder.node.clone()).key(), RecordKey::Cert(turn.cert.clone()).key()]);
    let Some(presence) = view.presence.get(&holder.node) else {
        let gone_at = seen.changed_at + GONE_AFTER + view.local.lag;
        return match () {
            () if now.mono < gone_at => Hold::Alive(gone_at),
            // A node beats before it holds anything: either that was lost, or this node was not told of it.
            () if seen.read_at < gone_at => reread(),
            () => Hold::Free(gone_at, Some(holder.node.clone())),
        };
    };
    if let Some(free) = said_goodbye(presence, holder, seen.changed_at) {
        // A presence that was read before the record, or where the store may still show what stood before it, may be the holder's earlier life.
        let lag = if presence.value.incarnation == holder.incarnation { Duration::ZERO } else { view.local.lag };
        let told_at = seen.changed_at + lag;
        return match () {
            () if now.mono < told_at => Hold::Alive(told_at),
            () if presence.read_at < told_at => reread(),
            () => free,
        };
    }
    if has(Mutant::CompareWallClocks) && now.wall > later(presence.value.at, GONE_AFTER) {
        return Hold::Free(now.mono, Some(holder.node.clone()));
    }
    let still_since = presence.changed_at.max(seen.changed_at);
    let gone_at = (still_since + GONE_AFTER + view.local.lag).min(seen.changed_at + STEP_LIMIT);
    if now.mono < gone_at {
        return Hold::Alive(gone_at);
    }
    let is_old = (presence.read_at < gone_at || seen.read_at < gone_at) && !has(Mutant::NeverReread);
    if is_old { reread() } else { Hold::Free(gone_at, Some(holder.node.clone())) }
}

/// A holder that left, or lives again as another.
fn said_goodbye(presence: &Observed<Presence>, holder: &Holder, record_changed_at: Mono) -> Option<Hold> {
    let since = presence.changed_at.max(record_changed_at);
    if presence.value.incarnation != holder.incarnation {
        return Some(Hold::Free(since, None));
    }
    (presence.value.state == PresenceState::Leaving).then(|| Hold::Free(since, Some(holder.node.clone())))
}

/// This node's place among the live members (with `role`, if one is needed) that could do `work`.
pub(super) fn my_rank_among(view: &View, now: Now, work: &str, role: Option<Role>) -> u32 {
    let with_role: Option<BTreeSet<&NodeName>> = role.map(|role| view.members_with(role).collect());
    let members = view.roster.members.keys().filter(|node| view.is_live(node, now.mono));
    let able = members.filter(|node| with_role.as_ref().is_none_or(|able| able.contains(node)));
    let order = crate::rank::order(work, able);
    let place = order.iter().position(|node| **node == view.me.node).unwrap_or(order.len());
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::Facts;
    use crate::records::Step;
    use crate::samples::{at, attempt, cert, mono, name, presence, record, seen, view};

    /// What `a` makes of the holder `b`, whose presence and record changed and were read at these seconds.
    fn judged(presence_at: (u64, u64), record_at: (u64, u64), now: u64, change: impl Fn(&mut Presence)) -> Hold {
        judged_late(0, presence_at, record_at, now, change)
    }

    /// The same, with a store that shows the old for so many seconds.
    fn judged_late(lag: u64, presence_at: (u64, u64), record_at: (u64, u64), now: u64, change: impl Fn(&mut Presence)) -> Hold {
        let mut view = view();
        view.local.lag = Duration::from_secs(lag);
        let mut beat = presence("b", 1);
        change(&mut beat);
        view.presence.insert(name("b"), seen(beat, presence_at.0, presence_at.1));
        let attempt = attempt(1, "b", Step::Keyed);
        let record = seen(record(), record_at.0, record_at.1);
        let facts = Facts::of(&view, at(now), 0);
        judge(Turn { view: &view, now: at(now), seed: 0, cert: &cert(), facts: &facts }, &record, &attempt, &mut Part::default())
    }

    fn still(_: &mut Presence) {}

    #[test]
    fn a_holder_is_gone_when_both_stood_still_and_were_read_again() {
        let gone = Hold::Free(mono(17), Some(name("b")));
        assert_eq!(judged((10, 10), (12, 12), 16, still), Hold::Alive(mono(17)));
        assert!(matches!(judged((10, 10), (12, 12), 17, still), Hold::Unsure(keys) if keys.len() == 2));
        assert!(matches!(judged((10, 17), (12, 16), 17, still), Hold::Unsure(_)));
        assert_eq!(judged((10, 17), (12, 17), 17, still), gone);
        assert_eq!(judged((16, 17), (12, 17), 17, still), Hold::Alive(mono(21)));
    }

    #[test]
    fn a_record_that_stands_still_is_free_though_its_holder_beats() {
        assert_eq!(judged((311, 312), (12, 312), 311, still), Hold::Alive(mono(312)));
        assert_eq!(judged((311, 312), (12, 312), 312, still), Hold::Free(mono(312), Some(name("b"))));
    }

    #[test]
    fn a_new_life_or_a_goodbye_frees_at_once() {
        let again = |beat: &mut Presence| beat.incarnation = name("b.2");
        let leaving = |beat: &mut Presence| beat.state = PresenceState::Leaving;
        assert_eq!(judged((13, 13), (12, 12), 13, again), Hold::Free(mono(13), None));
        assert_eq!(judged((13, 13), (12, 12), 13, leaving), Hold::Free(mono(13), Some(name("b"))));
        assert!(matches!(judged((9, 9), (12, 12), 13, again), Hold::Unsure(_)), "read before the record: perhaps the earlier life's");
    }

    #[test]
    fn an_earlier_life_that_a_late_store_still_shows_frees_nothing() {
        let earlier = |beat: &mut Presence| beat.incarnation = name("b.0");
        assert_eq!(judged_late(60, (13, 13), (12, 12), 13, earlier), Hold::Alive(mono(72)));
        assert!(matches!(judged_late(60, (13, 71), (12, 12), 72, earlier), Hold::Unsure(_)));
        assert_eq!(judged_late(60, (13, 72), (12, 12), 72, earlier), Hold::Free(mono(13), None));
    }

    #[test]
    fn a_holder_that_was_never_seen_is_looked_for_first() {
        let judged = |read_at, now| {
            let mut view = view();
            view.presence.remove(&name::<NodeName>("b"));
            let (record, attempt, facts) = (seen(record(), 3, read_at), attempt(1, "b", Step::Keyed), Facts::of(&view, at(now), 0));
            judge(Turn { view: &view, now: at(now), seed: 0, cert: &cert(), facts: &facts }, &record, &attempt, &mut Part::default())
        };
        assert_eq!(judged(3, 7), Hold::Alive(mono(8)));
        assert!(matches!(judged(7, 9), Hold::Unsure(keys) if keys[0].as_str() == "presence/b"));
        assert_eq!(judged(8, 9), Hold::Free(mono(8), Some(name("b"))));
    }

    #[test]
    fn own_removed_and_unheld_attempts() {
        let mut view = view();
        let record = seen(record(), 3, 3);
        let judge = |view: &View, attempt: &Attempt| {
            let facts = Facts::of(view, at(4), 0);
            judge(Turn { view, now: at(4), seed: 0, cert: &cert(), facts: &facts }, &record, attempt, &mut Part::default())
        };
        assert_eq!(judge(&view, &attempt(1, "a", Step::Keyed)), Hold::Mine);
        assert_eq!(judge(&view, &Attempt { holder: None, ..attempt(1, "a", Step::Keyed) }), Hold::Free(mono(3), None));
        view.presence.remove(&name::<NodeName>("b"));
        assert_eq!(judge(&view, &attempt(1, "b", Step::Keyed)), Hold::Alive(mono(8)));
        view.nodes.insert(name("b"), crate::samples::node("b"));
        view.roster.members.remove(&name::<NodeName>("b"));
        assert_eq!(judge(&view, &attempt(1, "b", Step::Keyed)), Hold::Free(mono(3), Some(name("b"))));
    }
}
