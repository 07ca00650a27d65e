//! The listeners of a node. One that cannot be bound does not stop the node from deploying: it is tried again, and said.

use std::sync::Arc;
use std::time::Duration;

use certfleet_core::spec::Role;
use certfleet_core::trust::SigningKey;
use certfleet_edge::{Limits, ListenAddress, ListenerHandle, listen_admin, listen_challenges, listen_metrics};

use super::state::Shared;
use crate::central::Service;
use crate::config::Settings;

/// How often a listener that could not be bound is tried again, in seconds.
const REBIND_SECONDS: u64 = 10;

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Challenges,
    Admin(Option<String>),
    Metrics,
    Members,
}

/// The configured listeners; dropping this closes them.
pub struct Listeners {
    shared: Arc<Shared>,
    members: Members,
    running: Vec<Running>,
}

/// Who answers members, and with which key.
#[derive(Clone)]
pub struct Members {
    /// Answers.
    pub service: Service,
    /// Of this node.
    pub key: SigningKey,
}

#[derive(Debug)]
struct Running {
    address: String,
    purpose: Purpose,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listeners {
    /// None yet.
    pub fn new(shared: Arc<Shared>, members: Members) -> Self {
        Self { shared, members, running: Vec::new() }
    }

    /// Members are answered from another store: their listeners are opened anew.
    pub async fn serve(&mut self, service: Service) {
        self.members.service = service;
        for running in self.running.extract_if(.., |running| running.purpose == Purpose::Members) {
            running.end().await;
        }
    }

    /// Binds what the settings ask for and closes what they no longer do; what stays is not touched. The first try of each is over when this
    /// returns.
    pub async fn follow(&mut self, settings: &Settings) {
        let wanted = wanted(settings);
        for running in self.running.extract_if(.., |running| !wanted.contains(&(running.address.clone(), running.purpose.clone()))) {
            running.end().await;
        }
        for (address, purpose) in wanted {
            if self.running.iter().all(|running| running.address != address || running.purpose != purpose) {
                let binding = Binding {
                    address: address.clone(),
                    purpose: purpose.clone(),
                    shared: self.shared.clone(),
                    members: self.members.clone(),
                };
                let first = binding.bind().await;
                let task = tokio::spawn(keep(binding, first));
                self.running.push(Running { address, purpose, task });
            }
        }
    }
}

impl Running {
    /// When this returns, the address is free again.
    async fn end(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// The admin listener is the last: where it answers, all others have been tried.
fn wanted(settings: &Settings) -> Vec<(String, Purpose)> {
    let mut wanted = Vec::new();
    if settings.roles.contains(&Role::Answer) {
        wanted.extend(settings.answer.http.iter().map(|address| (address.clone(), Purpose::Challenges)));
    }
    wanted.extend(settings.serve.iter().map(|address| (address.clone(), Purpose::Members)));
    wanted.extend(settings.metrics.iter().map(|address| (address.to_string(), Purpose::Metrics)));
    wanted.push((settings.admin.listen.clone(), Purpose::Admin(settings.admin.group.clone())));
    wanted
}

/// What it takes to have a listener.
struct Binding {
    address: String,
    purpose: Purpose,
    shared: Arc<Shared>,
    members: Members,
}

impl Binding {
    async fn bind(&self) -> Result<ListenerHandle, String> {
        let (parsed, shared): (ListenAddress, _) = (self.address.parse().map_err(|e| format!("{e}"))?, &self.shared);
        let bound = match &self.purpose {
            Purpose::Challenges => listen_challenges(parsed, shared.answers.clone(), shared.metrics.clone(), Limits::default()).await,
            Purpose::Admin(group) => listen_admin(parsed, group.clone(), shared.clone()).await,
            Purpose::Metrics => listen_metrics(parsed, shared.clone()).await,
            Purpose::Members => self.members.service.listen(parsed, &self.members.key).await,
        };
        bound.map_err(|e| e.to_string())
    }
}

/// Holds a listener, or tries until it has one.
async fn keep(binding: Binding, first: Result<ListenerHandle, String>) {
    let mut result = first;
    let mut told = Told { why: None, shared: binding.shared.clone() };
    let (address, purpose) = (&binding.address, binding.purpose.name());
    let _held = loop {
        match result {
            Ok(handle) => {
                tracing::info!(event = "listening", address = %address, purpose);
                told.change(None);
                break handle;
            }
            Err(why) if told.why.as_ref() != Some(&why) => {
                tracing::error!(event = "not-listening", address = %address, purpose, error = %why);
                told.change(Some(why));
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(REBIND_SECONDS)).await;
        result = binding.bind().await;
    };
    std::future::pending::<()>().await;
}

/// Why a listener is not there, as `status` shows it; nothing more is shown once its task is gone.
struct Told {
    why: Option<String>,
    shared: Arc<Shared>,
}

impl Told {
    fn change(&mut self, why: Option<String>) {
        let mut seen = self.shared.lock();
        seen.deaf.retain(|old| Some(old) != self.why.as_ref());
        seen.deaf.extend(why.clone());
        self.why = why;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.change(None);
    }
}

impl Purpose {
    fn name(&self) -> &'static str {
        match self {
            Self::Challenges => "challenges",
            Self::Admin(_) => "admin",
            Self::Metrics => "metrics",
            Self::Members => "members",
        }
    }
}
