//! Making a fleet, inviting, joining. Each can be done again without harm.

use std::path::Path;
use std::time::Duration;

use certfleet_core::envelope::{Expect, Revision};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{NodeName, NodePattern};
use certfleet_core::records::{FleetRecord, NodeRecord};
use certfleet_core::spec::{Roles, all_roles};
use certfleet_core::time::{Timestamp, later};
use certfleet_store::{Settled, Store, put_settled};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Settings;
use crate::identity::{Identity, random_fleet_id, random_hex};
use crate::refusal::Refusal;
use crate::token::Token;
use crate::trust;

const NAME_IS_FIXED: &str = "a node's name is fixed when it joins; leave out `--node`";
/// The record form of this version.
pub const FORMAT: u32 = 1;

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

/// Reads a record.
pub async fn read<T: DeserializeOwned>(store: &dyn Store, key: &RecordKey) -> Result<Option<(T, Revision)>, MembershipError> {
    let Some(stored) = store.get(&key.key()).await? else { return Ok(None) };
    let record = stored.envelope.record().map_err(|error| MembershipError::Record(key.to_string(), error))?;
    Ok(Some((record, stored.revision)))
}

async fn write<T: Serialize>(
    store: &dyn Store,
    writer: &NodeName,
    key: &RecordKey,
    record: &T,
    expect: &Expect,
) -> Result<Settled, MembershipError> {
    let envelope = trust::wrap(writer, record)?;
    Ok(put_settled(store, &key.key(), &envelope, expect).await?)
}

/// Makes the fleet in an empty store, and joins this node.
pub async fn init(
    store: &dyn Store,
    settings: &Settings,
    node: Option<&NodeName>,
    now: Timestamp,
) -> Result<(Identity, Change), MembershipError> {
    let known = Identity::load(&settings.state)?;
    let fleet = read::<FleetRecord>(store, &RecordKey::Fleet).await?;
    let identity = match (&known, &fleet) {
        (Some(identity), Some((fleet, _))) if fleet.id != identity.fleet => {
            return Err(other_fleet(&settings.state, identity, fleet).into());
        }
        (None, Some((fleet, _))) => {
            return refused(
                format!("the store already holds fleet {} ({})", fleet.name, fleet.id),
                "on one of its nodes run `certfleet invite NAME`, and here `certfleet join TOKEN`",
            );
        }
        (Some(identity), _) => identity.clone(),
        (None, None) => new_identity(settings, node)?,
    };
    if let Some(wanted) = node.filter(|wanted| **wanted != identity.node) {
        return refused(format!("this machine is node {} already, not {wanted}", identity.node), NAME_IS_FIXED);
    }
    identity.save(&settings.state)?;
    let made = make_fleet(store, &identity, now).await?;
    let joined = become_member(store, &identity, &all_roles(), None, false, now).await?;
    Ok((identity, if made == Change::Nothing && joined == Change::Nothing { Change::Nothing } else { Change::Made }))
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

fn new_identity(settings: &Settings, node: Option<&NodeName>) -> Result<Identity, MembershipError> {
    let node = node.cloned().unwrap_or_else(|| settings.node.clone());
    Ok(Identity { fleet: random_fleet_id()?, fleet_name: settings.fleet.clone(), node, identity: random_hex(16)? })
}

async fn make_fleet(store: &dyn Store, identity: &Identity, now: Timestamp) -> Result<Change, MembershipError> {
    let record = FleetRecord {
        id: identity.fleet.clone(),
        name: identity.fleet_name.clone(),
        format: FORMAT,
        epoch: 0,
        created_at: now,
        removals: Vec::new(),
        extra: Default::default(),
    };
    match write(store, &identity.node, &RecordKey::Fleet, &record, &Expect::Absent).await? {
        Settled::Done(_) => Ok(Change::Made),
        Settled::Conflict => match read::<FleetRecord>(store, &RecordKey::Fleet).await? {
            Some((fleet, _)) if fleet.id == identity.fleet => Ok(Change::Nothing),
            _ => refused("another machine made a fleet in this store at the same moment", "join that one: `certfleet join TOKEN`"),
        },
    }
}

/// Writes this node's record, unless it is there.
async fn become_member(
    store: &dyn Store,
    identity: &Identity,
    granted: &Roles,
    invitation: Option<&str>,
    replace: bool,
    now: Timestamp,
) -> Result<Change, MembershipError> {
    let key = RecordKey::Node(identity.node.clone());
    let expect = match read::<NodeRecord>(store, &key).await? {
        Some((record, _)) if record.identity == identity.identity => return Ok(Change::Nothing),
        Some((_, revision)) if replace => Expect::Revision(revision),
        Some(_) => {
            return refused(
                format!("the fleet has a node {} already", identity.node),
                format!(
                    "if this machine takes its place, invite it with `certfleet invite {} --replace`, else join under another name",
                    identity.node
                ),
            );
        }
        None => Expect::Absent,
    };
    let record = NodeRecord {
        name: identity.node.clone(),
        identity: identity.identity.clone(),
        granted: granted.clone(),
        joined_at: now,
        invitation: invitation.map(str::to_owned),
        extra: Default::default(),
    };
    match write(store, &identity.node, &key, &record, &expect).await? {
        Settled::Done(_) => Ok(Change::Made),
        Settled::Conflict => {
            refused(format!("another machine joined as {} at the same moment", identity.node), "join under another name: `--node NAME`")
        }
    }
}

/// What an invitation grants.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Who may use it.
    pub node: NodePattern,
    /// As what.
    pub roles: Roles,
    /// How many nodes.
    pub uses: u32,
    /// How long.
    pub valid_for: Duration,
    /// Instead of an older machine of that name.
    pub replace: bool,
}

/// Makes a token. The store must hold the fleet, and this machine must be in it.
pub async fn invite(store: &dyn Store, identity: &Identity, invitation: &Invitation, now: Timestamp) -> Result<Token, MembershipError> {
    let fleet = our_fleet(store, identity).await?;
    let only = invitation.node.is_exact().then(|| invitation.node.as_str().parse::<NodeName>().ok()).flatten();
    if let Some(node) = only.filter(|_| !invitation.replace)
        && read::<NodeRecord>(store, &RecordKey::Node(node.clone())).await?.is_some()
    {
        return refused(format!("the fleet has a node {node} already"), "for a machine that was rebuilt, add `--replace`");
    }
    Ok(Token {
        id: random_hex(16)?,
        fleet: fleet.id,
        fleet_name: fleet.name,
        node: invitation.node.clone(),
        roles: invitation.roles.clone(),
        uses: invitation.uses,
        expires_at: later(now, invitation.valid_for),
        replace: invitation.replace,
    })
}

/// The fleet's record, if it is the one that this machine joined.
pub async fn our_fleet(store: &dyn Store, identity: &Identity) -> Result<FleetRecord, MembershipError> {
    match read::<FleetRecord>(store, &RecordKey::Fleet).await? {
        Some((fleet, _)) if fleet.id == identity.fleet => Ok(fleet),
        Some((fleet, _)) => refused(
            format!("the store holds fleet {} ({}), not {} ({})", fleet.name, fleet.id, identity.fleet_name, identity.fleet),
            "see that the right store is configured and mounted",
        ),
        None => refused(
            format!("the store holds no fleet, where {} ({}) should be", identity.fleet_name, identity.fleet),
            "see that the right store is configured and mounted",
        ),
    }
}

/// Makes this machine the node that the token invites.
pub async fn join(
    store: &dyn Store,
    settings: &Settings,
    token: &Token,
    node: Option<&NodeName>,
    now: Timestamp,
) -> Result<(Identity, Change), MembershipError> {
    let known = Identity::load(&settings.state)?;
    let is_new = known.is_none();
    let identity = match known {
        Some(identity) if identity.fleet == token.fleet => {
            if let Some(wanted) = node.filter(|wanted| **wanted != identity.node) {
                return refused(format!("this machine is node {} already, not {wanted}", identity.node), NAME_IS_FIXED);
            }
            identity
        }
        Some(identity) => {
            let file = settings.state.join("identity.json");
            return refused(
                format!("this machine is node {} of fleet {} already", identity.node, identity.fleet_name),
                format!("to give it to fleet {} of the token, remove {} first", token.fleet_name, file.display()),
            );
        }
        None => Identity {
            fleet: token.fleet.clone(),
            fleet_name: token.fleet_name.clone(),
            node: joining_name(settings, token, node)?,
            identity: random_hex(16)?,
        },
    };
    our_fleet(store, &identity).await?;
    let member = read::<NodeRecord>(store, &RecordKey::Node(identity.node.clone())).await?;
    if member.is_none_or(|(record, _)| record.identity != identity.identity) {
        check_token(store, token, &identity.node, now).await?;
    }
    identity.save(&settings.state)?;
    let change = become_member(store, &identity, &token.roles, Some(&token.id), token.replace, now).await;
    if is_new && matches!(change, Err(MembershipError::Refused(_))) {
        let _ = std::fs::remove_file(settings.state.join("identity.json"));
    }
    Ok((identity, change?))
}

fn joining_name(settings: &Settings, token: &Token, node: Option<&NodeName>) -> Result<NodeName, MembershipError> {
    let name = node.cloned().or_else(|| token.only_node()).unwrap_or_else(|| settings.node.clone());
    if token.admits(&name) {
        return Ok(name);
    }
    refused(format!("the token invites {}, not {name}", token.node), "say `--node NAME` with a name that fits, or ask for another token")
}

async fn check_token(store: &dyn Store, token: &Token, node: &NodeName, now: Timestamp) -> Result<(), MembershipError> {
    if token.expires_at <= now {
        return refused(format!("the token expired at {}", token.expires_at), format!("ask for a new one: `certfleet invite {node}`"));
    }
    if !token.admits(node) {
        return refused(format!("the token invites {}, not {node}", token.node), "ask for one of this node's own");
    }
    let members = store.list("nodes").await?;
    let used = members
        .entries
        .iter()
        .filter(|(_, stored)| stored.envelope.record::<NodeRecord>().is_ok_and(|record| record.invitation.as_deref() == Some(&token.id)));
    let used = used.count();
    if used >= token.uses as usize {
        return refused(
            format!("the token is used up: it was for {} node(s)", token.uses),
            format!("ask for a new one: `certfleet invite {node}`"),
        );
    }
    Ok(())
}
