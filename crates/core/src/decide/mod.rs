//! From what a node knows to what it does: `decide(view, now, seed)`.
//!
//! Always holds: the same arguments give the same plan. Each action is one store write or one call outside and carries all it needs, the
//! revision it is based on included; whoever executes it makes no choice. What a plan leaves out for now is in its `waits`, with the reason.
//!
//! Deliberately not here: the safety of the records. That is the store's compare-and-swap; ranks and presence only save work.

mod accounts;
mod action;
mod admit;
mod aside;
mod claim;
mod collect;
mod decider;
mod deploy;
mod drive;
mod facts;
mod guard;
mod holder;
mod issuance;
mod part;
mod plan;
mod presence;
mod request;
mod rollout;
mod specification;
mod standing;
mod transition;
mod troubles;
mod turn;
mod upkeep;
mod wish;
mod wrap;

pub use action::{Action, Call, Event, Readers, RequestKey, Subject, WantedKey, WantedRequest, WantedWrap};
pub use admit::{admission, successor};
pub use claim::ATTEMPTS_AT_ONCE_MAX;
pub use decider::Decider;
pub use guard::value_of;
pub use plan::Plan;
pub use presence::BEAT_IDLE_MS;
pub use rollout::Gate;
pub use transition::renewal_moment;
pub use wish::{go_back, request_renewal, resume_rollout};

use crate::time::Now;
use crate::view::View;

/// What this node does now, decided by the view as a whole. `seed` feeds jitter and nothing else. A [`Decider`] decides the same at the cost of
/// what changed.
pub fn decide(view: &View, now: Now, seed: u64) -> Plan {
    Decider::default().all(view, now, seed)
}

/// Whether and why the nodes other than the canaries wait with the placed generation of `cert`.
pub fn rollout_gate(view: &View, cert: &crate::names::CertName, now: Now) -> Gate {
    rollout::gate(view, cert, now)
}
