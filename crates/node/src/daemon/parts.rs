//! What a daemon is made of, from its settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use certfleet_acme::{CertificateAuthority, Client};
use certfleet_core::names::{IssuerName, TargetName};
use certfleet_deploy::Target;
use certfleet_store::Store;

use crate::clock::Clock;
use crate::config::Settings;
use crate::executor::Executor;
use crate::metrics::Metrics;

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The state directory.
    #[error(transparent)]
    Disk(#[from] crate::disk::DiskError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] crate::identity::RandomError),
    /// Another daemon runs with this state directory.
    #[error("another certfleet runs with {0}; one machine runs one daemon (stop it first, or configure another `fleet.state`)")]
    Running(String),
    /// A target or issuer cannot be made.
    #[error("{0}")]
    Setup(String),
}

/// One daemon for each state directory, by a lock on a local file.
pub(super) fn lock_state(settings: &Settings) -> Result<std::fs::File, DaemonError> {
    crate::disk::make_private_dir(&settings.state)?;
    let path = settings.state.join("lock");
    let failed = |source| crate::disk::DiskError { path: path.clone(), doing: "opened", source };
    let file = std::fs::File::options().create(true).append(true).open(&path).map_err(failed)?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    locked.map_err(|_| DaemonError::Running(settings.state.display().to_string()))?;
    Ok(file)
}

/// What carries out this node's actions.
pub(super) fn executor(
    settings: &Settings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> Result<Executor, DaemonError> {
    Ok(Executor {
        node: settings.node.clone(),
        store,
        authorities: authorities(settings)?,
        targets: targets(settings)?,
        state: settings.state.clone(),
        clock,
        metrics,
    })
}

fn authorities(settings: &Settings) -> Result<BTreeMap<IssuerName, Arc<dyn CertificateAuthority>>, DaemonError> {
    let mut authorities: BTreeMap<IssuerName, Arc<dyn CertificateAuthority>> = BTreeMap::new();
    for (name, issuer) in &settings.spec.issuers {
        let root = settings.issuer_roots.get(name).map(|path| {
            let failed = |e| DaemonError::Setup(format!("issuer.{name}: root {} cannot be read: {e}", path.display()));
            std::fs::read_to_string(path).map_err(failed)
        });
        let root = root.transpose()?;
        let client = Client::new(&issuer.directory, root.as_deref()).map_err(|e| DaemonError::Setup(format!("issuer.{name}: {e}")))?;
        authorities.insert(name.clone(), Arc::new(client));
    }
    Ok(authorities)
}

fn targets(settings: &Settings) -> Result<BTreeMap<TargetName, Arc<dyn Target>>, DaemonError> {
    let built = settings.targets.iter().map(|(name, config)| {
        let target = config.build(name.clone(), &settings.node).map_err(|e| DaemonError::Setup(e.to_string()))?;
        Ok((name.clone(), target))
    });
    built.collect()
}
