//! Files, a check and a reload command: for any server that reads PEM.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::names::{CertName, NodeName, TargetName};

use super::layout::{Layout, Mode, Place};
use crate::command::Command;
use crate::config::target_config;
use crate::disk::Wanted;
use crate::driver::{Backend, Driver, Job, Pem};
use crate::hook::{self, Activation, Environment};
use crate::material::{BuildError, Target};
use crate::owner::Owner;
use crate::template::PathTemplate;

/// The kind's name.
pub const KIND: &str = "files";

target_config! {
    /// A target of kind `files`.
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
        /// Asked before the server is told; default: nothing.
        pub check: Option<Command>,
        /// Tells the server; default: nothing.
        pub reload: Option<Command>,
    }
}

impl Config {
    pub(crate) fn validate(&self) -> Result<(), String> {
        validate(self.dir.as_ref(), self.combined.as_ref(), self.check.as_ref())
    }
}

/// What `files` and `nginx` have in common.
pub(super) fn validate(dir: Option<&PathTemplate>, combined: Option<&PathTemplate>, check: Option<&Command>) -> Result<(), String> {
    Layout::validate(dir, combined)?;
    match check {
        Some(Command::Unit(_) | Command::Signal { .. }) => {
            Err("check is an argv list or \"none\"; a unit or a signal cannot check anything".into())
        }
        _ => Ok(()),
    }
}

/// Both paths, of which `validate` left exactly one.
pub(super) fn place(dir: Option<&PathTemplate>, combined: Option<&PathTemplate>) -> Option<Place> {
    dir.cloned().map(Place::Dir).or_else(|| combined.cloned().map(Place::Combined))
}

#[derive(Debug)]
struct Files {
    layout: Layout,
    check: Command,
    reload: Command,
    timeout: Duration,
}

pub(crate) fn build(config: &Config, name: TargetName) -> Result<Arc<dyn Target>, BuildError> {
    let problem = || BuildError::Invalid { target: name.clone(), problem: "either `dir` or `combined` is wanted".into() };
    let place = place(config.dir.as_ref(), config.combined.as_ref()).ok_or_else(problem)?;
    let owner = Owner::find(&name, config.owner.as_deref(), config.group.as_deref())?;
    let backend = Files {
        layout: Layout { place, mode: config.mode, owner, target: name.clone() },
        check: config.check.clone().unwrap_or(Command::None),
        reload: config.reload.clone().unwrap_or(Command::None),
        timeout: config.timeout,
    };
    Ok(Arc::new(Driver::new(name, backend, &config.common())))
}

#[async_trait]
impl Backend for Files {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn files(&self, cert: &CertName, node: &NodeName, pem: Pem<'_>) -> Vec<Wanted> {
        self.layout.files(cert, node, pem)
    }

    async fn check(&self, env: &Environment) -> Result<(), String> {
        hook::check(&self.check, env, self.timeout).await
    }

    async fn activate(&self, jobs: &[&Job<'_>], env: &Environment) -> Vec<Result<Activation, String>> {
        vec![hook::reload(&self.reload, env, self.timeout).await; jobs.len()]
    }
}
