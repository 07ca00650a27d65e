//! What goes into a target, what comes out, and the trait between.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use async_trait::async_trait;
use certfleet_core::names::{CertName, Generation, Identifier, NodeName, TargetName};
use certfleet_core::secret::Secret;
use certfleet_core::x509::{ChainError, Leaf};

/// One certificate of one generation, with its key: all that a target needs to install it.
#[derive(Debug, Clone)]
pub struct Material {
    /// Whose it is.
    pub cert: CertName,
    /// The node it is installed on.
    pub node: NodeName,
    /// Which generation it is.
    pub generation: Generation,
    /// The names it is for.
    pub names: Vec<Identifier>,
    /// The chain, leaf first.
    pub chain_pem: String,
    /// The private key (PKCS#8, RFC 5958), PEM.
    pub key_pem: Secret,
    /// What the leaf says.
    pub leaf: Leaf,
}

impl Material {
    /// Reads the leaf out of the chain; the names are the leaf's.
    pub fn new(cert: CertName, node: NodeName, generation: Generation, chain_pem: String, key_pem: Secret) -> Result<Self, ChainError> {
        let leaf = Leaf::from_pem(&chain_pem)?;
        Ok(Self { cert, node, generation, names: leaf.names.clone(), chain_pem, key_pem, leaf })
    }
}

/// How far an installation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Written (and checked, and the server told, if it runs), but not seen served; the reason says why.
    Installed,
    /// A handshake showed it at every address that counts.
    Verified,
    /// It is not in place, or the server serves something else; the reason says why.
    Failed,
}

/// What became of one certificate at one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which certificate.
    pub cert: CertName,
    /// Which generation was asked for.
    pub generation: Generation,
    /// How far it came.
    pub state: State,
    /// Why it is not verified; for a person, one line, bounded, printable.
    pub reason: Option<String>,
    /// Whether a file was written (and stayed).
    pub changed: bool,
    /// How often the server was told to take it up; 0 when everything was right already.
    pub activations: u32,
}

/// One place on this machine that certificates are installed to.
///
/// Both calls with a batch answer one [`Outcome`] per material, in the batch's order. One call at a time runs on a target; others wait.
#[async_trait]
pub trait Target: Send + Sync + Debug {
    /// The name of its `[deploy.*]` table.
    fn name(&self) -> &TargetName;

    /// Its kind, for example `nginx`.
    fn kind(&self) -> &'static str;

    /// Whether it looks at what is served; if not, `Installed` is as far as it comes.
    fn verifies(&self) -> bool;

    /// Brings the batch into place with one check and one activation for all of it, and looks whether it is served. Idempotent: what is
    /// right already is not written and not activated again, but looked at always. Where a batch fails, its parts are tried, so that one
    /// bad certificate does not keep the others out.
    async fn converge(&self, batch: &[Material]) -> Vec<Outcome>;

    /// Looks whether the batch is in place and served; changes nothing.
    async fn verify(&self, batch: &[Material]) -> Vec<Outcome>;

    /// Makes sure that the server can start: finishes off an interrupted change (the old files come back), and writes a self-signed
    /// certificate if the target's files do not exist. `true` means that it wrote one. Never activates anything.
    async fn stand_in(&self, cert: &CertName, node: &NodeName, names: &[Identifier]) -> Result<bool, DeployError>;
}

/// Why a target's files could not be brought into place.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The operating system refuses.
    #[error("{path} cannot be {doing}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a participle.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The directory above the target's is missing; only the last part of a path is created.
    #[error("{dir} does not exist, so {wanted} cannot be created in it; create it, or mount what belongs there", dir = dir.display(), wanted = wanted.display())]
    NoParent {
        /// The missing directory.
        dir: PathBuf,
        /// What should be created in it.
        wanted: PathBuf,
    },
    /// No stand-in certificate could be made.
    #[error("no self-signed certificate can be made for {0}: {1}")]
    StandIn(CertName, String),
    /// A task of this process ended early.
    #[error("the work was stopped half-way: {0}")]
    Stopped(String),
}

/// Why a configured target cannot be built on this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The configuration says something that cannot be.
    #[error("deploy.{target}: {problem}")]
    Invalid {
        /// Which target.
        target: TargetName,
        /// What is wrong with it.
        problem: String,
    },
    /// The configured owner is not known here.
    #[error("deploy.{target}: there is no user `{user}` on this machine; create it, or give a number")]
    UnknownUser {
        /// Which target.
        target: TargetName,
        /// The name.
        user: String,
    },
    /// The configured group is not known here.
    #[error("deploy.{target}: there is no group `{group}` on this machine; create it, or give a number")]
    UnknownGroup {
        /// Which target.
        target: TargetName,
        /// The name.
        group: String,
    },
}
