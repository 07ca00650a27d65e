//! What the daemon of a simulated machine touches.

use std::sync::Arc;

use certfleet_acme::KeySource;
use certfleet_core::names::{Incarnation, NodeName, TargetName};
use certfleet_deploy::Target;
use certfleet_edge::AnswerTable;
use certfleet_node::central::Door;
use certfleet_node::clock::Clock;
use certfleet_node::config::Settings;
use certfleet_node::daemon::{Authorities, DaemonError, Surroundings, Targets, Task};
use certfleet_node::identity::{Identity, RandomError};
use certfleet_store::Store;
use tokio::task::JoinSet;

use super::Site;
use crate::ca::Client;
use crate::clock::MachineClock;
use crate::engine::Line;
use crate::gate::Gate;
use crate::keys::DrawnKeys;
use crate::link::Link;
use crate::servers::{Servers, SimTarget};

/// What the daemon of a simulated machine touches.
#[derive(Debug)]
pub(super) struct Around {
    pub incarnation: Incarnation,
    pub who: NodeName,
    pub gate: Gate,
    pub clock: Arc<MachineClock>,
    pub keys: Arc<DrawnKeys>,
    pub store: Arc<Line>,
    pub ca_link: Arc<Link>,
    pub site: Site,
    pub servers: Arc<Servers>,
    pub answers: AnswerTable,
}

impl Surroundings for Around {
    fn incarnation(&self) -> Result<Incarnation, RandomError> {
        Ok(self.incarnation.clone())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn keys(&self) -> Arc<dyn KeySource> {
        self.keys.clone()
    }

    fn store(&self, _: &Settings, _: &Identity) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn authorities(&self, settings: &Settings) -> Result<Authorities, DaemonError> {
        let client = || Arc::new(Client::new(&self.site.ca, &self.ca_link));
        Ok(settings.spec.issuers.keys().map(|issuer| (issuer.clone(), client() as _)).collect())
    }

    fn targets(&self, settings: &Settings) -> Result<Targets, DaemonError> {
        let target = |name: &TargetName| SimTarget::new(name.clone(), &self.who, &self.servers, &self.site.visitor);
        Ok(settings.targets.keys().map(|name| (name.clone(), Arc::new(target(name)) as Arc<dyn Target>)).collect())
    }

    fn answers(&self) -> AnswerTable {
        self.answers.clone()
    }

    fn listens(&self) -> bool {
        false
    }

    fn serves(&self, door: Arc<dyn Door>) {
        self.store.serve(door);
    }

    fn start(&self, tasks: &mut JoinSet<()>, task: Task) {
        tasks.spawn(self.gate.task(task));
    }
}
