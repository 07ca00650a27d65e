//! Engines on which a fleet's store can be taken away, or exchanged for an empty one or another fleet's, behind one URL.

use std::fs;
use std::path::{Path, PathBuf};

use certfleet_testkit::etcd::{Etcd, Setup};
use certfleet_testkit::moto::{self, Moto};
use certfleet_testkit::postgres::{Postgres, PostgresOptions};
use certfleet_testkit::redis::Redis;
use tempfile::TempDir;

use super::switch::Switch;
use crate::fleet::init_elsewhere;

/// What stands at the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nothing that answers.
    Away,
    /// The engine, and nothing in it.
    Empty,
    /// Another fleet's store.
    Other,
    /// The fleet's own.
    Right,
}

/// An engine.
pub enum Engine {
    /// Directories that are renamed.
    File(TempDir),
    /// Clusters behind a switch: right, empty, other.
    Etcd { clusters: Box<[Etcd; 3]>, switch: Switch, _dir: TempDir },
    /// Schemas that are renamed, behind a switch.
    Postgres(Box<Postgres>, Switch, String),
    /// Servers behind a switch, in the same order.
    Redis(Box<[Redis; 3]>, Switch),
    /// The same, each with a bucket of that name.
    S3(Box<[Moto; 3]>, Switch),
}

/// The directories and schemas of the places, while they are not at the URL.
const NAMES: [(Place, &str); 3] = [(Place::Right, "right"), (Place::Empty, "empty"), (Place::Other, "other")];

/// The bucket on each of the servers.
const BUCKET: &str = "fleets";

fn temporary() -> TempDir {
    tempfile::tempdir().expect("temporary directory")
}

impl Engine {
    pub fn file() -> Self {
        Self::File(temporary())
    }

    pub async fn etcd() -> Option<Self> {
        let dir = temporary();
        let mut clusters = Vec::new();
        for (_, name) in NAMES {
            let at = dir.path().join(name);
            fs::create_dir(&at).expect("directory");
            clusters.push(Etcd::start(&at, &Setup::default()).await.expect("etcd starts")?);
        }
        let switch = Switch::to(clusters[0].address(0)).await;
        Some(Self::Etcd { clusters: Box::new(clusters.try_into().expect("three")), switch, _dir: dir })
    }

    pub async fn postgres() -> Option<Self> {
        let server = Postgres::start(PostgresOptions::default()).await?;
        let (switch, database) = (Switch::to(server.address()).await, server.new_database().await);
        Some(Self::Postgres(Box::new(server), switch, database))
    }

    pub async fn redis() -> Option<Self> {
        let mut servers = Vec::new();
        for _ in NAMES {
            servers.push(Redis::start(&["appendonly yes"]).await?);
        }
        let switch = Switch::to(servers[0].address()).await;
        Some(Self::Redis(Box::new(servers.try_into().expect("three")), switch))
    }

    pub async fn s3() -> Option<Self> {
        let mut servers = Vec::new();
        for _ in NAMES {
            let server = Moto::start(&moto::Setup::default()).await?;
            server.make_bucket(BUCKET).await;
            servers.push(server);
        }
        let switch = Switch::to(servers[0].address()).await;
        Some(Self::S3(Box::new(servers.try_into().expect("three")), switch))
    }

    /// What the nodes are configured with.
    pub fn url(&self) -> String {
        match self {
            Self::File(dir) => format!("file://{}/store", dir.path().display()),
            Self::Etcd { switch, .. } => format!("etcd://{}/lab", switch.address()),
            Self::Postgres(server, switch, database) => server.url_at(switch.address(), database),
            Self::Redis(_, switch) => format!("redis://{}", switch.address()),
            Self::S3(servers, switch) => servers[0].url(BUCKET, switch.address(), 1),
        }
    }

    /// Puts another fleet's store into its place; the fleet's own is at the URL before and after.
    pub async fn found_other(&self, scratch: &Path) {
        self.set(Place::Right, Place::Other).await;
        init_elsewhere(scratch, &self.url()).await;
        self.set(Place::Other, Place::Right).await;
    }

    /// Exchanges what stands at the URL.
    pub async fn set(&self, from: Place, to: Place) {
        match self {
            Self::File(dir) => {
                let name = |place| dir.path().join(name_of(place));
                if from != Place::Away {
                    move_dir(&dir.path().join("store"), &name(from));
                }
                if to != Place::Away {
                    move_dir(&name(to), &dir.path().join("store"));
                }
            }
            Self::Etcd { clusters, switch, .. } => switch.set(number(to).map(|n| clusters[n].address(0))),
            Self::Redis(servers, switch) => switch.set(number(to).map(|n| servers[n].address())),
            Self::S3(servers, switch) => switch.set(number(to).map(|n| servers[n].address())),
            Self::Postgres(server, switch, database) => {
                switch.set(None);
                server.sql(database, &renamed("certfleet", name_of(from))).await;
                server.sql(database, &renamed(name_of(to), "certfleet")).await;
                switch.set((to != Place::Away).then(|| server.address()));
            }
        }
    }
}

fn number(place: Place) -> Option<usize> {
    NAMES.iter().position(|(known, _)| *known == place)
}

fn name_of(place: Place) -> &'static str {
    number(place).map_or("away", |n| NAMES[n].1)
}

/// An empty place may not be there at all.
fn move_dir(from: &Path, to: &PathBuf) {
    match from.exists() {
        true => fs::rename(from, to).expect("it can be renamed"),
        false => fs::create_dir(to).expect("directory"),
    }
}

fn renamed(from: &str, to: &str) -> String {
    format!(
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_namespace WHERE nspname = '{from}') THEN ALTER SCHEMA \"{from}\" RENAME TO \"{to}\"; END IF; END $$"
    )
}
