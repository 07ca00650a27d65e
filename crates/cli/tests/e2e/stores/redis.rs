//! Redis that crashes and comes back with what it had written.

use certfleet_testkit::redis::Redis;

use super::{fleet, goes_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_outlives_a_crash_of_its_redis() {
    let Some(mut server) = Redis::start(&["appendonly yes", "appendfsync always"]).await else { return };
    let Some(mut fleet) = fleet(&format!("redis://{}", server.address())).await else { return };
    goes_on(&mut fleet, async {
        server.kill();
        server.restart().await;
    })
    .await;
}
