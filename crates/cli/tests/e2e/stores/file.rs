//! A directory whose disk is full, or may not be written to for a while.

use certfleet_testkit::disk::SmallDisk;

use super::{POINTS, Scene};

/// Enough for the fleet's records, in megabytes.
const DISK_MB: u32 = 16;

async fn goes_wrong(what: &str, disturb: impl Fn(&SmallDisk), mend: impl Fn(&SmallDisk)) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(disk) = SmallDisk::mount(&dir.path().join("store"), DISK_MB) else { return };
    let Some(mut scene) = Scene::start(&format!("file://{}", disk.path().display())).await else { return };
    for point in POINTS {
        println!("{what} at {point}");
        scene.renew_disturbed(point, async || disturb(&disk)).await;
        scene.notices(what).await;
        mend(&disk);
        scene.settles().await.lost_nothing();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_a_directory_is_full() {
    goes_wrong("No space left on device", SmallDisk::fill, SmallDisk::make_room).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_read_only_for_a_while() {
    goes_wrong("Read-only file system", |disk| disk.set_read_only(true), |disk| disk.set_read_only(false)).await;
}
