//! `kill -9` at every named point: another node finishes, the CA issues no certificate too many, the key is in the store, all nodes have it.
//!
//! Each point is gone through by [`scenes`]: one node alone comes to the point and dies, the others start and finish, the dead one starts again.
//! The points of a first issue are gone through a second time with all nodes running, and each of them armed.

mod points;
mod scenes;
mod servers;
mod trust;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use certfleet_testkit::installed;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::fleet::Fleet;

/// How many fleets run at the same time: each mostly waits until a holder counts as gone.
const FLEETS_AT_ONCE: usize = 8;
static FREE: Semaphore = Semaphore::const_new(FLEETS_AT_ONCE);
/// The points of a first issue, but for `before-` and `after-`.
const FIRST_ISSUE: [&str; 15] = [
    "store-account-key",
    "ca-register",
    "store-key",
    "cas-keyed",
    "ca-new-order",
    "cas-ordered",
    "cas-validating",
    "ca-ready",
    "ca-look",
    "cas-finalizing",
    "ca-finalize",
    "ca-fetch",
    "store-version",
    "cas-placed",
    "install-files",
];

fn both(what: &str) -> [String; 2] {
    [format!("before-{what}"), format!("after-{what}")]
}

/// Goes through all points, some at the same time; tells which failed.
async fn each<F: Future<Output = ()> + Send + 'static>(points: Vec<String>, through: impl Fn(String) -> F) {
    if installed("pebble", "pebble").is_none() {
        return;
    }
    let mut all = JoinSet::new();
    let mut names = HashMap::new();
    for point in points {
        let run = through(point.clone());
        let task = all.spawn(async move {
            let _turn = FREE.acquire().await.expect("nobody closes it");
            run.await;
        });
        names.insert(task.id(), point);
    }
    let mut failed = Vec::new();
    while let Some(result) = all.join_next_with_id().await {
        if let Err(error) = result {
            failed.push(names[&error.id()].clone());
        }
    }
    assert!(failed.is_empty(), "another node did not finish after a crash at: {}", failed.join(", "));
}

/// The points of a first issue: one node dies there before the others start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_finishes_a_first_issue_from_every_point() {
    each(FIRST_ISSUE.iter().flat_map(|what| both(what)).collect(), scenes::issue).await;
}

/// The same points, with all three nodes running and each armed to die there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_of_which_every_node_dies_once_finishes_a_first_issue() {
    each(FIRST_ISSUE.iter().flat_map(|what| both(what)).collect(), scenes::all_armed).await;
}

/// All other points, each in a scene of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_finishes_from_every_other_point() {
    each(scenes::OTHER.iter().flat_map(|what| both(what)).collect(), scenes::other).await;
}

/// The points of keys and trust.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_finishes_from_every_point_of_trust() {
    each(trust::POINTS.iter().flat_map(|what| both(what)).collect(), trust::through).await;
}

/// A point that the sources have and the lists above have not was forgotten.
#[test]
fn no_crash_point_is_left_out() {
    let through = FIRST_ISSUE.iter().chain(&scenes::OTHER).chain(&trust::POINTS).flat_map(|what| both(what));
    let named: BTreeSet<String> = through.chain(points::NOT_HERE.map(|(point, _)| point.to_owned())).collect();
    assert_eq!(named, points::declared());
}

/// What must hold at the end of every scene.
async fn finished(fleet: &Fleet, cert: &str, issued: usize) {
    fleet.all_have(cert, 1, issued).await;
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1, "one account");
}

/// Waits a moment; only for loops that look at processes.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
