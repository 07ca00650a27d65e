//! What an operator's commands do. They work on the store directly, so that they work whether the daemon runs or not; `status` asks the
//! daemon first, since it alone has watched who is alive.

mod account;
mod certificates;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::decide::Plan;
use certfleet_core::names::NodeName;
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::view::{LIVE_SECONDS, Me, StoreState, View};
use certfleet_store::Store;

use crate::config::{self, Settings};
use crate::identity::{Identity, host_name};
use crate::membership::{MembershipError, our_fleet};
use crate::refusal::Refusal;
use crate::status::{Status, status};
use crate::trust;

pub use account::{account_export, account_import, account_show};
pub use certificates::{history, renew, rollout_back, rollout_resume};

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
        Ok(certfleet_store::open(&self.settings.store).await?)
    }

    /// The store, made if it is not there. For `init` only.
    pub async fn store_or_new(&self) -> Result<Arc<dyn Store>, OperatorError> {
        Ok(certfleet_store::open_or_create(&self.settings.store).await?)
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
        let view = view_from_store(store.as_ref(), &self.settings, &identity, now).await?;
        // Nobody carries out a plan here, so there is none to tell of.
        Ok(status(&view, &Plan::default(), store.kind(), now))
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
pub async fn view_from_store(store: &dyn Store, settings: &Settings, identity: &Identity, now: Now) -> Result<View, OperatorError> {
    let me = Me {
        node: identity.node.clone(),
        incarnation: "command".parse().expect("letters are a name"),
        identity: identity.identity.clone(),
        fleet: identity.fleet.clone(),
        configured: settings.roles.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let mut view = View::new(me, settings.spec.clone());
    view.local.memory = crate::memory::load(&settings.state)?;
    for prefix in ["fleet", "nodes", "presence", "accounts", "certs", "reports"] {
        let listing = store.list(prefix).await?;
        listing.entries.iter().for_each(|(key, stored)| view.apply(key, Some((&stored.envelope, &stored.revision)), now.mono));
        listing.unreadable.into_iter().for_each(|(key, why)| view.refuse(&key, why));
    }
    for seen in view.presence.values_mut() {
        let silent = now.wall.as_second().saturating_sub(seen.value.at.as_second());
        if silent > LIVE_SECONDS.cast_signed() {
            seen.changed_at = Mono::default();
        }
    }
    view.local.store = StoreState::Ready;
    Ok(view)
}
