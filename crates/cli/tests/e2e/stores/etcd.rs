//! etcd: a cluster of three that loses its leader.

use certfleet_testkit::etcd::{Etcd, Setup};

use super::{fleet, goes_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_outlives_its_etcd_leader() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(mut etcd) = Etcd::start(dir.path(), &Setup { members: 3, ..Setup::default() }).await.expect("etcd starts") else { return };
    let Some(mut fleet) = fleet(&format!("etcd://{}/lab", etcd.hosts())).await else { return };
    goes_on(&mut fleet, async {
        let leader = etcd.leader().await;
        etcd.kill(leader);
    })
    .await;
}
