//! Whether the fleet lives in the store that this node reads, or in another one.
//!
//! Always holds: from a store that the fleet has left, or has not arrived in, nothing is taken in but who is in the fleet and what becomes of
//! the store. What this node took in before it read that is in the copy, since whoever feeds the view reads `home` after everything else.

use serde::{Deserialize, Serialize};

use super::View;
use crate::key::RecordKey;
use crate::records::{HomeRecord, HomeState};

/// How often the fleet has moved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moves {
    /// The number of the latest move.
    pub number: u64,
    /// Where it went, where this node knows that.
    pub to: Option<String>,
}

impl View {
    /// Why the fleet does not live in this store; none if it does.
    pub fn not_at_home(&self) -> Option<String> {
        let known = &self.local.moves;
        match &self.home {
            Some(home) if home.state == HomeState::Left => Some(moved(Some(&home.other))),
            Some(home) if home.state == HomeState::Arriving => Some(format!(
                "the fleet is being copied from {} to this store, which is not whole yet: `certfleet store copy` has to end first",
                home.other
            )),
            home if home.as_ref().map_or(0, |home| home.number) < known.number => Some(moved(known.to.as_ref())),
            _ => None,
        }
    }

    /// Whether a record of the store that is read now may be taken in.
    pub(super) fn is_taken_from_here(&self, record: &RecordKey) -> bool {
        let is_elsewhere = self.home.as_ref().is_some_and(|home| home.state != HomeState::Here);
        !is_elsewhere || matches!(record, RecordKey::Fleet | RecordKey::Home | RecordKey::Node(_))
    }

    /// Numbers of moves only rise; one that has not ended is none.
    pub(super) fn remember_move(&mut self) {
        let Some(HomeRecord { number, state, other, .. }) = &self.home else { return };
        let to = match state {
            HomeState::Left => Some(other.clone()),
            HomeState::Here => None,
            HomeState::Arriving => return,
        };
        if *number >= self.local.moves.number {
            self.local.moves = Moves { number: *number, to };
        }
    }

    /// A copy to this store that was given up: it is as if nothing had stood there.
    pub(super) fn forget_arrival(&mut self) {
        if self.home.as_ref().is_some_and(|home| home.state == HomeState::Arriving) {
            self.home = None;
            self.accepted.remove(&RecordKey::Home.key());
        }
    }
}

fn moved(to: Option<&String>) -> String {
    match to {
        Some(to) => format!("this fleet has moved to {to}: set `store` to that and reload (SIGHUP)"),
        None => "this fleet has moved to another store: set `store` to that and reload (SIGHUP)".to_owned(),
    }
}
