//! A real server with a target that feeds it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certfleet_core::names::{CertName, NodeName};
use certfleet_deploy::{Target, TargetConfig};

/// The names that every rig's server is set up for.
pub const NAMES: usize = 20;

/// `site7.example.com`.
pub fn name(n: usize) -> String {
    format!("site{n}.example.com")
}

/// How one kind is set up.
#[allow(async_fn_in_trait, reason = "called from this crate only")]
pub trait Rig: Sized {
    /// Prepares the server under `home` for all [`NAMES`], without starting it; `None` where it is not installed.
    fn new(home: &Path) -> Option<Self>;
    /// The `[deploy.*]` table that goes with it, as TOML without `verify`.
    fn table(&self) -> String;
    /// Where its server listens.
    fn address(&self) -> SocketAddr;
    /// The file with the certificate's key.
    fn key_file(&self, cert: &CertName) -> PathBuf;
    /// Starts the server.
    async fn start(&mut self);
    /// Stops it.
    fn stop(&mut self);
    /// Waits until nothing of an earlier reload serves any more.
    async fn settled(&self) {}
    /// How often it was reloaded since it started.
    fn reloads(&self) -> usize;
    /// How many reloads one change may take.
    const RELOADS_PER_CHANGE: usize;

    /// The target, which looks at the server's address.
    fn target(&self) -> Arc<dyn Target> {
        self.target_with(&format!("verify = \"{}\"\n", self.address()))
    }

    /// The target with further lines.
    fn target_with(&self, lines: &str) -> Arc<dyn Target> {
        build(&format!("{}{lines}", self.table()))
    }
}

pub fn build(table: &str) -> Arc<dyn Target> {
    let config: TargetConfig = toml::from_str(table).unwrap_or_else(|e| panic!("{e}\n{table}"));
    config.build("web".parse().expect("a target"), &node()).unwrap_or_else(|e| panic!("{e}\n{table}"))
}

pub fn node() -> NodeName {
    "lb0".parse().expect("a node")
}
