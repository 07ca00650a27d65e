//! By which keys this node knows the one that serves its store: those that its token named, kept in `servers.json` of the state directory, and
//! those of the members with the role `issue` that it remembers; so that another of them can take over from one that is lost.
//!
//! Deliberately not here: members without that role. Whoever owns one would otherwise be taken for the server wherever it can bend a name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certfleet_core::key::RecordKey;
use certfleet_core::records::{FleetRecord, NodeRecord};
use certfleet_core::spec::Role;
use certfleet_core::trust::{Roster, VerifyingKey};
use certfleet_store::Credentials;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::identity::Identity;
use crate::keeper::Keeper;

#[derive(Serialize, Deserialize)]
struct Pins {
    servers: Vec<VerifyingKey>,
}

fn path(state: &Path) -> PathBuf {
    state.join("servers.json")
}

/// Keeps the keys that a token named, in place of those of an earlier one.
pub(crate) fn pin(state: &Path, servers: &[VerifyingKey]) -> Result<(), DiskError> {
    disk::make_private_dir(state)?;
    disk::write_json(&path(state), &Pins { servers: servers.to_vec() })
}

/// Undoes [`pin`], for a machine that was not let in after all.
pub(crate) fn unpin(state: &Path) {
    let _ = std::fs::remove_file(path(state));
}

/// Who opens a store as this node.
pub(crate) fn credentials(state: &Path, identity: &Identity) -> Credentials {
    let state = state.to_owned();
    Credentials { key: identity.signing_key.clone(), servers: Arc::new(move || known(&state)) }
}

fn known(state: &Path) -> Vec<VerifyingKey> {
    // A file that cannot be read pins nothing; the error of the handshake shows that no key is known.
    let pins = disk::read_json::<Pins>(&path(state)).ok().flatten();
    let mut keys = pins.map(|pins| pins.servers).unwrap_or_default();
    keys.extend(remembered(state).into_iter().flat_map(|roster| issuers(&roster)).filter(|key| !keys.contains(key)).collect::<Vec<_>>());
    keys
}

fn issuers(roster: &Roster) -> Vec<VerifyingKey> {
    roster.with_role(Role::Issue).map(|(_, member)| member.signing_key).collect()
}

/// The members when this node last looked; what is in its cache was checked before it got there.
fn remembered(state: &Path) -> Option<Roster> {
    let keeper = Keeper::new(state);
    let fleet: FleetRecord = keeper.get(&RecordKey::Fleet.key())?.record().ok()?;
    let nodes: Vec<NodeRecord> = keeper.all("nodes").into_iter().filter_map(|(_, envelope)| envelope.record().ok()).collect();
    Some(Roster::of(&fleet, &nodes))
}
