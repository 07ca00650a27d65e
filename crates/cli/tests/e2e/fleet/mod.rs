//! A fleet of real processes: joined by `init`, `invite`, `join`, run, killed, stopped, looked at.

pub mod audit;
pub mod config;
mod front;
mod node;
mod records;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use certfleet_core::names::NodeName;
use certfleet_node::status::{CertificateStatus, Status};
use certfleet_testkit::pebble::{Pebble, PebbleOptions};
use certfleet_testkit::{Site, eventually};
use tempfile::TempDir;

pub use config::{Certificate, Config};
pub use front::Front;
use node::Node;
pub use node::{Output, init_elsewhere};

use crate::LIMIT;
use crate::client::{self, Answer};

/// Where a laboratory is: the CA, addresses, a directory. Everything of it ends with it.
pub struct Lab {
    /// The directory of everything.
    pub dir: TempDir,
    /// The nodes' addresses.
    pub site: Site,
    /// Where http-01 is answered.
    pub http_port: u16,
    /// The CA.
    pub pebble: Pebble,
}

impl Lab {
    /// For `nodes` nodes; `None`, loudly, where pebble is not installed.
    pub async fn new(nodes: u8, tune: impl FnOnce(&mut PebbleOptions)) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("fleet-").tempdir().expect("temporary directory");
        let site = Site::claim();
        let http_port = site.port_on_all(nodes);
        let mut options = PebbleOptions::new(http_port);
        tune(&mut options);
        let pebble = Pebble::start(options).await?;
        Some(Self { dir, site, http_port, pebble })
    }

    /// The address of node `n`.
    pub fn address(&self, n: u8) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.site.host(n)), self.http_port)
    }

    /// Lets `name` resolve to the first `nodes` nodes.
    pub async fn resolve(&self, name: &str, nodes: u8) {
        let addresses: Vec<Ipv4Addr> = (1..=nodes).map(|n| self.site.host(n)).collect();
        self.pebble.set_a(name, &addresses).await;
    }
}

/// A fleet.
pub struct Fleet {
    /// Where it is.
    pub lab: Lab,
    /// What its file says.
    pub config: Config,
    /// The mode its live key files are to have.
    pub live_key_mode: u32,
    nodes: Vec<Node>,
    /// What commands printed, but for the one that is meant to print a key.
    said: std::sync::Mutex<String>,
}

impl Fleet {
    /// `nodes` members that have joined and do not run yet; all names resolve to all of them.
    pub async fn with(lab: Lab, config: Config, nodes: u8) -> Self {
        let mut fleet = Self::of_strangers(lab, config, nodes).await;
        fleet.found().await;
        fleet
    }

    /// The same machines before they are in a fleet.
    pub async fn of_strangers(lab: Lab, config: Config, nodes: u8) -> Self {
        for name in config.certificates.iter().flat_map(|certificate| &certificate.names) {
            lab.resolve(name, nodes).await;
        }
        let mut fleet = Self { lab, config, live_key_mode: 0o600, nodes: Vec::new(), said: Default::default() };
        if fleet.config.issuers.is_empty() {
            let root = fleet.lab.pebble.root_pem_path().display().to_string();
            fleet.config.issuers.insert("pebble".into(), (fleet.lab.pebble.directory_url(), root));
        }
        fleet.nodes = (1..=nodes).map(|n| Node::new(n, fleet.lab.dir.path())).collect();
        fleet.write_config();
        fleet
    }

    /// As [`Self::with`], with one certificate for one name at the target `plain`.
    pub async fn plain(nodes: u8, name: &str) -> Option<Self> {
        let lab = Lab::new(nodes, |_| {}).await?;
        Some(Self::with(lab, Config::plain(name), nodes).await)
    }

    /// Makes the fleet: node 1 first, then the others, with tokens.
    pub async fn found(&mut self) {
        self.certfleet(1, &["init"]).await.worked();
        let others: Vec<String> = self.numbers().skip(1).map(|n| self.name(n).to_string()).collect();
        if others.is_empty() {
            return;
        }
        let tokens = self.lab.dir.path().join("tokens");
        std::fs::create_dir(&tokens).expect("directory");
        let out = tokens.display().to_string();
        let words: Vec<&str> = std::iter::once("invite").chain(others.iter().map(String::as_str)).chain(["--out", &out]).collect();
        self.certfleet(1, &words).await.worked();
        for (n, roles) in &self.config.granted {
            self.certfleet(1, &["invite", self.name(*n).as_str(), "--roles", roles, "--out", &out]).await.worked();
        }
        // One that serves its store has to run before the others can ask.
        if self.config.is_served() {
            self.start_without_certificates().await;
        }
        for n in self.numbers().skip(1) {
            self.join(n).await;
        }
        self.let_in().await;
    }

    async fn start_without_certificates(&mut self) {
        self.write_config_as(&Config { certificates: Vec::new(), ..self.config.clone() });
        self.start_founding();
        self.until("node 1 is well", || async { self.admin(1, "/healthz").await.filter(|health| health.status == 200) }).await;
    }

    /// Node 1 runs, with no certificate to see to, until everybody who asked is a member.
    async fn let_in(&mut self) {
        if !self.config.is_served() {
            self.start_without_certificates().await;
        }
        let store = self.store().await;
        let asks = || async { store.list("joining").await.expect("the store can be read").entries.is_empty().then_some(()) };
        eventually("all are let in", LIMIT, asks).await;
        self.stop(1);
        self.write_config();
    }

    async fn join(&self, n: u8) {
        self.certfleet(n, &["join", &self.token(n)]).await.worked();
    }

    /// The file with the token of node `n`.
    pub fn token(&self, n: u8) -> String {
        self.lab.dir.path().join("tokens").join(format!("{}.token", self.name(n))).display().to_string()
    }

    /// One more machine, invited, that asks to be let in, and does not run.
    pub async fn grow(&mut self) -> u8 {
        self.grow_as("issue,answer,deploy").await
    }

    /// The same, with these roles.
    pub async fn grow_as(&mut self, roles: &str) -> u8 {
        let n = self.invited_as(roles).await;
        self.join(n).await;
        n
    }

    /// One more machine that has a token, and has not asked yet.
    pub async fn invited(&mut self) -> u8 {
        self.invited_as("issue,answer,deploy").await
    }

    async fn invited_as(&mut self, roles: &str) -> u8 {
        let n = u8::try_from(self.nodes.len() + 1).expect("few nodes");
        self.nodes.push(Node::new(n, self.lab.dir.path()));
        self.write_config();
        let (name, tokens) = (self.name(n).to_string(), self.lab.dir.path().join("tokens"));
        std::fs::create_dir_all(&tokens).expect("directory");
        let out = tokens.display().to_string();
        self.certfleet(1, &["invite", &name, "--roles", roles, "--out", &out]).await.worked();
        n
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.lab.dir.path().join("certfleet.toml")
    }

    /// Writes the configuration as it is in `self.config` now.
    pub fn write_config(&self) {
        self.write_config_as(&self.config);
    }

    /// Writes another configuration.
    pub fn write_config_as(&self, config: &Config) {
        let listeners: Vec<(String, String)> =
            self.numbers().map(|n| (self.name(n).to_string(), self.lab.address(n).to_string())).collect();
        std::fs::write(self.config_path(), config.text(self.lab.dir.path(), &listeners)).expect("the configuration can be written");
    }

    /// The nodes' numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        1..=u8::try_from(self.nodes.len()).expect("few nodes")
    }

    /// The name of node `n`.
    pub fn name(&self, n: u8) -> NodeName {
        format!("n{n}").parse().expect("a name")
    }

    /// The number of a node.
    pub fn number(&self, name: &NodeName) -> u8 {
        name.as_str()[1..].parse().expect("n and a number")
    }

    /// What node `n` has of its own: `state`, `live`, its admin socket, its log.
    pub fn dir(&self, n: u8) -> PathBuf {
        self.lab.dir.path().join(self.name(n).as_str())
    }

    /// Where the store is.
    pub fn store_dir(&self) -> PathBuf {
        self.lab.dir.path().join("store")
    }

    /// Runs a command as node `n`.
    pub async fn certfleet(&self, n: u8, words: &[&str]) -> Output {
        let output = self.certfleet_quietly(n, words).await;
        self.said.lock().expect("no panic while holding it").push_str(&format!("{}{}", output.stdout, output.stderr));
        output
    }

    /// Runs a command as node `n`, again until it works: the fleet may be putting right what it needs.
    pub async fn certfleet_until_it_works(&self, n: u8, words: &[&str]) {
        let once = || async { (self.certfleet(n, words).await.code == Some(0)).then_some(()) };
        self.until(&format!("{words:?} works"), once).await;
    }

    /// Runs a command whose output is not searched for keys.
    pub async fn certfleet_quietly(&self, n: u8, words: &[&str]) -> Output {
        node::command(&self.config_path(), &self.name(n), words, None).await
    }

    /// Runs a command that dies at a crash point.
    pub async fn certfleet_dies_at(&self, n: u8, words: &[&str], point: &str) {
        let output = node::command(&self.config_path(), &self.name(n), words, Some(point)).await;
        assert_eq!(output.code, None, "{words:?} did not come to {point}: {output:?}");
    }

    /// GET on the admin socket of node `n`.
    pub async fn admin(&self, n: u8, path: &str) -> Option<Answer> {
        client::get_unix(&self.dir(n).join("admin.sock"), path).await.ok()
    }

    /// `status` as node `n` sees it.
    pub async fn status(&self, n: u8) -> Option<Status> {
        let answer = self.admin(n, "/status").await.filter(|answer| answer.status == 200)?;
        Some(serde_json::from_str(&answer.body).expect("status is the documented JSON"))
    }

    /// A certificate as node `n` sees it.
    pub async fn certificate(&self, n: u8, name: &str) -> Option<CertificateStatus> {
        let name = name.parse().expect("a certificate's name");
        self.status(n).await?.certificate(&name).cloned()
    }

    /// Waits until the certificate, as node `n` sees it, is as wanted.
    pub async fn sees(&self, n: u8, cert: &str, what: &str, wanted: impl Fn(&CertificateStatus) -> bool) -> CertificateStatus {
        let look = || async { self.certificate(n, cert).await.filter(|status| wanted(status)) };
        eventually(&format!("node {n} sees {cert}: {what}"), LIMIT, look).await
    }

    /// Waits until `condition` gives something.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, condition: impl FnMut() -> F) -> T {
        eventually(what, LIMIT, condition).await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let mut outputs = std::mem::take(&mut *self.said.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let mut wrong = Vec::new();
        for node in &mut self.nodes {
            node.kill();
            let log = node.log();
            wrong.extend(audit::loose_keys(&node.dir, &node.dir.join("live"), self.live_key_mode));
            if self.config.log.contains("json") {
                wrong.extend(audit::odd_lines(&log));
            }
            outputs.push_str(&log);
        }
        for node in &self.nodes {
            wrong.extend(audit::leaks(&node.dir.join("live"), &outputs));
        }
        if std::thread::panicking() {
            return self.tell();
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

impl Fleet {
    /// What a person wants to read after a failed test.
    fn tell(&self) {
        for node in &self.nodes {
            eprintln!("---- {}\n{}", node.name, tail(&node.log(), 40));
        }
        eprintln!("---- pebble\n{}", tail(&self.lab.pebble.log(), 20));
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
