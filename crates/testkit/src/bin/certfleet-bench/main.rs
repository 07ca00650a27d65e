//! `make bench`: how fast a fleet gets its certificates, how fast it goes on when a node dies, and what an idle node costs; for certfleet and,
//! beside it on the same machine against the same CA, for Caddy on a shared directory. Then, on each engine, how fast a new generation reaches
//! ten nodes ([`spread`]), and what an idle fleet costs its engine and its nodes ([`quiet`]).
//!
//! Prints Markdown. Nothing here passes or fails by a time.

mod caddy;
mod caddy_large;
mod certfleet;
mod engines;
mod journal;
mod large;
mod measure;
mod quiet;
mod spread;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certfleet_testkit::Site;
use certfleet_testkit::pebble::{Pebble, PebbleOptions};

use measure::Idle;

/// How many machines a fleet has.
pub const NODES: u8 = 3;
/// How many certificates the large run is about.
const NAMES: usize = 50;
/// How often the take-over is measured.
const TAKEOVERS: usize = 3;
/// Longest time for one measurement.
pub const LIMIT: Duration = Duration::from_secs(180);
/// How long the CA may take for a check that has begun.
const CHECK: Duration = Duration::from_secs(1);
/// How long an idle node is watched.
const IDLE: Duration = Duration::from_secs(60);

/// A CA, addresses, and a directory for one run.
#[derive(Debug)]
pub struct Lab {
    /// The CA.
    pub pebble: Pebble,
    /// Where it validates.
    pub http_port: u16,
    /// Where visitors go.
    pub https_port: u16,
    /// The nodes' addresses.
    pub hosts: Vec<Ipv4Addr>,
    /// What the certificates are for.
    pub names: Vec<String>,
    dir: tempfile::TempDir,
    _site: Site,
}

impl Lab {
    async fn new(names: usize) -> Self {
        Self::of(NODES, names, |_| {}).await
    }

    /// With so many machines.
    pub async fn of(nodes: u8, names: usize, tune: impl FnOnce(&mut PebbleOptions)) -> Self {
        let site = Site::claim();
        let (http_port, https_port) = (site.port_on_all(nodes), site.port_on_all(nodes));
        let mut options = PebbleOptions { tls_port: https_port, ..PebbleOptions::new(http_port) };
        tune(&mut options);
        let pebble = Pebble::start(options).await.expect("pebble is installed");
        let hosts: Vec<Ipv4Addr> = (1..=nodes).map(|n| site.host(n)).collect();
        let names: Vec<String> = (0..names).map(|n| format!("n{n}.bench.example")).collect();
        for name in &names {
            pebble.set_a(name, &hosts).await;
        }
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        Self { pebble, http_port, https_port, hosts, names, dir, _site: site }
    }

    /// The run's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// DNS no longer names a node that was killed: else a later check by the CA would measure DNS. The check that runs goes on undisturbed.
    pub async fn without(&self, node: usize) {
        tokio::time::sleep(CHECK).await;
        let left: Vec<Ipv4Addr> = self.hosts.iter().enumerate().filter(|(n, _)| *n != node).map(|(_, host)| *host).collect();
        for name in &self.names {
            self.pebble.set_a(name, &left).await;
        }
    }

    /// Where visitors go on a node.
    pub fn https(&self, node: usize) -> SocketAddr {
        (self.hosts[node], self.https_port).into()
    }
}

/// What one kind of fleet showed.
#[derive(Debug, Default)]
struct Figures {
    all: Option<(Duration, usize)>,
    takeovers: Vec<Duration>,
    idle: Option<Idle>,
}

#[tokio::main]
async fn main() {
    let only = std::env::args().nth(1);
    let wanted = |who: &str| only.as_deref().is_none_or(|only| only == who);
    println!("Machine: {}\n", measure::machine());
    let mut rows = Vec::new();
    if wanted("certfleet") {
        rows.push(("certfleet", measure_certfleet().await));
    }
    if wanted("caddy") {
        match caddy::version() {
            Some(version) => rows.push((Box::leak(version.into_boxed_str()), measure_caddy().await)),
            None => eprintln!("SKIPPED: caddy is not installed (apt-get install caddy)"),
        }
    }
    if !rows.is_empty() {
        print_table(&rows);
    }
    if wanted("engines") {
        large::run().await;
    }
}

async fn measure_certfleet() -> Figures {
    let mut figures = Figures::default();
    let lab = Lab::new(NAMES).await;
    eprintln!("certfleet: {NAMES} names on {NODES} nodes");
    let fleet = certfleet::Fleet::prepare(&lab, &certfleet_program());
    let (took, _nodes) = fleet.until_all_have_all(&lab).await;
    figures.all = Some((took, lab.pebble.issued().len()));
    for round in 1..=TAKEOVERS {
        eprintln!("certfleet: take-over {round} of {TAKEOVERS}");
        let lab = Lab::new(1).await;
        let fleet = certfleet::Fleet::prepare(&lab, &certfleet_program());
        figures.takeovers.push(fleet.until_others_have_it(&lab).await);
    }
    let lab = Lab::new(1).await;
    eprintln!("certfleet: idle for {} s", IDLE.as_secs());
    let fleet = certfleet::Fleet::prepare(&lab, &certfleet_program());
    let (_, nodes) = fleet.until_all_have_all(&lab).await;
    figures.idle = Some(measure::idle(nodes[0].id(), IDLE).await);
    figures
}

async fn measure_caddy() -> Figures {
    let mut figures = Figures::default();
    let lab = Lab::new(NAMES).await;
    eprintln!("caddy: {NAMES} names on {NODES} nodes");
    let (took, _nodes) = caddy::until_all_serve_all(&lab).await;
    figures.all = Some((took, lab.pebble.issued().len()));
    for round in 1..=TAKEOVERS {
        eprintln!("caddy: take-over {round} of {TAKEOVERS}");
        let lab = Lab::new(1).await;
        figures.takeovers.push(caddy::until_others_serve_it(&lab).await);
    }
    let lab = Lab::new(1).await;
    eprintln!("caddy: idle for {} s", IDLE.as_secs());
    let (_, nodes) = caddy::until_all_serve_all(&lab).await;
    figures.idle = Some(measure::idle(nodes[0].id(), IDLE).await);
    figures
}

/// The binary beside this one.
pub fn certfleet_program() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it lies");
    let program = own.with_file_name("certfleet");
    assert!(program.is_file(), "{} is not there: `make bench` builds it", program.display());
    program
}

fn print_table(rows: &[(&str, Figures)]) {
    println!(
        "| | {NAMES} names on {NODES} nodes: all have all | certificates issued | driver killed: the others have it (median, worst of {TAKEOVERS}) | idle memory | idle CPU of one core |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (who, figures) in rows {
        let (took, issued) = figures.all.unwrap_or_default();
        let mut takeovers = figures.takeovers.clone();
        takeovers.sort();
        let median = takeovers.get(takeovers.len() / 2).copied().unwrap_or_default().as_secs_f64();
        let worst = takeovers.last().copied().unwrap_or_default().as_secs_f64();
        let idle = figures.idle.unwrap_or_default();
        println!(
            "| {who} | {:.1} s | {issued} | {median:.1} s, {worst:.1} s | {:.1} MB | {:.3} % |",
            took.as_secs_f64(),
            idle.resident_mb,
            idle.cpu_percent
        );
    }
}
