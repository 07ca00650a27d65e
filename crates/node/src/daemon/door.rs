//! The door of a daemon that serves its store: by its view of the fleet, as it is at the moment.

use std::sync::Arc;

use certfleet_core::decide::admission;
use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::NodeRecord;
use certfleet_core::trust::VerifyingKey;
use certfleet_core::view::{View, Who};
use tokio::sync::watch;

use super::state::Shared;
use crate::central::{Caller, Denied, Door};

/// What a record is to a version that does not know its kind.
const UNKNOWN: &str = "the node that serves the store does not know such records; upgrade certfleet there first";

/// The door.
pub(super) struct FleetDoor {
    pub(super) shared: Arc<Shared>,
}

impl Door for FleetDoor {
    fn caller(&self, peer: &VerifyingKey) -> Result<Caller, Denied> {
        let seen = self.shared.lock();
        let view = &seen.view;
        let not_ready = |why| Denied::NotReady(format!("the node that serves the store is not ready: {why}"));
        let who = view.who(peer);
        // What the fleet has left, members may read, and the one that moves it must.
        let is_left = view.not_at_home().is_some() && matches!(who, Who::Member(_));
        view.membership().or_else(|why| if is_left { Ok(()) } else { Err(not_ready(why)) })?;
        match who {
            Who::Member(node) => Ok(view.sight(&node).map_or(Caller::Stranger, Caller::Member)),
            Who::Removed(node) => Err(Denied::Refused(format!("node {node} was removed from the fleet"))),
            Who::Stranger => Ok(Caller::Stranger),
        }
    }

    fn may_put(&self, peer: &VerifyingKey, caller: &Caller, key: &Key, envelope: &Envelope) -> Result<(), String> {
        let record = RecordKey::of(key).ok_or(UNKNOWN)?;
        let now = self.shared.now();
        let seen = self.shared.lock();
        match (caller, &record) {
            (Caller::Member(sight), _) => sight.may_put(&seen.view.roster, &record, envelope).map_err(|why| why.to_string()),
            (Caller::Stranger, RecordKey::Joining(_)) => {
                let machine = asking(&seen.view, peer, &record, envelope)?;
                admission(&seen.view, now, &machine)
            }
            (Caller::Stranger, _) => Err(not_a_member(peer)),
        }
    }

    fn may_remove(&self, peer: &VerifyingKey, caller: &Caller, key: &Key) -> Result<(), String> {
        let record = RecordKey::of(key).ok_or(UNKNOWN)?;
        match caller {
            Caller::Member(sight) => sight.may_remove(&record).map_err(|why| why.to_string()),
            Caller::Stranger => Err(not_a_member(peer)),
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes()
    }
}

/// A machine asks in its own name, with the key that it has proved to have.
fn asking(view: &View, peer: &VerifyingKey, key: &RecordKey, envelope: &Envelope) -> Result<NodeRecord, String> {
    view.roster.check(key, envelope).map_err(|why| why.to_string())?;
    let machine: NodeRecord = envelope.record().map_err(|error| error.to_string())?;
    if machine.signing_key != *peer {
        return Err(format!("it names key {}, and who brings it has key {}", machine.signing_key.fingerprint(), peer.fingerprint()));
    }
    Ok(machine)
}

fn not_a_member(peer: &VerifyingKey) -> String {
    format!("key {} is no member's; `certfleet join TOKEN` asks to be let in", peer.fingerprint())
}
