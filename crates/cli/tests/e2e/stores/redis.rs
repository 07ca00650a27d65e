//! Redis that crashes and comes back with what it had written, or fails over to a replica that has not got the last writes; and a node that is
//! cut off from it.

use certfleet_testkit::eventually;
use certfleet_testkit::redis::Redis;

use super::{CERTS, POINTS, Scene, cut};
use crate::LIMIT;

const SERVICE: &str = "prod";

#[tokio::test(flavor = "multi_thread")]
async fn redis_crashes() {
    let Some(mut server) = Redis::start(&[]).await else { return };
    let Some(mut scene) = Scene::start(&format!("redis://{}", server.address())).await else { return };
    for point in POINTS {
        println!("Redis crashes at {point}");
        scene.renew_disturbed(point, async || server.kill()).await;
        scene.notices("store").await;
        server.restart().await;
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_cut_off_from_redis() {
    let Some(server) = Redis::start(&[]).await else { return };
    cut::holders_are_cut_off(server.address(), |address| format!("redis://{address}")).await;
}

/// A master, a replica that may take its place, and the Sentinel that sees to it.
struct Group {
    master: Redis,
    replica: Redis,
    sentinel: Redis,
}

impl Group {
    async fn start() -> Option<Self> {
        let master = Redis::start(&[]).await?;
        let replica = master.replica().await?;
        let sentinel = master.sentinel(SERVICE).await?;
        Some(Self { master, replica, sentinel })
    }

    fn url(&self) -> String {
        format!("redis+sentinel://{}/{SERVICE}", self.sentinel.address())
    }

    /// What is written from now on is on the master alone.
    async fn leave_replica_behind(&self) {
        let offset = |server: &Redis, field: &str| {
            let info = server.cli(&["INFO", "replication"]);
            info.lines().find_map(|line| line.strip_prefix(field).map(|rest| rest.trim().to_owned()))
        };
        let same = || async { (offset(&self.master, "master_repl_offset:") == offset(&self.replica, "slave_repl_offset:")).then_some(()) };
        eventually("the replica is in step", LIMIT, same).await;
        self.replica.pause();
        assert_eq!(self.master.cli(&["CLIENT", "KILL", "TYPE", "replica"]), "1");
    }

    /// The master dies, and the replica is there again.
    fn fail(&mut self) {
        self.master.kill();
        self.replica.resume();
    }

    /// Waits for the new master, and gives it a replica.
    async fn grow(self) -> Self {
        let Self { replica: master, sentinel, .. } = self;
        let promoted = || async { master.cli(&["ROLE"]).starts_with("master").then_some(()) };
        eventually("the replica is the master", LIMIT, promoted).await;
        let replica = master.replica().await.expect("Redis is installed");
        let port = replica.address().port().to_string();
        let knows = || async { sentinel.cli(&["SENTINEL", "REPLICAS", SERVICE]).lines().any(|line| line.trim() == port).then_some(()) };
        eventually("the Sentinel knows the new replica", LIMIT, knows).await;
        Self { master, replica, sentinel }
    }
}

/// One failover at each point of a renewal, each without what was written since the renewals were asked for. What that costs at the CA is
/// bounded, and printed.
#[tokio::test(flavor = "multi_thread")]
async fn redis_fails_over_without_the_last_writes() {
    let Some(mut group) = Group::start().await else { return };
    let Some(mut scene) = Scene::start(&group.url()).await else { return };
    let mut unknown = 0;
    for point in POINTS {
        group.leave_replica_behind().await;
        scene.renew_disturbed(point, async || group.fail()).await;
        group = group.grow().await;
        scene.asks_again_for_what_is_lost().await;
        let extra = scene.settles().await.unknown.len() - unknown;
        println!("failover at {point}: {extra} extra certificates for {} certificates", CERTS.len());
        assert!(extra <= CERTS.len(), "more than one extra certificate for each");
        unknown += extra;
    }
    scene.end().await;
}
