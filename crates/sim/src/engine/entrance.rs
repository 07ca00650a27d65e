//! The way in to a store that one node serves: by the door of that node's daemon, which is the product's own. All other stores are open.

use std::sync::Arc;

use certfleet_core::envelope::Envelope;
use certfleet_core::key::Key;
use certfleet_core::trust::VerifyingKey;
use certfleet_node::central::{Caller, Denied, Door};
use certfleet_store::{Listing, StoreError, Stored};

use super::Engine;
use crate::gate::Gate;

/// Whose machine carries the store.
#[derive(Debug)]
pub(super) struct Carrier {
    pub who: String,
    /// The process that serves it there.
    pub gate: Gate,
    /// Who gets in, once that process knows.
    door: Option<Opening>,
}

#[derive(Clone)]
struct Opening(Arc<dyn Door>);

/// What one client may see and do.
#[derive(Debug, Clone)]
pub(super) enum Entrance {
    /// Everything.
    Open,
    /// What the door says.
    Guarded(Guarded),
}

/// A client at a door.
#[derive(Debug, Clone)]
pub(super) struct Guarded {
    door: Opening,
    peer: VerifyingKey,
    caller: Caller,
}

impl Engine {
    /// This process on this node's machine carries it from now on; the others reach it once it [serves](Self::serve) it.
    pub fn carried_by(&self, who: &str, gate: &Gate) {
        self.state().carrier = Some(Carrier { who: who.to_owned(), gate: gate.clone(), door: None });
    }

    /// Whether `who` reaches it by another node.
    pub fn is_served_to(&self, who: &str) -> bool {
        self.state().carrier.as_ref().is_some_and(|carrier| carrier.who != who)
    }

    /// `who` stands before it from now on, with this door; nothing where it is not the one whose machine carries it.
    pub fn serve(self: &Arc<Self>, who: &str, door: Arc<dyn Door>) {
        let mut changes = door.changes();
        match &mut self.state().carrier {
            Some(carrier) if carrier.who == who => carrier.door = Some(Opening(door)),
            _ => return,
        }
        let engine = Arc::downgrade(self);
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(engine) = engine.upgrade() else { return };
                engine.renew_entrances();
            }
        });
    }

    /// Whoever sees more now, or less, or nothing, reads again.
    fn renew_entrances(&self) {
        let feeds = self.state().feeds.clone();
        for feed in feeds {
            match self.enter(feed.who(), feed.peer().as_ref()) {
                Ok(now) => feed.sees_by(now),
                // It does not know; whoever was let in stays.
                Err(StoreError::Away { .. }) => {}
                Err(_) => feed.reset(),
            }
        }
    }

    /// How `who` gets in, by this key; without one, as who gives commands on the machine that carries it.
    pub(super) fn enter(&self, who: &str, peer: Option<&VerifyingKey>) -> Result<Entrance, StoreError> {
        let door = match (&self.state().carrier, peer) {
            (Some(carrier), Some(_)) if carrier.who != who => carrier.door.clone(),
            _ => return Ok(Entrance::Open),
        };
        let (Some(door), Some(peer)) = (door, peer) else { return Err(refusal(Denied::NotReady("it has just started".into()))) };
        let caller = door.0.caller(peer).map_err(refusal)?;
        Ok(Entrance::Guarded(Guarded { door, peer: *peer, caller }))
    }
}

impl Entrance {
    /// Who asks, if it is not open.
    pub fn peer(&self) -> Option<VerifyingKey> {
        match self {
            Self::Open => None,
            Self::Guarded(guarded) => Some(guarded.peer),
        }
    }

    /// Whether the same is seen by both.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Guarded(one), Self::Guarded(other)) => one.caller == other.caller,
            (Self::Open, Self::Open) => true,
            _ => false,
        }
    }

    /// Whether a change there is told.
    pub fn hears(&self, key: &Key) -> bool {
        match self {
            Self::Open => true,
            Self::Guarded(guarded) => guarded.caller.hears(key),
        }
    }

    /// What stands under a key, as far as it is shown.
    pub fn shown(&self, key: &Key, found: Result<Option<Stored>, StoreError>) -> Result<Option<Stored>, StoreError> {
        match found {
            Ok(Some(stored)) if !self.sees(key, Some(&stored)) => Ok(None),
            Err(StoreError::Corrupt { .. }) if !self.sees(key, None) => Ok(None),
            found => found,
        }
    }

    /// A list, as far as it is shown.
    pub fn shown_of(&self, mut listing: Listing) -> Listing {
        listing.entries.retain(|(key, stored)| self.sees(key, Some(stored)));
        listing.unreadable.retain(|value| self.sees(&value.key, None));
        listing
    }

    /// Whether it may be written, or removed, there.
    pub fn lets_write(&self, key: &Key, value: Option<&Envelope>) -> Result<(), StoreError> {
        let Self::Guarded(Guarded { door, peer, caller }) = self else { return Ok(()) };
        let answer = match value {
            Some(envelope) => door.0.may_put(peer, caller, key, envelope),
            None => door.0.may_remove(peer, caller, key),
        };
        answer.map_err(|why| refusal(Denied::Refused(format!("{key}: {why}"))))
    }

    fn sees(&self, key: &Key, stored: Option<&Stored>) -> bool {
        match self {
            Self::Open => true,
            Self::Guarded(guarded) => guarded.caller.sees(&guarded.peer, key, stored),
        }
    }
}

/// As a client of such a store is told.
fn refusal(denied: Denied) -> StoreError {
    match denied {
        Denied::NotReady(why) => StoreError::Away { why },
        Denied::Refused(what) => StoreError::NeedsOperator { what, remedy: "`certfleet node ls` says who is in".into() },
    }
}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a door")
    }
}
