//! Web servers: what a node's targets have, and how they feel about a reload. Files and reloads themselves are tested with the real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use certfleet_core::names::{CertName, Identifier, NodeName, TargetName};
use certfleet_core::x509::Leaf;
use certfleet_deploy::{DeployError, Material, Outcome, State, Target};

/// How a server feels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Server {
    /// It takes what it gets.
    #[default]
    Works,
    /// Every reload fails.
    Fails,
    /// It is not started.
    Down,
}

/// Who looks at what is installed.
pub trait Visitor: Send + Sync + std::fmt::Debug {
    /// A server of the machine `who` has taken a certificate.
    fn installed(&self, who: &NodeName, material: &Material);
}

/// What the servers of one machine have: it is on their disk, and stays when the machine dies.
#[derive(Debug, Default)]
pub struct Servers {
    state: Mutex<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    server: Server,
    served: Served,
}

/// What is served for each certificate at each target.
pub type Served = BTreeMap<(TargetName, CertName), Leaf>;

impl Servers {
    /// From now on.
    pub fn set(&self, server: Server) {
        self.lock().server = server;
    }

    /// Another machine's, with the same on its disk.
    pub fn copy(&self) -> Self {
        let served = self.served();
        Self { state: Mutex::new(Disk { server: Server::default(), served }) }
    }

    /// What is there now.
    pub fn served(&self) -> Served {
        self.lock().served.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A target on one machine.
#[derive(Debug)]
pub struct SimTarget {
    name: TargetName,
    who: NodeName,
    servers: Arc<Servers>,
    visitor: Arc<dyn Visitor>,
}

impl SimTarget {
    /// On the machine `who`, which has these servers.
    pub fn new(name: TargetName, who: &NodeName, servers: &Arc<Servers>, visitor: &Arc<dyn Visitor>) -> Self {
        Self { name, who: who.clone(), servers: servers.clone(), visitor: visitor.clone() }
    }

    fn take(&self, material: &Material) -> Outcome {
        let at = (self.name.clone(), material.cert.clone());
        let mut disk = self.servers.lock();
        let changed = disk.served.get(&at) != Some(&material.leaf);
        let (state, reason) = match disk.server {
            Server::Fails if changed => (State::Failed, Some("the reload failed".to_owned())),
            Server::Down => (State::Installed, Some("not running".to_owned())),
            _ => (State::Verified, None),
        };
        if state != State::Failed && changed {
            disk.served.insert(at, material.leaf.clone());
            drop(disk);
            self.visitor.installed(&self.who, material);
        }
        outcome(material, state, reason, changed && state != State::Failed)
    }

    fn look(&self, material: &Material) -> Outcome {
        let disk = self.servers.lock();
        let is_served = disk.served.get(&(self.name.clone(), material.cert.clone())) == Some(&material.leaf);
        match disk.server {
            Server::Down => outcome(material, State::Installed, Some("not running".into()), false),
            _ if is_served => outcome(material, State::Verified, None, false),
            _ => outcome(material, State::Failed, Some("another certificate is served".into()), false),
        }
    }
}

fn outcome(material: &Material, state: State, reason: Option<String>, changed: bool) -> Outcome {
    Outcome { cert: material.cert.clone(), generation: material.generation, state, reason, changed, activations: u32::from(changed) }
}

#[async_trait]
impl Target for SimTarget {
    fn name(&self) -> &TargetName {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn verifies(&self) -> bool {
        true
    }

    async fn converge(&self, batch: &[Material]) -> Vec<Outcome> {
        batch.iter().map(|material| self.take(material)).collect()
    }

    async fn verify(&self, batch: &[Material]) -> Vec<Outcome> {
        batch.iter().map(|material| self.look(material)).collect()
    }

    async fn stand_in(&self, _: &CertName, _: &NodeName, _: &[Identifier]) -> Result<bool, DeployError> {
        Ok(false)
    }
}
