//! Who may go on with an attempt: whether its holder is gone, and whose turn it is.

use std::time::Duration;

use super::turn::Turn;
use crate::key::{Key, RecordKey};
use crate::names::NodeName;
use crate::records::{Attempt, CertRecord, Holder, Presence, PresenceState};
use crate::time::{Mono, Now};
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
pub(super) fn judge(turn: Turn<'_>, seen: &Observed<CertRecord>, attempt: &Attempt) -> Hold {
    let Turn { view, now, .. } = turn;
    let Some(holder) = &attempt.holder else { return Hold::Free(seen.changed_at, None) };
    if holder.node == view.me.node && holder.incarnation == view.me.incarnation {
        return Hold::Mine;
    }
    if view.is_removed(&holder.node) || !view.nodes.contains_key(&holder.node) {
        return Hold::Free(seen.changed_at, Some(holder.node.clone()));
    }
    let Some(presence) = view.presence.get(&holder.node) else {
        return without_presence(seen.changed_at + GONE_AFTER + view.local.lag, holder, now);
    };
    let reread = || Hold::Unsure(vec![RecordKey::Presence(holder.node.clone()).key(), RecordKey::Cert(turn.cert.clone()).key()]);
    if let Some(free) = said_goodbye(presence, holder, seen.changed_at) {
        // A presence that was read before the record may be that of the holder's earlier life.
        return if presence.read_at < seen.changed_at { reread() } else { free };
    }
    let still_since = presence.changed_at.max(seen.changed_at);
    let gone_at = (still_since + GONE_AFTER + view.local.lag).min(seen.changed_at + STEP_LIMIT);
    if now.mono < gone_at {
        return Hold::Alive(gone_at);
    }
    if presence.read_at < gone_at || seen.read_at < gone_at { reread() } else { Hold::Free(gone_at, Some(holder.node.clone())) }
}

/// A node beats before it holds anything: its presence is on its way, or was lost.
fn without_presence(gone_at: Mono, holder: &Holder, now: Now) -> Hold {
    if now.mono < gone_at { Hold::Alive(gone_at) } else { Hold::Free(gone_at, Some(holder.node.clone())) }
}

/// A holder that left, or lives again as another.
fn said_goodbye(presence: &Observed<Presence>, holder: &Holder, record_changed_at: Mono) -> Option<Hold> {
    let since = presence.changed_at.max(record_changed_at);
    if presence.value.incarnation != holder.incarnation {
        return Some(Hold::Free(since, None));
    }
    (presence.value.state == PresenceState::Leaving).then(|| Hold::Free(since, Some(holder.node.clone())))
}

/// This node's place in the order in which the live `issue` nodes take up `work`.
pub(super) fn my_rank(view: &View, now: Now, work: &str, without: Option<&NodeName>) -> u32 {
    let mut candidates = view.live_issuers(now.mono);
    candidates.retain(|node| Some(*node) != without || **node == view.me.node);
    let order = crate::rank::order(work, candidates);
    let place = order.iter().position(|node| **node == view.me.node).unwrap_or(order.len());
    u32::try_from(place).unwrap_or(u32::MAX)
}
