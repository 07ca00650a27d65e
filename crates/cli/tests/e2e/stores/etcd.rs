//! etcd: a cluster of three that loses its leader, again and again; and a node that is cut off from it.

use certfleet_testkit::etcd::{Etcd, Setup};

use super::{POINTS, Scene, cut};

/// The leader is killed at each point of a renewal, and the next one while the renewals go on.
#[tokio::test(flavor = "multi_thread")]
async fn etcd_loses_its_leader_again_and_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(mut etcd) = Etcd::start(dir.path(), &Setup { members: 3, ..Setup::default() }).await.expect("etcd starts") else { return };
    let Some(mut scene) = Scene::start(&format!("etcd://{}/lab", etcd.hosts())).await else { return };
    for point in POINTS {
        println!("the leader is killed at {point}");
        let mut killed = etcd.leader().await;
        scene.renew_disturbed(point, async || etcd.kill(killed)).await;
        for _ in 0..2 {
            let next = etcd.leader().await;
            etcd.spawn(killed).expect("it starts again");
            etcd.ready(killed).await;
            etcd.kill(next);
            killed = next;
        }
        etcd.spawn(killed).expect("it starts again");
        etcd.ready(killed).await;
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_cut_off_from_etcd() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(etcd) = Etcd::start(dir.path(), &Setup::default()).await.expect("etcd starts") else { return };
    cut::holders_are_cut_off(etcd.address(0), |address| format!("etcd://{address}/lab")).await;
}
