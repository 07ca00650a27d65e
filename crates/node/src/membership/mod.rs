//! Making a fleet, inviting, joining, removing. Each can be done again without harm.
//!
//! Always holds: what the store says about members is believed only as far as the fleet key or a member signed it.

mod again;
mod init;
mod invite;
mod join;
mod nodes;

use std::path::Path;

use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::FleetRecord;
use certfleet_core::trust::{Distrust, Roster, SigningKey};
use certfleet_core::view::View;
use certfleet_store::{Settled, Store, put_settled};
use serde::Serialize;

use crate::config::Settings;
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::refusal::Refusal;
use crate::trust::{self, Pen};

pub use init::{FleetKeyPlace, init};
pub use invite::{Invitation, invite};
pub use join::{Joined, Joiner, join};
pub use nodes::{NodeRow, NodeState, Removed, Renewal, RunningAttempt, list_nodes, remove_node};

const NAME_IS_FIXED: &str = "a node's name is fixed when it joins; leave out `--node`";

/// Why a machine is not in the fleet now.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The operator has to do something.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state directory.
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    /// The store.
    #[error(transparent)]
    Store(#[from] certfleet_store::StoreError),
    /// A record could not be wrapped.
    #[error(transparent)]
    Wrap(#[from] trust::WrapError),
    /// A record could not be read.
    #[error("{0}: {1}")]
    Record(String, certfleet_core::envelope::EnvelopeError),
    /// A record does not count.
    #[error("{0} does not count: {1}")]
    Distrusted(String, Distrust),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] crate::identity::RandomError),
}

fn refused<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, MembershipError> {
    Err(Refusal::new(what, remedy).into())
}

/// Whether something was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is so now.
    Made,
    /// It was so before.
    Nothing,
}

async fn read(store: &dyn Store, key: &RecordKey) -> Result<Option<(Envelope, Revision)>, MembershipError> {
    Ok(store.get(&key.key()).await?.map(|stored| (stored.envelope, stored.revision)))
}

fn record<T: serde::de::DeserializeOwned>(key: &RecordKey, envelope: &Envelope) -> Result<T, MembershipError> {
    envelope.record().map_err(|error| MembershipError::Record(key.to_string(), error))
}

async fn put<T: Serialize>(
    store: &dyn Store,
    pen: &Pen,
    key: &RecordKey,
    record: &T,
    expect: &Expect,
    fleet_key: Option<&SigningKey>,
) -> Result<Settled, MembershipError> {
    let envelope = match fleet_key {
        Some(fleet_key) => pen.write_as_fleet(key, record, expect, fleet_key)?,
        None => pen.write(key, record, expect)?,
    };
    Ok(put_settled(store, &key.key(), &envelope, expect).await?)
}

/// The fleet's record, if it is the one that this machine joined and its key signed it.
pub async fn our_fleet(store: &dyn Store, identity: &Identity) -> Result<FleetRecord, MembershipError> {
    let (ours, key) = (format!("{} ({})", identity.fleet_name, identity.fleet), RecordKey::Fleet);
    let look = "see that the right store is configured and mounted";
    let Some((envelope, _)) = read(store, &key).await? else {
        return refused(format!("the store holds no fleet, where {ours} should be"), look);
    };
    let fleet: FleetRecord = record(&key, &envelope)?;
    if fleet.id != identity.fleet {
        return refused(format!("the store holds fleet {} ({}), not {ours}", fleet.name, fleet.id), look);
    }
    let roster = Roster::new(identity.fleet.clone(), identity.verifying_keys.clone());
    roster.check(&key, &envelope).map_err(|why| MembershipError::Distrusted(key.to_string(), why))?;
    Ok(fleet)
}

fn other_fleet(state: &Path, identity: &Identity, fleet: &FleetRecord) -> Refusal {
    let (ours, theirs) = (format!("{} ({})", identity.fleet_name, identity.fleet), format!("{} ({})", fleet.name, fleet.id));
    Refusal::new(
        format!("this machine is node {} of fleet {ours}, but the store holds fleet {theirs}", identity.node),
        format!(
            "see that the right file system is mounted and the right URL configured; to give the machine to the other fleet, remove {} first",
            state.join("identity.json").display()
        ),
    )
}

/// The fleet's record, if `fleet_key` is its key. To be asked before anything is signed with it.
fn fleet_of<'v>(view: &'v View, fleet_key: &SigningKey) -> Result<&'v FleetRecord, MembershipError> {
    match &view.fleet {
        Some(fleet) if fleet.verifying_keys.contains(&fleet_key.verifying_key()) => Ok(fleet),
        Some(_) => refused("this is another fleet's key", "give the key of this fleet with `--fleet-key FILE`"),
        None => refused("the fleet's record cannot be read", "`certfleet store check` says what stands in the store"),
    }
}

/// What a command wrote into the store.
pub(crate) type Said = (Key, Envelope);

/// Keeps what a command wrote in this machine's cache too: should somebody write over it, or roll the store back, before a daemon has read it,
/// this machine's daemon puts it there again.
pub(crate) fn keep(settings: &Settings, said: &[Said]) -> Result<(), MembershipError> {
    let keeper = Keeper::new(&settings.state);
    said.iter().try_for_each(|(key, envelope)| Ok(keeper.keep(key, envelope)?))
}

/// Changes the fleet's record by the fleet key; gives what is to be kept.
pub(crate) async fn change_fleet(
    store: &dyn Store,
    identity: &Identity,
    view: &View,
    fleet_key: &SigningKey,
    change: impl Fn(&mut FleetRecord),
) -> Result<Said, MembershipError> {
    let mut fleet = fleet_of(view, fleet_key)?.clone();
    change(&mut fleet);
    let (key, expect) = (RecordKey::Fleet, view.base(&RecordKey::Fleet.key()));
    let envelope = Pen::new(identity).write_as_fleet(&key, &fleet, &expect, fleet_key)?;
    match put_settled(store, &key.key(), &envelope, &expect).await? {
        Settled::Done(_) => Ok((key.key(), envelope)),
        Settled::Conflict => refused("somebody else changed the fleet's record at the same moment", "give the command again"),
    }
}
