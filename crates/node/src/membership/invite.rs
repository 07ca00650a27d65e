//! `invite`: a token, signed by the fleet key.

use std::time::Duration;

use certfleet_core::names::{NodeName, NodePattern};
use certfleet_core::spec::Roles;
use certfleet_core::time::{Timestamp, later};
use certfleet_core::trust::{Grant, SignedGrant, SigningKey, VerifyingKey};
use certfleet_core::view::View;

use super::{MembershipError, fleet_of, refused};
use crate::identity::{random_hex, random_signing_key};
use crate::token::Token;

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

/// Makes a token. `view` is what the store says; a machine that joins finds the store at `store`, and knows by `servers` who serves it, if a
/// node does.
pub fn invite(
    view: &View,
    (store, servers): (&str, &[VerifyingKey]),
    invitation: &Invitation,
    fleet_key: &SigningKey,
    now: Timestamp,
) -> Result<Token, MembershipError> {
    let fleet = fleet_of(view, fleet_key)?;
    let only = invitation.node.is_exact().then(|| invitation.node.as_str().parse::<NodeName>().ok()).flatten();
    if let Some(node) = only.filter(|node| !invitation.replace && view.nodes.contains_key(node) && !view.is_removed(node)) {
        return refused(format!("the fleet has a node {node} already"), "for a machine that was rebuilt, add `--replace`");
    }
    let join_key = random_signing_key()?;
    let grant = Grant {
        id: random_hex(16)?.parse().expect("hex digits are a name"),
        fleet: fleet.id.clone(),
        fleet_name: fleet.name.clone(),
        epoch: fleet.epoch,
        store: store.to_owned(),
        node: invitation.node.clone(),
        roles: invitation.roles.clone(),
        uses: invitation.uses,
        expires_at: later(now, invitation.valid_for),
        replace: invitation.replace,
        servers: servers.to_vec(),
        join_key: join_key.verifying_key(),
    };
    Ok(Token { grant: SignedGrant::new(&grant, fleet_key), verifying_keys: fleet.verifying_keys.clone(), join_key })
}
