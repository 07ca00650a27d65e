//! What an operator's commands do. They work on the store directly, so that they work whether the daemon runs or not; `status` asks the
//! daemon first, since it alone has watched who is alive.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use certfleet_acme::AccountKey;
use certfleet_core::decide::{Plan, go_back, request_renewal, resume_rollout};
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Generation, NodeName};
use certfleet_core::records::{AccountKeyRecord, AccountRecord, AttemptEnd, CertRecord, HistoryEntry, VersionRecord};
use certfleet_core::secret::Secret;
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::view::{LIVE_SECONDS, Me, StoreState, View};
use certfleet_core::x509::Leaf;
use certfleet_store::{Settled, Store, put_settled};

use crate::config::{self, Settings};
use crate::identity::{Identity, host_name};
use crate::membership::{MembershipError, our_fleet, read};
use crate::refusal::{Refusal, unusable_key};
use crate::status::{Status, status};
use crate::trust;

/// How often a refused compare-and-swap of a command is tried again.
const CAS_TRIES_MAX: u32 = 20;
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

/// Changes a certificate's record by compare-and-swap, again while others change it.
async fn change(
    store: &dyn Store,
    identity: &Identity,
    cert: &CertName,
    change: impl Fn(&CertRecord) -> Result<CertRecord, OperatorError>,
) -> Result<CertRecord, OperatorError> {
    let key = RecordKey::Cert(cert.clone());
    for _ in 0..CAS_TRIES_MAX {
        let Some((record, revision)) = read::<CertRecord>(store, &key).await? else { return Err(no_record(store, cert).await?.into()) };
        let changed = change(&record)?;
        let envelope = trust::wrap(&identity.node, &changed)?;
        match put_settled(store, &key.key(), &envelope, &Expect::Revision(revision)).await? {
            Settled::Done(_) => return Ok(changed),
            Settled::Conflict => {}
        }
    }
    refused(format!("{cert} is being changed by others all the time"), "try again")
}

async fn no_record(store: &dyn Store, cert: &CertName) -> Result<Refusal, OperatorError> {
    let listing = store.list("certs").await?;
    let names: Vec<String> = listing.entries.iter().filter_map(|(key, _)| key.as_str().strip_prefix("certs/").map(str::to_owned)).collect();
    let nearest = names.iter().max_by(|a, b| strsim::jaro_winkler(a, cert.as_str()).total_cmp(&strsim::jaro_winkler(b, cert.as_str())));
    Ok(match nearest {
        Some(nearest) => {
            Refusal::new(format!("the fleet has no certificate {cert}"), format!("did you mean {nearest}? `certfleet status` lists them"))
        }
        None => Refusal::new(
            format!("the fleet has no certificate {cert} yet"),
            "it gets one soon after a node runs with it in its configuration; `certfleet status` says how far it is",
        ),
    })
}

/// Asks for a new generation; a running attempt is what was asked for. Gives the generation that is placed now.
pub async fn renew(machine: &Machine, cert: &CertName) -> Result<Option<Generation>, OperatorError> {
    let (store, identity) = machine.fleet_store().await?;
    let now = Now { wall: Timestamp::now(), mono: LATE };
    let changed = change(store.as_ref(), &identity, cert, |record| match record.retired {
        true => refused(format!("{cert} is retired: no configuration names it any more"), "put it back into the configuration first"),
        false => Ok(request_renewal(record, now)),
    });
    Ok(changed.await?.placed.map(|placed| placed.placement.generation))
}

/// A halted rollout goes on.
pub async fn rollout_resume(machine: &Machine, cert: &CertName) -> Result<(), OperatorError> {
    let (store, identity) = machine.fleet_store().await?;
    change(store.as_ref(), &identity, cert, |record| Ok(resume_rollout(record))).await.map(drop)
}

/// The fleet goes back to `to`, or to the generation before the placed one. Gives (from, to).
pub async fn rollout_back(machine: &Machine, cert: &CertName, to: Option<Generation>) -> Result<(Generation, Generation), OperatorError> {
    let (store, identity) = machine.fleet_store().await?;
    let now = Now { wall: Timestamp::now(), mono: LATE };
    let view = view_from_store(store.as_ref(), &machine.settings, &identity, now).await?;
    let Some(record) = view.certs.get(cert).map(|seen| &seen.value) else { return Err(no_record(store.as_ref(), cert).await?.into()) };
    let Some(from) = record.placed.as_ref().map(|placed| placed.placement.generation) else {
        return refused(format!("{cert} has no generation yet, so there is none to go back to"), "`certfleet status` says how far it is");
    };
    let versions = versions(store.as_ref(), cert).await?;
    let older = |version: &&(VersionRecord, certfleet_core::names::VersionHash)| match to {
        Some(to) => version.0.generation == to,
        None => version.0.generation < from,
    };
    let Some((version, hash)) = versions.iter().rfind(older) else {
        let known: Vec<String> = versions.iter().map(|(version, _)| version.generation.to_string()).collect();
        let wanted = to.map_or("an older one".to_owned(), |to| format!("generation {to}"));
        return refused(
            format!("{cert} serves generation {from}, and {wanted} is not in the store"),
            format!("the store holds {}; `certfleet history {cert}` lists what was issued", known.join(", ")),
        );
    };
    let leaf = Leaf::from_pem(&version.chain).map_err(|e| {
        Refusal::new(
            format!("versions/{cert}/{} in the store cannot be used: {e}", version.generation),
            "choose another generation with `--to N`",
        )
    })?;
    if leaf.not_after <= now.wall {
        return refused(
            format!("generation {} of {cert} expired at {}", version.generation, leaf.not_after),
            format!("get a new one instead: `certfleet renew {cert}`"),
        );
    }
    if version.generation == from {
        return refused(format!("{cert} serves generation {from} already"), "nothing needs to be done");
    }
    change(store.as_ref(), &identity, cert, |record| Ok(go_back(&view, cert, record, version, hash.clone(), &leaf, now))).await?;
    Ok((from, version.generation))
}

/// The stored versions of a certificate, oldest first.
async fn versions(store: &dyn Store, cert: &CertName) -> Result<Vec<(VersionRecord, certfleet_core::names::VersionHash)>, OperatorError> {
    let listing = store.list(&format!("versions/{cert}")).await?;
    let readable =
        listing.entries.into_iter().filter_map(|(_, stored)| Some((stored.envelope.record().ok()?, stored.envelope.body_hash())));
    let mut versions: Vec<(VersionRecord, _)> = readable.collect();
    versions.sort_by_key(|(version, _)| version.generation);
    Ok(versions)
}

/// The latest attempts that ended, oldest first.
pub async fn history(machine: &Machine, cert: &CertName) -> Result<Vec<HistoryEntry>, OperatorError> {
    let (store, _) = machine.fleet_store().await?;
    match read::<CertRecord>(store.as_ref(), &RecordKey::Cert(cert.clone())).await? {
        Some((record, _)) => Ok(record.history),
        None => Err(no_record(store.as_ref(), cert).await?.into()),
    }
}

/// One line about how an attempt ended.
pub fn end_text(end: &AttemptEnd) -> String {
    crate::status::describe_end(end)
}

/// The account key, if there is one, and the accounts it is registered as.
pub async fn account_show(machine: &Machine) -> Result<(Option<AccountKeyRecord>, Vec<AccountRecord>), OperatorError> {
    let (store, _) = machine.fleet_store().await?;
    let key = read::<AccountKeyRecord>(store.as_ref(), &RecordKey::AccountKey).await?.map(|(record, _)| record);
    let listing = store.list("accounts").await?;
    let accounts = listing.entries.into_iter().filter_map(|(_, stored)| stored.envelope.record().ok()).collect();
    Ok((key, accounts))
}

/// The account key as PKCS#8 in PEM.
pub async fn account_export(machine: &Machine) -> Result<Secret, OperatorError> {
    match account_show(machine).await?.0 {
        Some(record) => Ok(trust::open(&record.key)),
        None => refused("the fleet has no account key yet", "a node with the role `issue` makes one when it runs; or import yours"),
    }
}

/// Makes `pem` the fleet's account key. Only before another key is in use, unless `replace`.
pub async fn account_import(machine: &Machine, pem: &str, replace: bool) -> Result<(String, bool), OperatorError> {
    let key = AccountKey::from_pem(pem).map_err(unusable_key)?;
    let (store, identity) = machine.fleet_store().await?;
    let before = read::<AccountKeyRecord>(store.as_ref(), &RecordKey::AccountKey).await?;
    let expect = match before {
        Some((record, _)) if record.thumbprint == key.thumbprint() => return Ok((record.thumbprint, false)),
        Some((record, _)) if !replace => {
            return refused(
                format!("the fleet has another account key already (thumbprint {})", record.thumbprint),
                "with `--replace` it is replaced, and the accounts are registered anew with the imported one",
            );
        }
        Some((_, revision)) => Expect::Revision(revision),
        None => Expect::Absent,
    };
    let record = AccountKeyRecord {
        thumbprint: key.thumbprint(),
        created_at: Timestamp::now(),
        key: trust::seal(&key.to_pem()),
        extra: Default::default(),
    };
    let envelope = trust::wrap(&identity.node, &record)?;
    match put_settled(store.as_ref(), &RecordKey::AccountKey.key(), &envelope, &expect).await? {
        Settled::Done(_) => Ok((record.thumbprint, true)),
        Settled::Conflict => refused("another key was stored at the same moment", "look with `certfleet account show`"),
    }
}
