//! `join`: this machine draws its keys and asks, with the token, to be let in. An `issue` node lets it in as soon as one runs.

use std::sync::Arc;

use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::RecordKey;
use certfleet_core::names::NodeName;
use certfleet_core::records::NodeRecord;
use certfleet_core::time::Timestamp;
use certfleet_core::trust::{Grant, Proof};
use certfleet_core::view::View;
use certfleet_store::{Credentials, Settled, Store, StoreError};

use super::{Change, MembershipError, NAME_IS_FIXED, our_fleet, put, read, record, refused};
use crate::config::{SERVED, Settings};
use crate::identity::Identity;
use crate::operator::{OperatorError, view_of};
use crate::refusal::Refusal;
use crate::servers;
use crate::token::{Token, only_node};
use crate::trust::Pen;

/// How far a joining machine came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It is a member.
    Member(Change),
    /// It asks to be let in.
    Asking(Change),
}

/// A machine that is about to ask.
#[derive(Debug)]
pub struct Joiner {
    identity: Identity,
    is_new: bool,
    grant: Grant,
}

impl Joiner {
    /// This machine: as the node that it is, or with fresh keys, which are kept once it asks.
    pub fn new(settings: &Settings, token: &Token, node: Option<&NodeName>) -> Result<Self, MembershipError> {
        let grant = granted(token)?;
        let known = Identity::load(&settings.state)?;
        let is_new = known.is_none();
        let identity = match known {
            Some(identity) => same_machine(settings, identity, &grant, node)?,
            None => {
                let name = joining_name(settings, &grant, node)?;
                Identity::draw(grant.fleet.clone(), grant.fleet_name.clone(), token.verifying_keys.clone(), name)?
            }
        };
        Ok(Self { identity, is_new, grant })
    }

    /// Opens the store, by the keys that the token names if a node serves it. A machine that is in already takes these for good, by the word
    /// of the fleet key that it knows: the node may have been rebuilt.
    pub async fn store(&self, settings: &Settings, token: &Token) -> Result<Arc<dyn Store>, OperatorError> {
        let servers = self.grant.servers.clone();
        if settings.store.starts_with(SERVED) && servers.is_empty() && self.is_new {
            let what = "the token does not say by which key the node that serves the store is known";
            return Err(Refusal::new(what, "ask for another, made with the configuration of now: `certfleet invite NODE`").into());
        }
        if self.is_new {
            let credentials = Credentials { key: self.identity.signing_key.clone(), servers: Arc::new(move || servers.clone()) };
            return Ok(certfleet_store::open_with(&settings.store, Some(&credentials)).await?);
        }
        if !servers.is_empty() && token.grant.verify(&self.identity.verifying_keys).is_ok() {
            servers::pin(&settings.state, &servers)?;
        }
        let credentials = servers::credentials(&settings.state, &self.identity);
        Ok(certfleet_store::open_with(&settings.store, Some(&credentials)).await?)
    }
}

fn granted(token: &Token) -> Result<Grant, MembershipError> {
    token.grant().map_err(|error| Refusal::new(error.to_string(), "ask for another token").into())
}

/// Asks to become the node that the token invites.
pub async fn join(
    store: &dyn Store,
    settings: &Settings,
    token: &Token,
    joiner: Joiner,
    now: Timestamp,
) -> Result<(Identity, Joined), MembershipError> {
    let Joiner { identity, is_new, grant } = joiner;
    our_fleet(store, &identity).await?;
    // Before the members: who is let in is written there first, and only then no more listed here.
    let asked = read(store, &RecordKey::Joining(identity.node.clone())).await?;
    let view = view_of(store, settings, &identity, now).await?;
    if let Some(why) = view.not_at_home() {
        return refused(why, "then join");
    }
    if view.fleet.iter().flat_map(|fleet| &fleet.removals).any(|removal| removal.identity == identity.identity) {
        let file = settings.state.join("identity.json");
        return refused(
            format!("this machine, node {}, was removed from fleet {}", identity.node, identity.fleet_name),
            format!("to let it in as a new one, remove {} and ask for a new token", file.display()),
        );
    }
    if view.nodes.get(&identity.node).is_some_and(|member| member.identity == identity.identity) {
        return Ok((identity, Joined::Member(Change::Nothing)));
    }
    check_token(&view, &grant, &identity, now)?;
    if is_new && !grant.servers.is_empty() {
        servers::pin(&settings.state, &grant.servers)?;
    }
    identity.save(&settings.state)?;
    let asked = ask(store, &identity, token, asked, now).await;
    if is_new && matches!(asked, Err(MembershipError::Refused(_) | MembershipError::Store(StoreError::NeedsOperator { .. }))) {
        Identity::forget(&settings.state);
        servers::unpin(&settings.state);
    }
    Ok((identity, Joined::Asking(asked?)))
}

fn same_machine(settings: &Settings, identity: Identity, grant: &Grant, node: Option<&NodeName>) -> Result<Identity, MembershipError> {
    if identity.fleet != grant.fleet {
        let file = settings.state.join("identity.json");
        return refused(
            format!("this machine is node {} of fleet {} already", identity.node, identity.fleet_name),
            format!("to give it to fleet {} of the token, remove {} first", grant.fleet_name, file.display()),
        );
    }
    match node.filter(|wanted| **wanted != identity.node) {
        Some(wanted) => refused(format!("this machine is node {} already, not {wanted}", identity.node), NAME_IS_FIXED),
        None => Ok(identity),
    }
}

fn joining_name(settings: &Settings, grant: &Grant, node: Option<&NodeName>) -> Result<NodeName, MembershipError> {
    let name = node.cloned().or_else(|| only_node(grant)).unwrap_or_else(|| settings.node.clone());
    if grant.node.matches(&name) {
        return Ok(name);
    }
    refused(format!("the token invites {}, not {name}", grant.node), "say `--node NAME` with a name that fits, or ask for another token")
}

/// What an `issue` node will look at before it lets the machine in, said now.
fn check_token(view: &View, grant: &Grant, identity: &Identity, now: Timestamp) -> Result<(), MembershipError> {
    let (node, anew) = (&identity.node, format!("ask for a new one: `certfleet invite {}`", identity.node));
    let used = view.invitations.get(&grant.id).map_or(&[][..], |invitation| invitation.used_by.as_slice());
    let taken = view.nodes.contains_key(node) && !view.is_removed(node);
    match () {
        () if used.iter().any(|by| by.identity == identity.identity) => Ok(()),
        () if !grant.node.matches(node) => {
            refused(format!("the token invites {}, not {node}", grant.node), "ask for one of this node's own")
        }
        () if grant.expires_at <= now => refused(format!("the token expired at {}", grant.expires_at), anew),
        () if view.fleet.as_ref().is_some_and(|fleet| fleet.epoch != grant.epoch) => {
            refused("the token is from before the store was restored from a backup", anew)
        }
        () if used.len() >= grant.uses as usize => refused(format!("the token is used up: it was for {} node(s)", grant.uses), anew),
        () if taken && !grant.replace => refused(
            format!("the fleet has a node {node} already"),
            format!("if this machine takes its place, invite it with `certfleet invite {node} --replace`, else join under another name"),
        ),
        () => Ok(()),
    }
}

/// `asked`: what stood under the name before the members were looked at.
async fn ask(
    store: &dyn Store,
    identity: &Identity,
    token: &Token,
    asked: Option<(Envelope, Revision)>,
    now: Timestamp,
) -> Result<Change, MembershipError> {
    let grant = granted(token)?;
    let key = RecordKey::Joining(identity.node.clone());
    let expect = match asked {
        // With another token it asks anew: that one may be void by now.
        Some((envelope, revision)) => match record::<NodeRecord>(&key, &envelope) {
            Ok(there) if there.identity == identity.identity && there.grant.as_ref() == Some(&token.grant) => return Ok(Change::Nothing),
            _ => Expect::Revision(revision),
        },
        None => Expect::Absent,
    };
    let (signing_key, sealing_key) = identity.public_keys();
    let proof = Proof { invitation: &grant.id, node: &identity.node, identity: &identity.identity, keys: (&signing_key, &sealing_key) };
    let member = NodeRecord {
        name: identity.node.clone(),
        identity: identity.identity.clone(),
        signing_key,
        sealing_key,
        granted: grant.roles,
        joined_at: now,
        grant: Some(token.grant.clone()),
        proof: Some(proof.sign(&token.join_key)),
        extra: Default::default(),
    };
    match put(store, &Pen::new(identity), &key, &member, &expect, None).await? {
        Settled::Done(_) => Ok(Change::Made),
        Settled::Conflict => refused(
            format!("another machine asks to join as {} at the same moment", identity.node),
            "join under another name: `--node NAME`",
        ),
    }
}
