//! The engines that fleets are measured on, each a real server of this run's own. One more engine is one more line in [`start`] and [`ALL`].

use std::net::SocketAddr;
use std::path::Path;

use certfleet_testkit::etcd::{Etcd, Setup};
use certfleet_testkit::free_port;
use certfleet_testkit::moto::{self, Moto};
use certfleet_testkit::postgres::{Postgres, PostgresOptions};
use certfleet_testkit::redis::Redis;

use crate::Lab;
use crate::certfleet::{Fleet, Store};

/// All of them, as [`start`] knows them.
pub const ALL: [&str; 8] = ["file", "file?watch=poll", "etcd", "postgres", "redis", "central", "s3", "s3?poll=300"];
/// Members of the etcd cluster.
const ETCD_MEMBERS: u8 = 3;
/// Where the fleet is in S3.
const BUCKET: &str = "fleets";
/// How often nodes look for changes there, in seconds, when nothing is configured, and at the most.
const S3_POLL_SECONDS: u32 = 30;
const S3_POLL_SECONDS_MAX: u32 = 300;
/// What the redis engine's scripts call on the server itself; the fleet sends none of these alone when it rests.
const REDIS_INNER: [&str; 8] = ["hget", "hset", "hsetnx", "hincrby", "publish", "del", "type", "persist"];

/// An engine that runs, until this is dropped.
pub struct Engine {
    /// The store.
    pub store: Store,
    counter: Counter,
}

/// What tells how many requests an engine got.
enum Counter {
    /// The nodes alone.
    Nodes,
    Etcd(Etcd),
    Postgres(Postgres),
    Redis(Redis),
    S3(Moto),
}

/// Starts the engine of this name; `None` where its server is not installed.
pub async fn start(name: &'static str, lab: &Lab) -> Option<Engine> {
    let dir = lab.dir();
    let engine = |url: String, counter: Counter| Some(Engine { store: Store { url, served_at: None }, counter });
    match name {
        "file" => engine(format!("file://{}/store", dir.display()), Counter::Nodes),
        "file?watch=poll" => engine(format!("file://{}/store?watch=poll", dir.display()), Counter::Nodes),
        "etcd" => etcd(dir).await.and_then(|server| engine(format!("etcd://{}/bench", server.hosts()), Counter::Etcd(server))),
        "postgres" => postgres().await.and_then(|server| engine(server_url(&server), Counter::Postgres(server))),
        "redis" => Redis::start(&[]).await.and_then(|server| engine(format!("redis://{}", server.address()), Counter::Redis(server))),
        "central" => Some(central(lab)),
        "s3" => s3().await.and_then(|server| engine(server.url(BUCKET, server.address(), S3_POLL_SECONDS), Counter::S3(server))),
        "s3?poll=300" => {
            s3().await.and_then(|server| engine(server.url(BUCKET, server.address(), S3_POLL_SECONDS_MAX), Counter::S3(server)))
        }
        other => panic!("no engine is called {other}; there are {}", ALL.join(", ")),
    }
}

async fn etcd(dir: &Path) -> Option<Etcd> {
    let dir = dir.join("etcd");
    std::fs::create_dir(&dir).expect("a directory can be made");
    Etcd::start(&dir, &Setup { members: ETCD_MEMBERS, ..Setup::default() }).await.expect("etcd starts")
}

/// The first node serves its own directory to the others.
fn central(lab: &Lab) -> Engine {
    let host = lab.hosts[0].into();
    let at = SocketAddr::new(host, free_port(host));
    Engine { store: Store { url: format!("https://{at}"), served_at: Some(at) }, counter: Counter::Nodes }
}

async fn s3() -> Option<Moto> {
    let server = Moto::start(&moto::Setup::default()).await?;
    server.make_bucket(BUCKET).await;
    Some(server)
}

async fn postgres() -> Option<Postgres> {
    let settings = vec!["shared_preload_libraries = 'pg_stat_statements'".to_owned(), "max_connections = 200".to_owned()];
    let server = Postgres::start(PostgresOptions { settings, ..PostgresOptions::default() }).await?;
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements; CREATE ROLE fleet LOGIN PASSWORD 'fleet'").await;
    server.sql("postgres", "CREATE SCHEMA certfleet AUTHORIZATION fleet").await;
    Some(server)
}

fn server_url(server: &Postgres) -> String {
    format!("postgres://fleet:fleet@{}/postgres?sslmode=disable", server.address())
}

/// Of an engine that is looked at only now and then, fewer publications are measured.
pub fn publications_max(name: &str) -> u64 {
    match name {
        "s3" => 5,
        "s3?poll=300" => 0,
        _ => u64::MAX,
    }
}

impl Engine {
    /// Requests that it got so far, by its own count: messages of gRPC at all members of etcd, statements of the fleet's role at PostgreSQL,
    /// commands at Redis without those inside of scripts, requests that S3 logged. Elsewhere, what the nodes count.
    pub async fn requests(&self, fleet: &Fleet) -> f64 {
        match &self.counter {
            Counter::Nodes => fleet.store_operations().await,
            Counter::Etcd(server) => {
                let mut sum = 0.0;
                for member in 0..ETCD_MEMBERS {
                    let page = server.metrics(member).await.expect("etcd tells its metrics");
                    let lines = page.lines().filter(|line| line.starts_with("grpc_server_msg_received_total"));
                    sum += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
                }
                sum
            }
            Counter::Postgres(server) => {
                let count = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements JOIN pg_roles ON userid = oid WHERE rolname = 'fleet'";
                server.sql("postgres", count).await.trim().parse().expect("a count")
            }
            Counter::Redis(server) => redis_commands(&server.cli(&["INFO", "commandstats"])),
            Counter::S3(server) => server.requests().len() as f64,
        }
    }
}

/// The sum of `cmdstat_NAME:calls=N,…`, without the looks of this program.
fn redis_commands(info: &str) -> f64 {
    let lines = info.lines().filter_map(|line| line.trim().strip_prefix("cmdstat_")?.split_once(":calls="));
    let sent = lines.filter(|(name, _)| !REDIS_INNER.contains(name));
    sent.filter_map(|(_, rest)| rest.split(',').next()?.parse::<f64>().ok()).sum()
}
