//! What a daemon is made of, from its settings.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use certfleet_acme::Roots;
use certfleet_core::envelope::Envelope;
use certfleet_core::key::Key;
use certfleet_core::names::IssuerName;
use certfleet_core::trust::Roster;
use certfleet_core::view::{Me, View};
use certfleet_store::Store;

use super::surroundings::Surroundings;
use crate::clock::Clock;
use crate::config::Settings;
use crate::executor::Executor;
use crate::home;
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::metered::Metered;
use crate::metrics::Metrics;
use crate::trust::Pen;

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

/// One daemon for each state directory, by a lock on a local file, which nobody else can take.
pub(super) fn lock_state(settings: &Settings) -> Result<std::fs::File, DaemonError> {
    crate::disk::make_private_dir(&settings.state)?;
    let path = settings.state.join("lock");
    let failed = |source| crate::disk::DiskError { path: path.clone(), doing: "opened", source };
    let file = std::fs::File::options().create(true).append(true).mode(crate::disk::PRIVATE_FILE).open(&path).map_err(failed)?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    locked.map_err(|_| DaemonError::Running(settings.state.display().to_string()))?;
    Ok(file)
}

/// What carries out this node's actions.
pub(super) fn executor(settings: &Settings, kit: &Kit, surroundings: &dyn Surroundings) -> Result<Executor, DaemonError> {
    Ok(Executor {
        pen: kit.pen.clone(),
        roster: kit.roster.clone(),
        keeper: kit.keeper.clone(),
        store: kit.store.clone(),
        authorities: surroundings.authorities(settings)?,
        targets: surroundings.targets(settings)?,
        roots: roots(settings)?,
        keys: surroundings.keys(),
        clock: kit.clock.clone(),
        metrics: kit.metrics.clone(),
        opened: Default::default(),
    })
}

/// What a daemon is with one store: what it knows, and what carries out its actions.
pub(super) struct Life {
    pub view: View,
    pub kit: Kit,
    pub executor: Executor,
}

impl Life {
    /// A new one, with what earlier lives left on disk.
    pub fn begin(
        settings: &Settings,
        identity: &Identity,
        (clock, metrics): (&Arc<dyn Clock>, &Arc<Metrics>),
        surroundings: &dyn Surroundings,
    ) -> Result<Self, DaemonError> {
        let me = Me {
            node: identity.node.clone(),
            incarnation: surroundings.incarnation()?,
            identity: identity.identity.clone(),
            fleet: identity.fleet.clone(),
            verifying_keys: identity.verifying_keys.clone(),
            configured: settings.roles.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut view = View::new(me, settings.spec.clone());
        home::recall(&mut view, &settings.state, &settings.store, clock.now().mono)?;
        let kit = Kit {
            state: settings.state.clone(),
            url: settings.store.clone(),
            pen: Pen::new(identity),
            roster: Arc::new(ArcSwap::new(view.roster.arc().clone())),
            keeper: Keeper::new(&settings.state),
            store: Metered::new(surroundings.store(settings, identity), metrics.clone()),
            clock: clock.clone(),
            metrics: metrics.clone(),
            unkept: BTreeMap::new(),
        };
        let executor = executor(settings, &kit, surroundings)?;
        Ok(Self { view, kit, executor })
    }
}

/// What stays the same over a change of the configuration, but for another store.
pub(super) struct Kit {
    /// The state directory.
    pub state: PathBuf,
    /// Of the store.
    pub url: String,
    pub pen: Pen,
    pub roster: Arc<ArcSwap<Roster>>,
    pub keeper: Keeper,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    /// Records that could not be kept in the sealed cache.
    pub unkept: BTreeMap<Key, Envelope>,
}

/// The roots that chains must lead to: the configured ones; for a CA that the systems trust, the system's; else none is known.
fn roots(settings: &Settings) -> Result<BTreeMap<IssuerName, Arc<Roots>>, DaemonError> {
    let mut roots = BTreeMap::new();
    for (name, issuer) in &settings.spec.issuers {
        let of_issuer = match settings.chain_roots.get(name) {
            Some(path) => {
                let failed =
                    |why: String| DaemonError::Setup(format!("issuer.{name}: chain_root {} cannot be used: {why}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
                Roots::from_pem(&text).map_err(|e| failed(e.to_string()))?.of(&path.display().to_string())
            }
            None if is_publicly_trusted(&issuer.directory) => Roots::system().unwrap_or_else(|error| {
                tracing::warn!(event = "no-roots", issuer = %name, error = %error, "chains are checked without a root");
                Roots::none()
            }),
            None => Roots::none(),
        };
        roots.insert(name.clone(), Arc::new(of_issuer));
    }
    Ok(roots)
}

/// CAs whose roots the systems have, by the host of their production directory.
const PUBLIC_HOSTS: [&str; 4] = ["acme-v02.api.letsencrypt.org", "acme.zerossl.com", "dv.acme-v02.api.pki.goog", "acme.ssl.com"];

fn is_publicly_trusted(directory: &str) -> bool {
    let uri: Option<http::Uri> = directory.parse().ok();
    uri.as_ref().and_then(http::Uri::host).is_some_and(|host| PUBLIC_HOSTS.contains(&host))
}
