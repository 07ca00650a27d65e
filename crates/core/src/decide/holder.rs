//! Who may go on with an attempt: whether its holder is gone, and whose turn it is.

use std::time::Duration;

use crate::key::{Key, RecordKey};
use crate::names::{CertName, NodeName};
use crate::records::{Attempt, Holder, PresenceState};
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

/// Judges the holder of `attempt`, which stands in `record_seen`.
pub(super) fn judge<T>(view: &View, cert: &CertName, record_seen: &Observed<T>, attempt: &Attempt, now: Now) -> Hold {
    let Some(holder) = &attempt.holder else { return Hold::Free(record_seen.changed_at, None) };
    if holder.node == view.me.node && holder.incarnation == view.me.incarnation {
        return Hold::Mine;
    }
    if let Some(free) = said_goodbye(view, holder, record_seen.changed_at) {
        return free;
    }
    let Some(presence) = view.presence.get(&holder.node) else {
        return Hold::Free(record_seen.changed_at, Some(holder.node.clone()));
    };
    let still_since = presence.changed_at.max(record_seen.changed_at);
    let gone_at = (still_since + GONE_AFTER + view.local.lag).min(record_seen.changed_at + STEP_LIMIT);
    if now.mono < gone_at {
        return Hold::Alive(gone_at);
    }
    if presence.read_at < gone_at || record_seen.read_at < gone_at {
        return Hold::Unsure(vec![RecordKey::Presence(holder.node.clone()).key(), RecordKey::Cert(cert.clone()).key()]);
    }
    Hold::Free(gone_at, Some(holder.node.clone()))
}

/// A holder that left, was removed, or lives again as another.
fn said_goodbye(view: &View, holder: &Holder, record_changed_at: Mono) -> Option<Hold> {
    let removed = view.fleet.as_ref().is_some_and(|fleet| fleet.removals.contains(&holder.node));
    if removed || !view.nodes.contains_key(&holder.node) {
        return Some(Hold::Free(record_changed_at, Some(holder.node.clone())));
    }
    let presence = view.presence.get(&holder.node)?;
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
