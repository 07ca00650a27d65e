//! Old records put back, records deleted, and machines that ask to be let in without the right to.

use certfleet_core::envelope::Expect;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::records::NodeRecord;
use certfleet_core::view::is_kept;
use certfleet_node::identity::Identity;
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

/// Machines that ask with what is no token of theirs any more, or never was. None is let in, and none keeps the fleet from letting others in.
#[tokio::test(flavor = "multi_thread")]
async fn machines_without_a_good_token_are_not_let_in() {
    let Some(mut scene) = Scene::new().await else { return };
    let used = scene.records().await.into_iter().find_map(|(key, stored)| {
        let is_its = matches!(RecordKey::of(&key), Some(RecordKey::Node(node)) if node == scene.fleet.name(INSTALLER));
        is_its.then(|| stored.envelope.record::<NodeRecord>().expect("a member"))
    });
    let used = used.expect("it is a member");
    let mine = stranger(&used);
    let attempts: [(&str, NodeRecord); 4] = [
        ("a member's token and proof, with keys of one's own", NodeRecord { name: name("n7"), ..mine.clone() }),
        ("the same under the member's name", mine.clone()),
        ("no token", NodeRecord { grant: None, proof: None, name: name("n8"), ..mine.clone() }),
        ("a member's record as it is", NodeRecord { name: name("n9"), ..used.clone() }),
    ];
    let pen = scene.fleet.pen(INSTALLER);
    for (how, record) in attempts {
        let key = RecordKey::Joining(record.name.clone());
        let envelope = pen.write(&key, &record, &Expect::Absent).expect("it can be signed");
        let planted = scene.plant(&key.key(), &envelope).await;
        assert!(planted.is_some(), "{how}");
        scene.are_refused(&[1, 2], planted.into_iter().collect()).await;
    }
    let late = scene.fleet.grow().await;
    scene.fleet.start(late);
    scene.fleet.have([late], SHARED, 2).await;
    let members: Vec<Key> =
        scene.store.list("nodes").await.expect("the store can be read").entries.into_iter().map(|(key, _)| key).collect();
    assert_eq!(members.len(), 4, "{members:?}");
    let member = scene.store.get(&RecordKey::Node(used.name.clone()).key()).await.expect("the store can be read").expect("it is there");
    assert_eq!(member.envelope.record::<NodeRecord>().expect("a member"), used);
}

fn name(name: &str) -> NodeName {
    name.parse().expect("a name")
}

/// A machine with keys of its own that shows another's token.
fn stranger(used: &NodeRecord) -> NodeRecord {
    let draw = Identity::draw("f00".parse().expect("an id"), "lab".into(), Vec::new(), used.name.clone()).expect("keys can be drawn");
    let (signing_key, sealing_key) = draw.public_keys();
    NodeRecord { identity: draw.identity.clone(), signing_key, sealing_key, ..used.clone() }
}
