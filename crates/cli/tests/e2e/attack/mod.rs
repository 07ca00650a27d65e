//! Whoever can write to the store, and a member that may only install: every field of every record changed, every record put in place of every
//! other, old ones put back, records deleted, strangers who ask to be let in. Nothing is installed, ordered or answered because of it, no
//! node panics (`fleet::audit`), and the fleet goes on.
//!
//! The fleet's own record is attacked by itself: where nothing of a fleet is left in a store, its nodes take it for another store, order nothing
//! and wait for the operator (`store.rs`).

mod forge;
mod placements;
mod scene;
mod strangers;

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_store::Stored;

use scene::{INSTALLER, Scene, may_be_written_by_the_installer};

type Records = Vec<(Key, Stored)>;

fn is_fleet(key: &Key) -> bool {
    RecordKey::of(key) == Some(RecordKey::Fleet)
}

/// The fleet's record, and all the others.
async fn halves(scene: &Scene) -> [Records; 2] {
    let (fleet, others) = scene.records().await.into_iter().partition(|(key, _)| is_fleet(key));
    [fleet, others]
}

/// The records as the next round changes them: what the fleet has put right meanwhile is taken as it is now.
async fn as_they_are(scene: &Scene, records: Records) -> Records {
    let mut next = Vec::new();
    for (key, stored) in records {
        let there = scene.store.get(&key).await.ok().flatten();
        let is_later = |there: &Stored| there.envelope.change > stored.envelope.change && there.envelope.change < u64::MAX / 2;
        next.push((key.clone(), there.filter(is_later).unwrap_or(stored)));
    }
    next
}

/// For every field of every record, one at a time for each record: what `forge` makes of the record and the field is planted. All that the
/// writer may not write must be named by `store check` and refused by the nodes.
async fn every_field(scene: &mut Scene, nodes: &[u8], forge: impl Fn(&Key, &Stored, &str) -> Envelope, may: fn(&Key) -> bool) {
    for mut records in halves(scene).await {
        for round in 0.. {
            let mut planted = Vec::new();
            let mut is_over = true;
            for (key, stored) in &records {
                let value = serde_json::to_value(&stored.envelope).expect("JSON");
                let Some(field) = forge::fields(&value).into_iter().nth(round) else { continue };
                is_over = false;
                planted.extend(scene.plant(key, &forge(key, stored, &field)).await);
            }
            if is_over {
                break;
            }
            planted.retain(|(key, _)| !may(key));
            scene.are_named(&planted).await;
            scene.are_refused(nodes, planted).await;
            records = as_they_are(scene, records).await;
        }
        scene.is_put_right().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_any_record_can_be_changed_by_a_stranger() {
    let Some(mut scene) = Scene::new().await else { return };
    every_field(&mut scene, &[1, 2, INSTALLER], |_, stored, field| forge::envelope(&stored.envelope, field), |_| false).await;
    scene.nothing_came_of_it().await;
    scene.the_fleet_goes_on(3).await;
}

/// It is a member, and signs what it writes; the others' table says what of that counts. Its own process does not run meanwhile: the attacker
/// is the node.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_may_only_install_can_change_nothing_else() {
    let Some(mut scene) = Scene::new().await else { return };
    scene.fleet.stop(INSTALLER);
    let pen = scene.fleet.pen(INSTALLER);
    let sign = |key: &Key, stored: &Stored, field: &str| {
        let forged = forge::envelope(&stored.envelope, field);
        let record = RecordKey::of(key).expect("a record's key");
        pen.write(&record, &forged.body, &Expect::Revision(stored.revision.clone())).expect("it can be signed")
    };
    every_field(&mut scene, &[1, 2], sign, may_be_written_by_the_installer).await;
    scene.fleet.start(INSTALLER);
    scene.fleet.until("the node runs again", || scene.fleet.status(INSTALLER)).await;
    scene.nothing_came_of_it().await;
    scene.the_fleet_goes_on(3).await;
}

/// Every record in the place of every other: in each round all are moved by so many places.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_counts_in_the_place_of_another() {
    let Some(mut scene) = Scene::new().await else { return };
    let records = scene.records().await;
    for shift in 1..records.len() {
        let mut planted = Vec::new();
        let moved = records.iter().cycle().skip(shift);
        for ((key, _), (_, other)) in records.iter().zip(moved).filter(|((key, _), _)| !is_fleet(key)) {
            planted.extend(scene.plant(key, &other.envelope).await);
        }
        scene.are_refused(&[1, 2, INSTALLER], planted).await;
    }
    scene.is_put_right().await;
    for (_, other) in records.iter().filter(|(key, _)| !is_fleet(key)) {
        let planted = scene.plant(&RecordKey::Fleet.key(), &other.envelope).await;
        scene.are_refused(&[1, 2, INSTALLER], planted.into_iter().collect()).await;
    }
    scene.is_put_right().await;
    scene.nothing_came_of_it().await;
    scene.the_fleet_goes_on(3).await;
}
