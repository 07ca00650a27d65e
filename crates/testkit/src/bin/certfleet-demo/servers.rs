//! The web servers in front of the nodes. Each is started once its certificate file is there: a stand-in, at first.

use std::net::SocketAddr;

use certfleet_testkit::haproxy::{self, HaProxy};
use certfleet_testkit::nginx::{self, Nginx};

use crate::client::GREETING;
use crate::failure::{During, Failure, unseen};
use crate::lab::{Lab, NAME, NODES, SERVERS};

/// A running web server; it ends when this is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not used")]
pub enum Server {
    /// In front of n1 and n2.
    Nginx(Nginx),
    /// In front of n3.
    HaProxy(HaProxy),
}

/// What it takes to start one.
#[derive(Debug)]
pub struct Plan {
    node: usize,
    address: SocketAddr,
    dir: std::path::PathBuf,
    certificates: std::path::PathBuf,
}

impl Plan {
    /// Of the server in front of `node`.
    pub fn of(lab: &Lab, node: usize) -> Self {
        Self { node, address: lab.https(node), dir: lab.node_dir(node), certificates: lab.certificates(node) }
    }

    /// Starts it.
    pub async fn start(self) -> Result<Server, Failure> {
        let name = format!("{} in front of {}", SERVERS[self.node], NODES[self.node]);
        let started = if SERVERS[self.node] == "nginx" { self.nginx().await } else { self.haproxy().await };
        match started.during(format!("{name} cannot be started"))? {
            Some(server) => Ok(server),
            None => unseen(format!("{name} cannot be started: it is not installed (`make demo` installs it)")),
        }
    }

    async fn nginx(&self) -> std::io::Result<Option<Server>> {
        let files = self.certificates.join(NAME);
        let server = nginx::Server {
            names: vec![NAME.into()],
            certificate: files.join("fullchain.pem"),
            key: files.join("privkey.pem"),
            body: self.body(),
        };
        let setup = nginx::Setup { tls: vec![self.address], servers: vec![server], ..nginx::Setup::default() };
        Ok(Nginx::start(&self.dir.join("nginx"), &setup).await?.map(Server::Nginx))
    }

    async fn haproxy(&self) -> std::io::Result<Option<Server>> {
        let certificates = format!("crt {}/", self.certificates.display());
        let setup = haproxy::Setup { tls: vec![self.address], certificates, body: self.body(), ..haproxy::Setup::default() };
        Ok(HaProxy::start(&self.dir.join("haproxy"), &setup).await?.map(Server::HaProxy))
    }

    fn body(&self) -> String {
        format!("{GREETING} {} in front of {}\\n", SERVERS[self.node], NODES[self.node])
    }
}
