//! What an operator's commands do. They work on the store directly, so that they work whether the daemon runs or not; `status` asks the
//! daemon first, since it alone has watched who is alive.

mod account;
mod certificates;
#[cfg(test)]
pub(crate) mod lab;
mod staying;
mod store;
mod told;
mod upgrade;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::decide::Plan;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::spec::Role;
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::trust::{Roster, SigningKey, VerifyingKey};
use certfleet_core::view::{LIVE_SECONDS, Me, StoreState, View};
use certfleet_store::{Listing, Store};

use self::staying::StayingStore;
use crate::config::{self, Settings};
use crate::identity::{Identity, host_name};
use crate::membership::{MembershipError, our_fleet};
use crate::observe;
use crate::refusal::Refusal;
use crate::servers;
use crate::status::{Status, status};
use crate::trust;

pub use account::{account_export, account_import, account_rotate, account_show};
pub use certificates::{history, renew, rollout_back, rollout_resume};
#[cfg(fuzzing)]
pub use store::read_backup;
pub use store::{
    BACKUP_BYTES_MAX, BackedUp, CertificateKey, Checked, Copied, Copying, KnownCertificate, Problem, Recovered, Restored, Restoring,
    backup_of, check_store_url, restore_to, save_backup, store_backup, store_check, store_copy, store_recover, store_restore,
};
pub use upgrade::{MemberFormat, Upgrade, fleet_upgrade};

/// Names the node where the host's name does not.
pub const NODE_VARIABLE: &str = "CERTFLEET_NODE";
/// A monotonic moment late enough to lie after every "long ago".
const LATE: Mono = Mono(Duration::from_secs(1_000_000));

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] certfleet_store::OpenError),
    /// Membership, the state directory, or the store.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The operator has to do something else.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<certfleet_store::StoreError> for OperatorError {
    fn from(error: certfleet_store::StoreError) -> Self {
        Self::Membership(error.into())
    }
}

impl From<crate::disk::DiskError> for OperatorError {
    fn from(error: crate::disk::DiskError) -> Self {
        Self::Membership(error.into())
    }
}

impl From<trust::WrapError> for OperatorError {
    fn from(error: trust::WrapError) -> Self {
        Self::Membership(error.into())
    }
}

fn refused<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, OperatorError> {
    Err(Refusal::new(what, remedy).into())
}

/// This machine's settings and identity.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where the configuration is.
    pub config: PathBuf,
    /// What this node makes of it.
    pub settings: Settings,
    /// Who it is, once it has joined.
    pub identity: Option<Identity>,
}

impl Machine {
    /// Reads the configuration as the node that this machine is, or will be: `node`, else the name it joined with, else the host's.
    pub fn load(config: &Path, node: Option<&NodeName>) -> Result<Self, OperatorError> {
        Self::of(&config::load(config)?, config, node)
    }

    /// As [`Self::load`], of a configuration that was read before.
    pub fn of(configuration: &config::Configuration, config: &Path, node: Option<&NodeName>) -> Result<Self, OperatorError> {
        let Some(first) = node.cloned().map_or_else(usual_name, |node| Ok(Some(node)))? else {
            return refused("this machine's host name is no node name", format!("say `--node NAME`, or set ${NODE_VARIABLE}"));
        };
        let settings = configuration.for_node(&first)?;
        let identity = Identity::load(&settings.state)?;
        match &identity {
            Some(identity) if identity.node != first && node.is_none() => {
                let settings = configuration.for_node(&identity.node)?;
                Ok(Self { config: config.to_owned(), settings, identity: Some(identity.clone()) })
            }
            _ => Ok(Self { config: config.to_owned(), settings, identity }),
        }
    }

    /// The store, which must be there.
    pub async fn store(&self) -> Result<Arc<dyn Store>, OperatorError> {
        let credentials = self.identity.as_ref().map(|identity| servers::credentials(&self.settings.state, identity));
        Ok(certfleet_store::open_with(&self.settings.store, credentials.as_ref()).await?)
    }

    /// The store, made if it is not there. For `init` only.
    pub async fn store_or_new(&self) -> Result<Arc<dyn Store>, OperatorError> {
        Ok(certfleet_store::open_or_create(&self.settings.store).await?)
    }

    /// The store, made if it is not there and this machine can. For `store recover` and `store restore`.
    pub async fn store_to_fill(&self) -> Result<Arc<dyn Store>, OperatorError> {
        if self.settings.store.starts_with(config::SERVED) { self.store().await } else { self.store_or_new().await }
    }

    /// The identity, or what to do to get one.
    pub fn member(&self) -> Result<&Identity, OperatorError> {
        let remedy = "on the first node run `certfleet init`, on every other `certfleet join TOKEN`";
        self.identity.as_ref().ok_or_else(|| Refusal::new("this machine has not joined a fleet", remedy).into())
    }

    /// The store, checked to hold the fleet that this machine joined.
    pub async fn fleet_store(&self) -> Result<(Arc<dyn Store>, Identity), OperatorError> {
        let identity = self.member()?.clone();
        let store = self.store().await?;
        our_fleet(store.as_ref(), &identity).await?;
        Ok((store, identity))
    }

    /// Where a machine that joins finds the store, and by which keys it knows who serves it.
    pub fn meeting_place(&self, view: &View) -> Result<(String, Vec<VerifyingKey>), OperatorError> {
        let url = &self.settings.fleet_store;
        if !url.starts_with(config::SERVED) {
            return Ok((self.settings.store.clone(), Vec::new()));
        }
        let Some(server) = &self.settings.server else {
            return refused(
                format!("no node serves the store at {url}"),
                "say which does: `[node.\"NAME\"]` with `serve` and a `store` of its own, in the configuration of all nodes",
            );
        };
        match view.roster.members.get(server) {
            Some(member) => Ok((url.clone(), vec![member.signing_key])),
            None => refused(
                format!("node {server}, which is to serve the store, is not in the fleet"),
                "see that its name in `[node.\"NAME\"]` is that of `certfleet node ls`",
            ),
        }
    }

    /// The fleet key: from `file`, else from the state directory.
    pub fn fleet_key(&self, file: Option<&Path>) -> Result<SigningKey, OperatorError> {
        Ok(crate::fleet_key::find(&self.settings.state, file)?)
    }

    /// All that the store says, as far as it counts; the fleet must live in it. What is written to the store that this gives is refused if the
    /// fleet moves away at the same moment.
    pub async fn standing(&self) -> Result<(Arc<dyn Store>, Identity, View), OperatorError> {
        let (store, identity) = self.fleet_store().await?;
        let view = view_of(store.as_ref(), &self.settings, &identity, Timestamp::now()).await?;
        if let Some(why) = view.not_at_home() {
            return refused(why, "nothing was changed");
        }
        let store = Arc::new(StayingStore::new(store, Roster::clone(&view.roster)));
        Ok((store, identity, view))
    }

    /// As [`Self::standing`], for what only an `issue` node may write.
    pub async fn issuing(&self) -> Result<(Arc<dyn Store>, Identity, View), OperatorError> {
        let (store, identity, view) = self.standing().await?;
        if let Err(why) = view.membership() {
            return refused(why, "`certfleet node ls` says who is in");
        }
        Self::check_issues(&view, &identity)?;
        Ok((store, identity, view))
    }

    fn check_issues(view: &View, identity: &Identity) -> Result<(), OperatorError> {
        let may = view.nodes.get(&identity.node).is_some_and(|record| record.granted.contains(&Role::Issue));
        if !may {
            let others: Vec<String> = view.roster.with_role(Role::Issue).map(|(node, _)| node.to_string()).collect();
            return refused(
                format!("node {} was not granted the role issue, and the others would not believe it", identity.node),
                format!("give the command on one of {}", others.join(", ")),
            );
        }
        Ok(())
    }

    /// Where the daemon's admin socket is, if it is one.
    pub fn admin_socket(&self) -> PathBuf {
        let listen = &self.settings.admin.listen;
        PathBuf::from(listen.strip_prefix("unix:").unwrap_or(listen))
    }

    /// `status`, from the daemon if it runs, else from the store. The second part says when it is the latter.
    pub async fn status(&self) -> Result<(Status, Option<String>), OperatorError> {
        match certfleet_edge::admin_get(&self.admin_socket(), "/status").await {
            Ok((200, body)) => match serde_json::from_str(&body) {
                Ok(status) => Ok((status, None)),
                Err(error) => refused(
                    format!("the daemon's answer cannot be read: {error}"),
                    "see that it runs in the same version as this command; restart it after an upgrade",
                ),
            },
            Ok((code, _)) => {
                refused(format!("the daemon answers {code} on {}", self.admin_socket().display()), "its log says what is wrong")
            }
            Err(error) => {
                let status = self.status_from_store().await?;
                Ok((
                    status,
                    Some(format!("{}; this is what the store says, and who is live is judged by time stamps", self.unasked(&error))),
                ))
            }
        }
    }

    /// Why the daemon was not asked. Commands reach it through a Unix socket only.
    fn unasked(&self, error: &certfleet_edge::AdminClientError) -> String {
        match self.settings.admin.listen.parse::<std::net::SocketAddr>() {
            Ok(address) => format!("the daemon's admin listener is {address}, and this command asks through a Unix socket only"),
            Err(_) => error.to_string(),
        }
    }

    async fn status_from_store(&self) -> Result<Status, OperatorError> {
        let (store, identity) = self.fleet_store().await?;
        let now = Now { wall: Timestamp::now(), mono: LATE };
        let view = view_of(store.as_ref(), &self.settings, &identity, now.wall).await?;
        // Nobody carries out a plan here, so there is none to tell of.
        let plan = Plan { troubles: view.not_at_home().into_iter().collect(), ..Plan::default() };
        Ok(status(&view, &plan, store.kind(), now))
    }
}

/// The name this machine goes by before it joins: `$CERTFLEET_NODE`, for several nodes on one machine, else the host's.
fn usual_name() -> Result<Option<NodeName>, OperatorError> {
    match std::env::var(NODE_VARIABLE) {
        Ok(name) if !name.is_empty() => {
            name.parse().map(Some).or_else(|e| refused(format!("${NODE_VARIABLE}: {e}"), "correct or unset it"))
        }
        _ => Ok(host_name()),
    }
}

/// A view as a daemon would have it, but for who is alive: that is judged by the time stamps in the presences.
pub async fn view_of(store: &dyn Store, settings: &Settings, identity: &Identity, wall: Timestamp) -> Result<View, MembershipError> {
    let (found, unreadable) = observe::list(store, &identity.node).await?;
    let entries = found.into_iter().filter_map(|(key, stored)| Some((key, stored?))).collect();
    view_from(Listing { entries, unreadable }, store.withholds(), settings, identity, wall)
}

/// The same, of what was read before.
fn view_from(
    listing: Listing,
    withholds: bool,
    settings: &Settings,
    identity: &Identity,
    wall: Timestamp,
) -> Result<View, MembershipError> {
    let mut view = View::new(me(settings, identity), settings.spec.clone());
    view.local.withholds = withholds;
    crate::home::recall(&mut view, &settings.state, &settings.store, LATE)?;
    // What the store holds is of interest wherever the fleet lives, so that is taken in last.
    let (home, entries): (Vec<_>, Vec<_>) = listing.entries.into_iter().partition(|(key, _)| *key == RecordKey::Home.key());
    let mut there: BTreeSet<Key> = home.iter().map(|(key, _)| key.clone()).collect();
    for (key, stored) in entries {
        view.apply(&key, Some((&stored.envelope, &stored.revision)), LATE);
        there.insert(key);
    }
    for value in listing.unreadable {
        value.revision.iter().for_each(|revision| view.refuse(&value.key, &value.why, revision, false, LATE));
        there.insert(value.key);
    }
    for key in view.known_keys().into_iter().filter(|key| !there.contains(key)) {
        view.apply(&key, None, LATE);
    }
    for (key, stored) in home {
        view.apply(&key, Some((&stored.envelope, &stored.revision)), LATE);
    }
    for seen in view.presence.values_mut() {
        let silent = wall.as_second().saturating_sub(seen.value.at.as_second());
        if silent > LIVE_SECONDS.cast_signed() {
            seen.changed_at = Mono::default();
        }
    }
    view.local.store = StoreState::Ready;
    Ok(view)
}

/// Whether the store shows this node only a part of what it holds.
fn sees_part(view: &View) -> bool {
    view.local.withholds && !view.sight(&view.me.node).is_some_and(|sight| sight.is_whole())
}

/// Who a command is: this node, in no life of its own.
fn me(settings: &Settings, identity: &Identity) -> Me {
    Me {
        node: identity.node.clone(),
        incarnation: "command".parse().expect("letters are a name"),
        identity: identity.identity.clone(),
        fleet: identity.fleet.clone(),
        verifying_keys: identity.verifying_keys.clone(),
        configured: settings.roles.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}
