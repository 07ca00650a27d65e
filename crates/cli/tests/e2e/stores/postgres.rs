//! PostgreSQL that stops or crashes, has no connection left, or no room on its disk; and a node that is cut off from it.

use std::os::unix::fs::chown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use certfleet_testkit::disk::SmallDisk;
use certfleet_testkit::eventually;
use certfleet_testkit::postgres::{Postgres, PostgresOptions};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::{POINTS, Scene, cut};
use crate::LIMIT;

/// More than a fleet of four needs, few enough to be used up; the test's own words get through.
const CONNECTIONS: [&str; 2] = ["max_connections = 50", "superuser_reserved_connections = 15"];
/// Enough for the fleet's records, in megabytes.
const DISK_MB: u32 = 8;

/// At each point of a renewal it is ended, once with a word to its sessions and once without, and comes back when the fleet has noticed.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_restarted() {
    let Some(mut server) = Postgres::start(PostgresOptions::default()).await else { return };
    let Some(mut scene) = Scene::start(&server.url("postgres")).await else { return };
    for (point, crash) in POINTS.into_iter().zip([true, false].into_iter().cycle()) {
        println!("PostgreSQL {} at {point}", if crash { "crashes" } else { "stops" });
        scene.renew_disturbed(point, async || if crash { server.crash().await } else { server.stop().await }).await;
        scene.notices("see that PostgreSQL runs there").await;
        server.run().await;
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_cut_off_from_postgresql() {
    let Some(server) = Postgres::start(PostgresOptions::default()).await else { return };
    cut::holders_are_cut_off(server.address(), |address| server.url_at(address, "postgres")).await;
}

/// Sessions of somebody else's, who takes every connection that is free until told to go.
struct Crowd {
    stop: Arc<AtomicBool>,
    /// Nothing was free when it asked last.
    has_all: Arc<AtomicBool>,
    coming: JoinHandle<Vec<Client>>,
}

impl Crowd {
    fn come(url: String) -> Self {
        let (stop, has_all) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told, full) = (stop.clone(), has_all.clone());
        let coming = tokio::spawn(async move {
            let mut sessions = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let session = tokio_postgres::connect(&url, NoTls).await;
                full.store(session.is_err(), Ordering::Relaxed);
                if let Ok((client, connection)) = session {
                    tokio::spawn(connection);
                    sessions.push(client);
                }
            }
            sessions
        });
        Self { stop, has_all, coming }
    }

    /// Ends the fleet's sessions until the crowd has what they had.
    async fn displaces_the_fleet(&self, server: &Postgres) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'fleet'";
        let ended = || async {
            let has_ended = server.sql("postgres", end).await != "0";
            // What was free before is taken anew.
            let is_full = !has_ended && self.has_all.load(Ordering::Relaxed);
            self.has_all.fetch_and(!has_ended, Ordering::Relaxed);
            is_full.then_some(())
        };
        eventually("the fleet has no connection, and none is free", LIMIT, ended).await;
    }

    async fn go(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.coming.await.expect("it does not panic"));
    }
}

/// The fleet's sessions are ended in mid-renewal, and others have all connections by then.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_has_no_connection_left() {
    let options = PostgresOptions { settings: CONNECTIONS.map(str::to_owned).into(), ..PostgresOptions::default() };
    let Some(server) = Postgres::start(options).await else { return };
    let url = |role: &str| format!("postgres://{role}:{role}@{}/postgres?sslmode=disable", server.address());
    server.sql("postgres", "CREATE ROLE fleet LOGIN PASSWORD 'fleet'; CREATE SCHEMA certfleet AUTHORIZATION fleet").await;
    server.sql("postgres", "CREATE ROLE crowd LOGIN PASSWORD 'crowd'").await;
    let Some(mut scene) = Scene::start(&url("fleet")).await else { return };
    for point in POINTS {
        println!("no connection is left at {point}");
        let mut crowd = None;
        scene
            .renew_disturbed(point, async || {
                crowd.insert(Crowd::come(url("crowd"))).displaces_the_fleet(&server).await;
            })
            .await;
        scene.notices("max_connections").await;
        crowd.expect("it came").go().await;
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}

/// The disk of the table is full in mid-renewal, until the fleet has noticed.
#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_postgresql_is_full() {
    let Some(server) = Postgres::start(PostgresOptions::default()).await else { return };
    let Some(disk) = SmallDisk::mount(&server.socket_dir().join("small"), DISK_MB) else { return };
    let Some(mut scene) = Scene::start(&server.url("postgres")).await else { return };
    chown(disk.path(), Some(server.uid()), None).expect("root may give it away");
    server.sql("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display())).await;
    server.sql("postgres", "ALTER TABLE certfleet.records SET TABLESPACE small").await;
    for point in POINTS {
        println!("the disk is full at {point}");
        scene
            .renew_disturbed(point, async || {
                // No room between the rows that are there, either.
                server.sql("postgres", "VACUUM FULL certfleet.records").await;
                disk.fill();
            })
            .await;
        // What little room is left in the last page is used up by asking again.
        scene.is_asked_until_it_notices("No space left on device").await;
        disk.make_room();
        scene.rests().await;
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}
