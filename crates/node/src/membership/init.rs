//! `init`: the fleet key, the fleet's record, and this machine as its first node.

use std::path::PathBuf;

use certfleet_core::envelope::{Expect, FORMAT};
use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;
use certfleet_core::records::{FleetRecord, NodeRecord};
use certfleet_core::spec::all_roles;
use certfleet_core::time::Timestamp;
use certfleet_core::trust::SigningKey;
use certfleet_store::{Settled, Store};

use super::{Change, MembershipError, NAME_IS_FIXED, other_fleet, put, read, record, refused};
use crate::config::Settings;
use crate::fleet_key;
use crate::identity::{Identity, random_fleet_id, random_signing_key};
use crate::trust::Pen;

/// Where the fleet key goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetKeyPlace {
    /// The state directory.
    State,
    /// A file that the operator takes away.
    File(PathBuf),
}

/// Makes the fleet in an empty store, and joins this node.
pub async fn init(
    store: &dyn Store,
    settings: &Settings,
    node: Option<&NodeName>,
    place: &FleetKeyPlace,
    now: Timestamp,
) -> Result<(Identity, Change), MembershipError> {
    let known = Identity::load(&settings.state)?;
    let fleet = match read(store, &RecordKey::Fleet).await? {
        Some((envelope, _)) => Some(record::<FleetRecord>(&RecordKey::Fleet, &envelope)?),
        None => None,
    };
    if let (None, Some(fleet)) = (&known, &fleet) {
        return refused(
            format!("the store already holds fleet {} ({})", fleet.name, fleet.id),
            "on one of its nodes run `certfleet invite NAME`, and here `certfleet join TOKEN`",
        );
    }
    if let (Some(identity), Some(fleet)) = (&known, &fleet)
        && fleet.id != identity.fleet
    {
        return Err(other_fleet(&settings.state, identity, fleet).into());
    }
    if let (Some(identity), Some(wanted)) = (&known, node)
        && *wanted != identity.node
    {
        return refused(format!("this machine is node {} already, not {wanted}", identity.node), NAME_IS_FIXED);
    }
    let file = match place {
        FleetKeyPlace::State => fleet_key::path(&settings.state),
        FleetKeyPlace::File(file) => file.clone(),
    };
    let member = RecordKey::Node(known.as_ref().map_or_else(|| settings.node.clone(), |identity| identity.node.clone()));
    if let (Some(identity), true, Some(_)) = (&known, fleet.is_some(), read(store, &member).await?) {
        return Ok((identity.clone(), Change::Nothing));
    }
    let key = fleet_key_in(&file, known.as_ref())?;
    let identity = match known {
        Some(identity) => identity,
        None => {
            let node = node.cloned().unwrap_or_else(|| settings.node.clone());
            let identity = Identity::draw(random_fleet_id()?, settings.fleet.clone(), vec![key.verifying_key()], node)?;
            identity.save(&settings.state)?;
            identity
        }
    };
    make(store, &identity, &key, now).await?;
    Ok((identity, Change::Made))
}

/// The key that an interrupted `init` left, or a new one. It is on disk before anything is signed with it.
fn fleet_key_in(file: &std::path::Path, known: Option<&Identity>) -> Result<SigningKey, MembershipError> {
    let found = fleet_key::load(file)?;
    match (found, known) {
        (Some(key), Some(identity)) if identity.verifying_keys.contains(&key.verifying_key()) => Ok(key),
        (Some(key), None) => Ok(key),
        (_, Some(identity)) => refused(
            format!(
                "this machine is node {} of fleet {}, and {} does not hold that fleet's key",
                identity.node,
                identity.fleet_name,
                file.display()
            ),
            "give the same `--export-key FILE` as the first time; or remove identity.json from the state directory and begin anew",
        ),
        (None, None) => {
            let key = random_signing_key()?;
            fleet_key::save(file, &key)?;
            Ok(key)
        }
    }
}

async fn make(store: &dyn Store, identity: &Identity, key: &SigningKey, now: Timestamp) -> Result<(), MembershipError> {
    let pen = Pen::new(identity);
    let fleet = FleetRecord {
        id: identity.fleet.clone(),
        name: identity.fleet_name.clone(),
        format: FORMAT,
        epoch: 0,
        created_at: now,
        verifying_keys: identity.verifying_keys.clone(),
        removals: Vec::new(),
        extra: Default::default(),
    };
    if let Settled::Conflict = put(store, &pen, &RecordKey::Fleet, &fleet, &Expect::Absent, Some(key)).await? {
        let there = read(store, &RecordKey::Fleet).await?;
        let is_ours = there.is_some_and(|(envelope, _)| envelope.record::<FleetRecord>().is_ok_and(|there| there.id == fleet.id));
        if !is_ours {
            return refused("another machine made a fleet in this store at the same moment", "join that one: `certfleet join TOKEN`");
        }
    }
    let (signing_key, sealing_key) = identity.public_keys();
    let member = NodeRecord {
        name: identity.node.clone(),
        identity: identity.identity.clone(),
        signing_key,
        sealing_key,
        granted: all_roles(),
        joined_at: now,
        grant: None,
        proof: None,
        extra: Default::default(),
    };
    match put(store, &pen, &RecordKey::Node(identity.node.clone()), &member, &Expect::Absent, Some(key)).await? {
        Settled::Done(_) => Ok(()),
        Settled::Conflict => {
            refused(format!("something stands under nodes/{} already", identity.node), "is the store empty? `init` wants an empty one")
        }
    }
}
