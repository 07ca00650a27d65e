//! A private etcd: one member or a cluster, each member on an address of a loopback network of its own.
//!
//! Always holds: the members end with their owner; what they wrote stays in the directory, so that a member that was killed can be started
//! again.
//!
//! Deliberately not here: anything that speaks etcd's own protocol.

mod certificates;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::pebble::http;
use crate::{Process, Site, eventually, installed};

/// How long a member may take to start, and a cluster to find a leader.
const START: Duration = Duration::from_secs(60);
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// What the cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// How many members; none is one.
    pub members: u8,
    /// TLS for clients, who have to show a certificate: see [`Etcd::file`].
    pub tls: bool,
    /// More of etcd's own options.
    pub arguments: Vec<String>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Etcd {
    program: PathBuf,
    dir: PathBuf,
    site: Site,
    setup: Setup,
    members: Vec<Option<Process>>,
    starts: u32,
}

impl Etcd {
    /// Starts all members and waits until they serve; `None` where etcd is not installed.
    pub async fn start(dir: &Path, setup: &Setup) -> io::Result<Option<Self>> {
        let Some(program) = installed("etcd", "etcd-server") else { return Ok(None) };
        let members = setup.members.max(1);
        let setup = Setup { members, ..setup.clone() };
        let none = (0..members).map(|_| None).collect();
        let mut etcd = Self { program, dir: dir.to_owned(), site: Site::claim(), setup, members: none, starts: 0 };
        if etcd.setup.tls {
            let addresses: Vec<IpAddr> = (0..members).map(|n| etcd.address(n).ip()).collect();
            certificates::write(dir, &addresses)?;
        }
        for n in 0..members {
            etcd.spawn(n)?;
        }
        for n in 0..members {
            etcd.ready(n).await;
        }
        Ok(Some(etcd))
    }

    /// Where member `n` serves clients.
    pub fn address(&self, n: u8) -> SocketAddr {
        SocketAddr::new(self.site.host(n + 1).into(), CLIENT_PORT)
    }

    /// All members' addresses, as a store URL has them.
    pub fn hosts(&self) -> String {
        (0..self.setup.members).map(|n| self.address(n).to_string()).collect::<Vec<_>>().join(",")
    }

    /// `ca.pem`, `client.pem`, `client.key` of a cluster with TLS.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// SIGKILL.
    pub fn kill(&mut self, n: u8) {
        self.members[usize::from(n)] = None;
    }

    /// Has member `n` stand still, or go on.
    pub fn signal(&self, n: u8, signal: Signal) {
        if let Some(process) = &self.members[usize::from(n)] {
            process.signal(signal);
        }
    }

    /// Starts member `n` again with what it wrote; does not wait, since it may need others to serve.
    pub fn spawn(&mut self, n: u8) -> io::Result<()> {
        let (client, peer) = (self.client_url(n), self.peer_url(n));
        let cluster = (0..self.setup.members).map(|n| format!("m{n}={}", self.peer_url(n))).collect::<Vec<_>>().join(",");
        let mut command = Command::new(&self.program);
        command.arg("--name").arg(format!("m{n}")).arg("--data-dir").arg(self.dir.join(format!("m{n}.etcd")));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", &cluster]);
        if self.setup.tls {
            command.arg("--cert-file").arg(self.file("server.pem")).arg("--key-file").arg(self.file("server.key"));
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(self.file("ca.pem"));
        }
        command.args(&self.setup.arguments);
        self.starts += 1;
        let log = self.dir.join(format!("m{n}.{}.log", self.starts));
        self.members[usize::from(n)] = Some(Process::start("etcd", &mut command, &log)?);
        Ok(())
    }

    /// Waits until member `n` serves.
    pub async fn ready(&mut self, n: u8) {
        if let Some(process) = &mut self.members[usize::from(n)] {
            process.printed("ready to serve client requests", START).await;
        }
    }

    /// The leader, once there is one. Not with TLS.
    pub async fn leader(&self) -> u8 {
        eventually("etcd has a leader", START, || async {
            for n in (0..self.setup.members).filter(|n| self.members[usize::from(*n)].is_some()) {
                let url = format!("http://{}/v3/maintenance/status", self.address(n));
                let Ok(answer) = http::post(&url, "{}").await else { continue };
                let status: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
                if status["leader"].is_string() && status["leader"] == status["header"]["member_id"] {
                    return Some(n);
                }
            }
            None
        })
        .await
    }

    /// What member `n` counts, in the Prometheus text format. Not with TLS.
    pub async fn metrics(&self, n: u8) -> io::Result<String> {
        http::get(&format!("http://{}/metrics", self.address(n)), None).await
    }

    fn client_url(&self, n: u8) -> String {
        format!("{}://{}", if self.setup.tls { "https" } else { "http" }, self.address(n))
    }

    fn peer_url(&self, n: u8) -> String {
        format!("http://{}:{PEER_PORT}", self.site.host(n + 1))
    }
}
