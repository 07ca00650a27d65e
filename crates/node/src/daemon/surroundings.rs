//! What a daemon touches outside of its state directory: this machine, or one that a simulator makes.
//!
//! Always holds: a daemon's own code runs in the tasks that it starts by [`Surroundings::start`] and in the future that runs it; when that is
//! dropped nothing of the daemon is left.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use certfleet_acme::{CertificateAuthority, Client, KeySource, SystemKeys};
use certfleet_core::names::{Incarnation, IssuerName, TargetName};
use certfleet_deploy::Target;
use certfleet_edge::{AnswerTable, Answers};
use certfleet_store::Store;
use tokio::task::JoinSet;

use super::parts::DaemonError;
use crate::central::Door;
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::identity::{Identity, RandomError, random_incarnation};
use crate::late_store::LateStore;
use crate::servers;

/// One of a daemon's tasks.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// The CAs, by issuer.
pub type Authorities = BTreeMap<IssuerName, Arc<dyn CertificateAuthority>>;
/// A node's targets.
pub type Targets = BTreeMap<TargetName, Arc<dyn Target>>;

/// What a daemon touches outside of its state directory.
pub trait Surroundings: Send + Sync + Debug {
    /// The name of a new life of the node.
    fn incarnation(&self) -> Result<Incarnation, RandomError>;
    /// The clocks.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Where private keys come from.
    fn keys(&self) -> Arc<dyn KeySource>;
    /// The store, which may not be there yet.
    fn store(&self, settings: &Settings, identity: &Identity) -> Arc<dyn Store>;
    /// The configured CAs.
    fn authorities(&self, settings: &Settings) -> Result<Authorities, DaemonError>;
    /// The configured targets.
    fn targets(&self, settings: &Settings) -> Result<Targets, DaemonError>;
    /// The table that challenges are answered from.
    fn answers(&self) -> AnswerTable;
    /// Whether the configured addresses are listened on.
    fn listens(&self) -> bool;
    /// Who gets in to the store of a node that serves it: for who asks by another way than the configured addresses.
    fn serves(&self, door: Arc<dyn Door>);
    /// Starts a task that ends with the daemon.
    fn start(&self, tasks: &mut JoinSet<()>, task: Task);
}

/// The machine that this process runs on.
#[derive(Debug, Default)]
pub struct ThisMachine;

impl Surroundings for ThisMachine {
    fn incarnation(&self) -> Result<Incarnation, RandomError> {
        random_incarnation()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::start())
    }

    fn keys(&self) -> Arc<dyn KeySource> {
        Arc::new(SystemKeys)
    }

    fn store(&self, settings: &Settings, identity: &Identity) -> Arc<dyn Store> {
        Arc::new(LateStore::new(&settings.store, servers::credentials(&settings.state, identity), identity.fleet.clone()))
    }

    fn authorities(&self, settings: &Settings) -> Result<Authorities, DaemonError> {
        authorities(settings)
    }

    fn targets(&self, settings: &Settings) -> Result<Targets, DaemonError> {
        targets(settings)
    }

    fn answers(&self) -> AnswerTable {
        Arc::new(arc_swap::ArcSwap::from_pointee(Answers::default()))
    }

    fn listens(&self) -> bool {
        true
    }

    fn serves(&self, _: Arc<dyn Door>) {}

    fn start(&self, tasks: &mut JoinSet<()>, task: Task) {
        tasks.spawn(task);
    }
}

fn authorities(settings: &Settings) -> Result<Authorities, DaemonError> {
    let mut authorities = Authorities::new();
    for (name, issuer) in &settings.spec.issuers {
        let root = settings.issuer_roots.get(name).map(|path| {
            let failed = |e| DaemonError::Setup(format!("issuer.{name}: root {} cannot be read: {e}", path.display()));
            std::fs::read_to_string(path).map_err(failed)
        });
        let root = root.transpose()?;
        let client = Client::new(&issuer.directory, root.as_deref()).map_err(|e| DaemonError::Setup(format!("issuer.{name}: {e}")))?;
        authorities.insert(name.clone(), Arc::new(client) as Arc<dyn CertificateAuthority>);
    }
    Ok(authorities)
}

fn targets(settings: &Settings) -> Result<Targets, DaemonError> {
    let built = settings.targets.iter().map(|(name, config)| {
        let target = config.build(name.clone(), &settings.node).map_err(|e| DaemonError::Setup(e.to_string()))?;
        Ok((name.clone(), target))
    });
    built.collect()
}
