//! Old records put back, records deleted, and machines that ask to be let in without the right to.

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::view::is_kept;
use certfleet_node::names::Generation;
use certfleet_store::{Stored, delete_settled};

use super::scene::{INSTALLER, SHARED, Scene};

/// Whether it is one of those that stay for ever, and may not go back.
fn stays(key: &Key) -> bool {
    RecordKey::of(key).is_some_and(|record| is_kept(&record))
}

/// What stood in the store before the last two renewals is put back.
#[tokio::test(flavor = "multi_thread")]
async fn last_months_records_do_not_come_back() {
    let Some(mut scene) = Scene::new().await else { return };
    let last_month = scene.records().await;
    scene.the_fleet_goes_on(3).await;
    scene.is_as_it_was_before().await;
    let mut planted = Vec::new();
    for (key, stored) in &last_month {
        let there = scene.store.get(key).await.expect("the store can be read");
        if there.is_some_and(|there| there.envelope != stored.envelope) {
            planted.extend(scene.plant(key, &stored.envelope).await.filter(|(key, _)| stays(key)));
        }
    }
    assert!(planted.iter().any(|(key, _)| key.as_str() == format!("certs/{SHARED}")), "{planted:?}");
    scene.are_refused(&[1, 2, INSTALLER], planted).await;
    scene.is_put_right().await;
    let placed = scene.fleet.record(SHARED).await.placed.expect("it is placed").placement.generation;
    assert_eq!(placed, Generation(3));
    scene.nothing_came_of_it().await;
    scene.the_fleet_goes_on(4).await;
}

/// All records but the fleet's vanish at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_comes_back_and_nothing_is_issued_anew() {
    let Some(mut scene) = Scene::new().await else { return };
    let records = scene.records().await;
    for (key, Stored { .. }) in records.iter().filter(|(key, _)| *key != RecordKey::Fleet.key()) {
        let there = scene.store.get(key).await.expect("the store can be read");
        if let Some(there) = there {
            delete_settled(scene.store.as_ref(), key, &there.revision).await.expect("the store takes it");
        }
    }
    for (key, _) in records.iter().filter(|(key, _)| stays(key)) {
        let there = || async { scene.store.get(key).await.expect("the store can be read") };
        scene.fleet.until(&format!("{key} is there again"), there).await;
    }
    scene.is_put_right().await;
    scene.nothing_came_of_it().await;
    scene.the_fleet_goes_on(3).await;
}
