//! A fleet of certfleet on a shared directory; plain files are its targets.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use certfleet_testkit::{Process, admin};

use crate::{LIMIT, Lab};

/// How often files are looked for.
const POLL: Duration = Duration::from_millis(5);
/// How long a node may take to serve its store after its start.
const START: Duration = Duration::from_secs(30);

/// Where a fleet keeps its state.
#[derive(Debug, Clone)]
pub struct Store {
    /// What all nodes are configured with.
    pub url: String,
    /// The first node serves a directory of its own there.
    pub served_at: Option<SocketAddr>,
}

/// A fleet that is ready to be started.
#[derive(Debug)]
pub struct Fleet {
    program: PathBuf,
    dir: PathBuf,
    store: Store,
    nodes: u8,
}

impl Fleet {
    /// The same as [`Self::prepare_on`] on a shared directory.
    pub fn prepare(lab: &Lab, program: &Path) -> Self {
        Self::prepare_on(lab, program, &Store { url: format!("file://{}/store", lab.dir().display()), served_at: None })
    }

    /// Writes the configuration, makes the fleet in this store, joins the nodes.
    pub fn prepare_on(lab: &Lab, program: &Path, store: &Store) -> Self {
        let nodes = u8::try_from(lab.hosts.len()).expect("few nodes");
        let fleet = Self { program: program.to_owned(), dir: lab.dir().to_owned(), store: store.clone(), nodes };
        std::fs::write(fleet.dir.join("certfleet.toml"), fleet.configuration(lab)).expect("the configuration can be written");
        fleet.numbers().for_each(|n| std::fs::create_dir_all(fleet.dir.join(format!("n{n}/live"))).expect("a directory can be made"));
        fleet.command(1, &["init", "--node", "n1"]);
        // The others join what the first one serves.
        let _first = store.served_at.map(|_| fleet.run(1));
        for n in fleet.numbers().skip(1) {
            let token = fleet.command(1, &["invite", &format!("n{n}")]);
            fleet.command_that_works_soon(n, &["join", token.trim()]);
        }
        fleet
    }

    fn configuration(&self, lab: &Lab) -> String {
        let (dir, store) = (self.dir.display(), &self.store.url);
        let mut text = format!(
            "[fleet]\nname = \"bench\"\nstore = \"{store}\"\n[issuer.pebble]\ndirectory = \"{}\"\nroot = \"{}\"\nagree_tos = true\n\
             [log]\nformat = \"json\"\nlevel = \"debug\"\n[deploy.plain]\nkind = \"files\"\ndir = \"{dir}/{{node}}/live/{{name}}\"\nverify = \"off\"\n",
            lab.pebble.directory_url(),
            lab.pebble.root_pem_path().display()
        );
        for (n, host) in (1..).zip(&lab.hosts) {
            let own = self.store.served_at.filter(|_| n == 1).map(|at| format!("store = \"file://{dir}/store\"\nserve = \"{at}\"\n"));
            text.push_str(&format!(
                "[node.n{n}]\nstate = \"{dir}/n{n}/state\"\nanswer = {{ http = \"{host}:{}\" }}\nadmin = {{ listen = \"{dir}/n{n}/admin.sock\" }}\n{}",
                lab.http_port,
                own.unwrap_or_default()
            ));
        }
        lab.names.iter().for_each(|name| text.push_str(&format!("[[certificate]]\nnames = [\"{name}\"]\ndeploy = [\"plain\"]\n")));
        text
    }

    fn base(&self, node: u8) -> Command {
        let mut command = Command::new(&self.program);
        command.env("CERTFLEET_CONFIG", self.dir.join("certfleet.toml")).env("CERTFLEET_NODE", format!("n{node}"));
        command
    }

    fn numbers(&self) -> RangeInclusive<u8> {
        1..=self.nodes
    }

    /// Where a node, the first being 1, writes its log.
    pub fn log(&self, node: usize) -> PathBuf {
        self.dir.join(format!("n{node}/log"))
    }

    /// Runs a command as this node.
    pub fn command(&self, node: u8, words: &[&str]) -> String {
        let output = self.base(node).args(words).output().expect("certfleet can be run");
        assert!(output.status.success(), "certfleet {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same, tried again for a while: what it needs is being started.
    fn command_that_works_soon(&self, node: u8, words: &[&str]) {
        let start = Instant::now();
        while !self.base(node).args(words).output().expect("certfleet can be run").status.success() {
            if start.elapsed() > START {
                self.command(node, words);
                return;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Operations on the store so far, as the nodes count them; where one serves it, that one's, which are all.
    pub async fn store_operations(&self) -> f64 {
        let counting = if self.store.served_at.is_some() { 1..=1 } else { self.numbers() };
        let mut sum = 0;
        for n in counting {
            let page = admin::metrics(&self.dir.join(format!("n{n}/admin.sock"))).await.expect("a node tells its metrics");
            sum += admin::sum(&page, "certfleet_store_operation_duration_seconds_count", "operation");
        }
        sum as f64
    }

    fn run(&self, node: u8) -> Process {
        let mut command = self.base(node);
        Process::start("certfleet", command.arg("run"), &self.log(node.into())).expect("certfleet can be started")
    }

    /// A stand-in has no chain of more than one certificate; what the CA issued has.
    fn has(&self, node: u8, name: &str) -> bool {
        let path = self.dir.join(format!("n{node}/live/{name}/fullchain.pem"));
        std::fs::read_to_string(path).is_ok_and(|chain| chain.matches("BEGIN CERTIFICATE").count() > 1)
    }

    async fn until(&self, lab: &Lab, nodes: &[u8], limit: Duration) -> Duration {
        let start = Instant::now();
        for node in nodes {
            for name in &lab.names {
                while !self.has(*node, name) {
                    assert!(start.elapsed() < limit, "{name} is not on n{node} after {limit:?}; see {}", self.dir.display());
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        start.elapsed()
    }

    /// Starts all nodes at once; how long until all have installed everything.
    pub async fn until_all_have_all(&self, lab: &Lab) -> (Duration, Vec<Process>) {
        let nodes: Vec<Process> = self.numbers().map(|n| self.run(n)).collect();
        let all: Vec<u8> = self.numbers().collect();
        (self.until(lab, &all, LIMIT).await, nodes)
    }

    /// The same, but the first node gets everything alone before the others start: where all order at once, pebble 2.4 comes to a stand for good
    /// after some hundred orders (its store waits for itself).
    pub async fn until_all_have_all_from_one(&self, lab: &Lab, limit: Duration) -> (Duration, Vec<Process>) {
        let start = Instant::now();
        let mut nodes = vec![self.run(1)];
        self.until(lab, &[1], limit).await;
        nodes.extend(self.numbers().skip(1).map(|n| self.run(n)));
        let all: Vec<u8> = self.numbers().collect();
        self.until(lab, &all, limit).await;
        (start.elapsed(), nodes)
    }

    /// Kills the node that drives the order once its challenge was declared; how long until the others have the certificate.
    pub async fn until_others_have_it(&self, lab: &Lab) -> Duration {
        let mut nodes: Vec<Process> = self.numbers().map(|n| self.run(n)).collect();
        let start = Instant::now();
        let driver = loop {
            if let Some(driver) = nodes.iter().position(|node| node.output().contains("\"call\":\"ready\"")) {
                break driver;
            }
            assert!(start.elapsed() < LIMIT, "no node drives an order after {LIMIT:?}; see {}", self.dir.display());
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        nodes[driver].kill();
        let killed = Instant::now();
        lab.without(driver).await;
        let others: Vec<u8> = self.numbers().filter(|n| usize::from(*n) != driver + 1).collect();
        self.until(lab, &others, LIMIT).await;
        let took = killed.elapsed();
        assert_eq!(lab.pebble.orders_seen(), 1, "the others finish the same order");
        took
    }
}
