//! Scenes about keys and trust: letting a machine in, putting records right, keys that are wrapped, requested, rolled over.

use certfleet_core::key::RecordKey;
use certfleet_core::records::InvitationRecord;
use certfleet_store::delete_settled;
use serde_json::Value;

use super::finished;
use super::scenes::{ANSWERER, DRIVERS, NAME, fleet, fleet_in, lab};
use crate::fleet::{Config, Fleet};

/// The points, but for `before-` and `after-`.
pub const POINTS: [&str; 11] = [
    "record-invitations",
    "record-nodes",
    "store-let-in",
    "record-certs",
    "store-put-back",
    "store-wrap",
    "store-request",
    "ca-roll-key",
    "store-rolled-account",
    "record-accounts",
    "store-next-account-key",
];

/// One of [`POINTS`].
pub async fn through(point: String) {
    let what = point.split_once('-').map_or("", |(_, what)| what);
    match what {
        "record-invitations" | "record-nodes" | "store-let-in" => lets_in(&point).await,
        "record-certs" => puts_right(&point, &format!("certs/{NAME}")).await,
        "store-put-back" => puts_right(&point, "nodes/n2").await,
        "store-wrap" => wraps(&point).await,
        "store-request" => requests(&point).await,
        "ca-roll-key" | "store-rolled-account" | "record-accounts" => rolls(&point).await,
        "store-next-account-key" => removes(&point).await,
        other => panic!("no scene for {other}"),
    }
}

/// A fifth machine asks, and node 1 dies letting it in. Its token's use is counted once.
async fn lets_in(point: &str) {
    let mut fleet = fleet(point).await;
    let late = fleet.grow().await;
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    [2, 3, late].into_iter().for_each(|n| fleet.start(n));
    fleet.have([2, 3, late], NAME, 1).await;
    fleet.start(1);
    finished(&fleet, NAME, 1).await;
    let store = fleet.store().await;
    let invitations = store.list("invitations").await.expect("the store can be read").entries;
    let uses = |record: InvitationRecord| record.used_by.iter().filter(|by| by.node == fleet.name(late)).count();
    let counted: usize = invitations.iter().map(|(_, stored)| uses(stored.envelope.record().expect("an invitation"))).sum();
    assert_eq!(counted, 1, "the use of its token");
}

/// A record vanishes while nobody runs, and node 1 dies putting it there again.
async fn puts_right(point: &str, key: &str) {
    let mut fleet = fleet(point).await;
    DRIVERS.for_each(|n| fleet.start(n));
    finished(&fleet, NAME, 1).await;
    fleet.numbers().for_each(|n| _ = fleet.stop(n));
    delete(&fleet, key).await;
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    fleet.numbers().skip(1).for_each(|n| fleet.start(n));
    let (store, key) = (fleet.store().await, key.parse().expect("a key"));
    fleet.until("the record is there again", || async { store.get(&key).await.expect("the store can be read") }).await;
    fleet.start(1);
    finished(&fleet, NAME, 1).await;
}

async fn delete(fleet: &Fleet, key: &str) {
    let (store, key) = (fleet.store().await, key.parse().expect("a key"));
    let stored = store.get(&key).await.expect("the store can be read").expect("the record is there");
    delete_settled(store.as_ref(), &key, &stored.revision).await.expect("the store takes it");
}

/// A machine comes when the certificate is there, and node 1 dies wrapping its key for it.
async fn wraps(point: &str) {
    let mut fleet = fleet(point).await;
    fleet.start(1);
    fleet.have([1], NAME, 1).await;
    let late = fleet.grow().await;
    is_in(&fleet, late).await;
    [1, ANSWERER].into_iter().for_each(|n| _ = fleet.stop(n));
    fleet.start(late);
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    [2, 3].into_iter().for_each(|n| fleet.start(n));
    fleet.have([2, 3, late], NAME, 1).await;
    [1, ANSWERER].into_iter().for_each(|n| fleet.start(n));
    finished(&fleet, NAME, 1).await;
}

async fn is_in(fleet: &Fleet, n: u8) {
    let (store, key) = (fleet.store().await, RecordKey::Node(fleet.name(n)).key());
    fleet.until("the machine is let in", || async { store.get(&key).await.expect("the store can be read") }).await;
}

/// A key is kept for the next generation, and node 1 dies asking for it.
async fn requests(point: &str) {
    let mut config = Config::plain(NAME);
    config.certificates[0].lines = "key = { reuse = true }".into();
    let mut fleet = fleet_in(lab(|_| {}).await, config, point).await;
    fleet.start(1);
    let first = fleet.have([1, ANSWERER], NAME, 1).await;
    [1, ANSWERER].into_iter().for_each(|n| _ = fleet.stop(n));
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    [2, 3, ANSWERER].into_iter().for_each(|n| fleet.start(n));
    fleet.have([2, 3], NAME, 2).await;
    fleet.start(1);
    let second = fleet.all_have(NAME, 2, 2).await;
    assert_eq!(second.key, first.key);
}

/// The account key is rolled over, and node 1 dies doing it. The CA has one account all along.
async fn rolls(point: &str) {
    let mut fleet = fleet(point).await;
    fleet.start(1);
    fleet.have([1], NAME, 1).await;
    fleet.stop(1);
    let before = thumbprint(&fleet).await.expect("nothing is rolled over yet");
    fleet.certfleet(1, &["account", "rotate"]).await.worked();
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    has_another_account_key(&mut fleet, &before, 2).await;
    fleet.start(1);
    fleet.all_have(NAME, 2, 2).await;
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1, "the same account");
}

/// Nodes 2 and 3 end what was begun, and get a certificate with the new key.
async fn has_another_account_key(fleet: &mut Fleet, before: &str, generation: u64) {
    [2, 3].into_iter().for_each(|n| fleet.start(n));
    fleet.until("the account has another key", || async { thumbprint(fleet).await.filter(|now| now != before) }).await;
    fleet.certfleet(2, &["renew", NAME]).await.worked();
    fleet.have([2, 3], NAME, generation).await;
}

/// That of the account key, if it is the only one.
async fn thumbprint(fleet: &Fleet) -> Option<String> {
    let shown = fleet.certfleet(2, &["account", "show", "--json"]).await.worked();
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    shown["key"]["thumbprint"].as_str().filter(|_| shown["next"].is_null()).map(str::to_owned)
}

/// A node with `issue` is in other hands, and node 1 dies making the next account key.
async fn removes(point: &str) {
    let mut fleet = fleet(point).await;
    let stolen = fleet.grow().await;
    fleet.start(1);
    fleet.have([1], NAME, 1).await;
    is_in(&fleet, stolen).await;
    fleet.stop(1);
    let before = thumbprint(&fleet).await.expect("nothing is rolled over yet");
    fleet.certfleet(1, &["node", "remove", &fleet.name(stolen).to_string(), "--compromised"]).await.worked();
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    has_another_account_key(&mut fleet, &before, 2).await;
    fleet.start(1);
    fleet.have(1..=ANSWERER, NAME, 2).await;
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1, "the same account");
}
