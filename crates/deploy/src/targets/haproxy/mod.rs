//! HAProxy: one PEM for each certificate, brought into the running process through its runtime API, with no reload.
//!
//! HAProxy names a certificate by the path its configuration gives, so `bundle` must be that very path. What the API does lasts until the
//! process ends; the file on disk is for the next one. A certificate that HAProxy does not know yet is made known through a crt-list (or the
//! directory it loads, which it treats as one). `reload` is for what the API refuses.

mod runtime;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::names::{CertName, NodeName, TargetName};
use certfleet_core::x509::Leaf;

use self::runtime::{Refusal, Runtime};
use super::layout::{Layout, Mode, Place};
use crate::command::Command;
use crate::config::target_config;
use crate::disk::{self, Wanted};
use crate::driver::{Backend, Driver, Job, Pem};
use crate::hook::{self, Activation, Environment};
use crate::material::{BuildError, Target};
use crate::owner::Owner;
use crate::template::PathTemplate;

/// The kind's name.
pub const KIND: &str = "haproxy";

target_config! {
    /// A target of kind `haproxy`.
    pub struct Config {
        /// The PEM with chain and key, by the path that HAProxy's configuration gives (or leads to, through its directory).
        pub bundle: PathTemplate,
        /// Sockets of the runtime API, level admin: paths, or `host:port`.
        #[serde(default, deserialize_with = "crate::verify::one_or_more")]
        pub socket: Vec<String>,
        /// The crt-list, or directory, that new certificates are added to; default: the bundle's directory, if HAProxy loaded it.
        pub crt_list: Option<String>,
        /// What to do where the runtime API refuses; default: nothing.
        pub reload: Option<Command>,
        /// To whom the file belongs; default: the daemon's user.
        pub owner: Option<String>,
        /// Its group; default: the daemon's.
        pub group: Option<String>,
        /// Its mode; default: 0600.
        pub mode: Option<Mode>,
    }
}

impl Config {
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.bundle.validate("bundle")?;
        for path in [Some(self.bundle.as_str()), self.crt_list.as_deref()].into_iter().flatten() {
            runtime::plain(&path.replace(['{', '}'], ""))?;
        }
        if self.socket.is_empty() && matches!(self.reload, None | Some(Command::None)) {
            return Err(
                "either `socket` (the runtime API, level admin) or `reload` is wanted: how does HAProxy learn of a new file?".into()
            );
        }
        self.socket.iter().try_for_each(|socket| runtime::Address::parse(socket).map(drop))
    }
}

#[derive(Debug)]
struct Haproxy {
    layout: Layout,
    runtimes: Vec<Runtime>,
    crt_list: Option<String>,
    reload: Command,
    timeout: Duration,
}

pub(crate) fn build(config: &Config, name: TargetName) -> Result<Arc<dyn Target>, BuildError> {
    let invalid = |problem| BuildError::Invalid { target: name.clone(), problem };
    let addresses = config.socket.iter().map(|socket| runtime::Address::parse(socket)).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
    let owner = Owner::find(&name, config.owner.as_deref(), config.group.as_deref())?;
    let backend = Haproxy {
        layout: Layout { place: Place::Bundle(config.bundle.clone()), mode: config.mode, owner, target: name.clone() },
        runtimes: addresses.into_iter().map(|address| Runtime::new(address, config.timeout)).collect(),
        crt_list: config.crt_list.clone(),
        reload: config.reload.clone().unwrap_or(Command::None),
        timeout: config.timeout,
    };
    Ok(Arc::new(Driver::new(name, backend, &config.common())))
}

impl Haproxy {
    /// Brings the file on disk into every process; whichever of them does not run will read it when it starts.
    async fn push(&self, job: &Job<'_>) -> Result<Activation, String> {
        let path = &job.files[0].path;
        if !path.exists() {
            return Ok(Activation::Nothing);
        }
        let pem = disk::read(path).map_err(|e| e.to_string())?;
        let text = pem.expose_text().ok_or_else(|| format!("{} is not PEM", path.display()))?;
        let serial = if pem == job.files[0].content { job.material.leaf.serial.clone() } else { serial(path, text)? };
        let mut not_running = None;
        for runtime in &self.runtimes {
            match runtime.install(path, text, &serial, self.crt_list.as_deref()).await {
                Ok(()) => {}
                Err(Refusal::NotRunning(how)) => not_running = Some(how),
                Err(Refusal::Refused(problem)) => return Err(problem),
            }
        }
        Ok(not_running.map_or(Activation::Done, Activation::NotRunning))
    }
}

fn serial(path: &Path, pem: &str) -> Result<String, String> {
    Leaf::from_pem(pem).map(|leaf| leaf.serial).map_err(|e| format!("{}: {e}", path.display()))
}

#[async_trait]
impl Backend for Haproxy {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn files(&self, cert: &CertName, node: &NodeName, pem: Pem<'_>) -> Vec<Wanted> {
        self.layout.files(cert, node, pem)
    }

    /// The runtime API checks each certificate when it is committed.
    async fn check(&self, _env: &Environment) -> Result<(), String> {
        Ok(())
    }

    async fn activate(&self, jobs: &[&Job<'_>], env: &Environment) -> Vec<Result<Activation, String>> {
        if self.runtimes.is_empty() {
            return vec![hook::reload(&self.reload, env, self.timeout).await; jobs.len()];
        }
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            results.push(self.push(job).await);
        }
        if self.reload != Command::None && results.iter().any(Result::is_err) {
            let reloaded = hook::reload(&self.reload, env, self.timeout).await;
            for result in results.iter_mut().filter(|result| result.is_err()) {
                result.clone_from(&reloaded);
            }
        }
        results
    }

    async fn is_stale(&self, job: &Job<'_>) -> bool {
        for runtime in &self.runtimes {
            if matches!(runtime.serial(&job.files[0].path).await, Ok(held) if held.as_deref() != Some(&runtime::normal(&job.material.leaf.serial)))
            {
                return true;
            }
        }
        false
    }
}
