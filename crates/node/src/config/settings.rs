//! What one node makes of the configuration: everything checked, every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use certfleet_core::names::{Identifier, IssuerName, NodeName, TargetName};
use certfleet_core::spec::{FleetSpec, Roles};
use certfleet_deploy::TargetConfig;
use serde::{Deserialize, Serialize};

/// The node's own directory unless configured.
pub const STATE_DEFAULT: &str = "/var/lib/certfleet";
/// Where http-01 is answered unless configured.
pub const HTTP_DEFAULT: &str = "[::]:80";
/// The admin socket unless configured.
pub const ADMIN_DEFAULT: &str = "/run/certfleet/admin.sock";

/// What one node makes of the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which node.
    pub node: NodeName,
    /// The fleet's name.
    pub fleet: String,
    /// The store's URL.
    pub store: String,
    /// The store's URL as it is for nodes whose table says nothing else.
    pub fleet_store: String,
    /// Where this node serves its store to the others, if it does.
    pub serve: Option<String>,
    /// Which node serves its store.
    pub server: Option<NodeName>,
    /// The node's own directory.
    pub state: PathBuf,
    /// The configured roles; the granted ones may be fewer.
    pub roles: Roles,
    /// Answering challenges.
    pub answer: AnswerSettings,
    /// The admin listener.
    pub admin: AdminSettings,
    /// Where metrics are served, if anywhere beside the admin listener.
    pub metrics: Option<SocketAddr>,
    /// Log lines.
    pub log: LogSettings,
    /// The part that is the same on every node.
    pub spec: FleetSpec,
    /// Roots to trust instead of the system's, by issuer.
    pub issuer_roots: BTreeMap<IssuerName, PathBuf>,
    /// Roots that the chains of an issuer's certificates must lead to.
    pub chain_roots: BTreeMap<IssuerName, PathBuf>,
    /// The targets that this node has.
    pub targets: BTreeMap<TargetName, TargetConfig>,
    /// All targets, as their tables read with this node's overlays; for [`Self::print`].
    pub target_tables: BTreeMap<TargetName, toml::Table>,
}

/// `[answer]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerSettings {
    /// Where to listen: `address:port` or `unix:/path`; empty if the web server forwards instead.
    pub http: Vec<String>,
    /// Whether other requests for managed names are sent to https.
    pub redirect: bool,
    /// Name pattern → account thumbprint, for accounts of fleets that share no store with this node.
    pub thumbprints: Vec<(Identifier, String)>,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// A socket's path, or a loopback `address:port`.
    pub listen: String,
    /// The group that may use the socket, beside root and the service's user.
    pub group: Option<String>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// The least important lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// And what may need attention.
    Warn,
    /// And one line per finished action.
    #[default]
    Info,
    /// And the way there.
    Debug,
    /// And everything.
    Trace,
}
