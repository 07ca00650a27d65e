//! The listeners of a node. One that cannot be bound does not stop the node from deploying: it is tried again, and said.

use std::sync::Arc;
use std::time::Duration;

use certfleet_core::spec::Role;
use certfleet_edge::{Limits, ListenAddress, ListenerHandle, listen_admin, listen_challenges, listen_metrics};

use super::state::Shared;
use crate::config::Settings;

/// How often a listener that could not be bound is tried again, in seconds.
const REBIND_SECONDS: u64 = 10;

/// What a listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Purpose {
    Challenges,
    Admin(Option<String>),
    Metrics,
}

/// The configured listeners; dropping this closes them.
#[derive(Debug)]
pub struct Listeners {
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Binds what the settings ask for; the first try of each is over when this returns.
pub async fn start(settings: &Settings, shared: &Arc<Shared>) -> Listeners {
    let mut wanted = vec![(settings.admin.listen.clone(), Purpose::Admin(settings.admin.group.clone()))];
    if settings.roles.contains(&Role::Answer) {
        wanted.extend(settings.answer.http.iter().map(|address| (address.clone(), Purpose::Challenges)));
    }
    wanted.extend(settings.metrics.iter().map(|address| (address.to_string(), Purpose::Metrics)));
    shared.lock().deaf.clear();
    let mut tasks = Vec::new();
    for (address, purpose) in wanted {
        let first = bind(&address, &purpose, shared).await;
        tasks.push(tokio::spawn(keep(address, purpose, shared.clone(), first)));
    }
    Listeners { tasks }
}

async fn bind(address: &str, purpose: &Purpose, shared: &Arc<Shared>) -> Result<ListenerHandle, String> {
    let parsed: ListenAddress = address.parse().map_err(|e| format!("{e}"))?;
    let bound = match purpose {
        Purpose::Challenges => listen_challenges(parsed, shared.answers.clone(), shared.metrics.clone(), Limits::default()).await,
        Purpose::Admin(group) => listen_admin(parsed, group.clone(), shared.clone()).await,
        Purpose::Metrics => listen_metrics(parsed, shared.clone()).await,
    };
    bound.map_err(|e| e.to_string())
}

/// Holds a listener, or tries until it has one.
async fn keep(address: String, purpose: Purpose, shared: Arc<Shared>, first: Result<ListenerHandle, String>) {
    let mut result = first;
    let mut told = None;
    let _held = loop {
        match result {
            Ok(handle) => {
                tracing::info!(event = "listening", address = %address, purpose = purpose.name());
                shared.lock().deaf.retain(|why| Some(why) != told.as_ref());
                break handle;
            }
            Err(why) => {
                if told.as_ref() != Some(&why) {
                    tracing::error!(event = "not-listening", address = %address, purpose = purpose.name(), error = %why);
                    let mut seen = shared.lock();
                    seen.deaf.retain(|old| Some(old) != told.as_ref());
                    seen.deaf.push(why.clone());
                    told = Some(why);
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(REBIND_SECONDS)).await;
        result = bind(&address, &purpose, &shared).await;
    };
    std::future::pending::<()>().await;
}

impl Purpose {
    fn name(&self) -> &'static str {
        match self {
            Self::Challenges => "challenges",
            Self::Admin(_) => "admin",
            Self::Metrics => "metrics",
        }
    }
}
