//! nginx: as `files`, with `nginx -t` as the check and `nginx -s reload` as the reload.
//!
//! The reload is a signal, and a signal tells nothing: nginx keeps its old configuration when the new one is bad. So the check comes first,
//! and a handshake after.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::names::{CertName, NodeName, TargetName};

use super::files::{place, validate};
use super::layout::{Layout, Mode};
use crate::command::Command;
use crate::config::target_config;
use crate::disk::Wanted;
use crate::driver::{Backend, Driver, Job, Pem};
use crate::hook::{self, Activation, Environment};
use crate::material::{BuildError, Target};
use crate::owner::Owner;
use crate::template::PathTemplate;

/// The kind's name.
pub const KIND: &str = "nginx";

/// How `nginx -s` ends when there is no nginx to signal: no pid file, or one of a process that is gone. (A file that is missing in the
/// configuration is told with the line that names it, so it does not end like this.)
const NOT_RUNNING_ENDS: [&str; 2] = ["failed (2: No such file or directory)", "failed (3: No such process)"];
/// What it says about an empty pid file, as `nginx -t` leaves one behind.
const NOT_RUNNING: &str = "invalid PID number";

target_config! {
    /// A target of kind `nginx`.
    pub struct Config {
        /// Gets `fullchain.pem`, `privkey.pem`, `cert.pem`, `chain.pem`.
        pub dir: Option<PathTemplate>,
        /// One file with key and chain instead.
        pub combined: Option<PathTemplate>,
        /// To whom the files belong; default: the daemon's user.
        pub owner: Option<String>,
        /// Their group; default: the daemon's.
        pub group: Option<String>,
        /// Their mode; default: 0600 for those with a key in them, 0644 for the others.
        pub mode: Option<Mode>,
        /// Default: `nginx -t`.
        pub check: Option<Command>,
        /// Default: `nginx -s reload`.
        pub reload: Option<Command>,
        /// The main configuration file, for a server that is started with `-c`.
        pub config: Option<PathBuf>,
    }
}

impl Config {
    pub(crate) fn validate(&self) -> Result<(), String> {
        validate(self.dir.as_ref(), self.combined.as_ref(), self.check.as_ref())?;
        match &self.config {
            Some(path) if !path.is_absolute() => Err(format!("config = \"{}\": an absolute path is wanted", path.display())),
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Nginx {
    layout: Layout,
    check: Option<Command>,
    reload: Option<Command>,
    config: Option<PathBuf>,
    timeout: Duration,
}

pub(crate) fn build(config: &Config, name: TargetName) -> Result<Arc<dyn Target>, BuildError> {
    let problem = || BuildError::Invalid { target: name.clone(), problem: "either `dir` or `combined` is wanted".into() };
    let place = place(config.dir.as_ref(), config.combined.as_ref()).ok_or_else(problem)?;
    let owner = Owner::find(&name, config.owner.as_deref(), config.group.as_deref())?;
    let backend = Nginx {
        layout: Layout { place, mode: config.mode, owner, target: name.clone() },
        check: config.check.clone(),
        reload: config.reload.clone(),
        config: config.config.clone(),
        timeout: config.timeout,
    };
    Ok(Arc::new(Driver::new(name, backend, &config.common())))
}

impl Nginx {
    /// `nginx …`, with `-c` if configured.
    fn argv(&self, words: &[&str]) -> Vec<OsString> {
        let mut argv = vec![hook::program("nginx").into_os_string()];
        if let Some(config) = &self.config {
            argv.extend(["-c".into(), config.into()]);
        }
        argv.extend(words.iter().map(OsString::from));
        argv
    }

    async fn reload(&self, env: &Environment) -> Result<Activation, String> {
        if let Some(configured) = &self.reload {
            return hook::reload(configured, env, self.timeout).await;
        }
        match hook::run(&self.argv(&["-s", "reload"]), env, self.timeout).await {
            Ok(()) => Ok(Activation::Done),
            Err(e) => match e.output.lines().find(|line| says_not_running(line)) {
                Some(line) => Ok(Activation::NotRunning(hook::printable(line))),
                None => Err(e.message),
            },
        }
    }
}

fn says_not_running(line: &str) -> bool {
    line.contains(NOT_RUNNING) || NOT_RUNNING_ENDS.iter().any(|end| line.trim_end().ends_with(end))
}

#[async_trait]
impl Backend for Nginx {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn files(&self, cert: &CertName, node: &NodeName, pem: Pem<'_>) -> Vec<Wanted> {
        self.layout.files(cert, node, pem)
    }

    async fn check(&self, env: &Environment) -> Result<(), String> {
        match &self.check {
            Some(configured) => hook::check(configured, env, self.timeout).await,
            None => hook::run(&self.argv(&["-t", "-q"]), env, self.timeout).await.map_err(|e| e.message),
        }
    }

    async fn activate(&self, jobs: &[&Job<'_>], env: &Environment) -> Vec<Result<Activation, String>> {
        vec![self.reload(env).await; jobs.len()]
    }
}
