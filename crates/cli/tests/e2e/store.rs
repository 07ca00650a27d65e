//! A store that goes away, or an empty one in its place: nodes serve from their memory, order nothing, say so, and come back by themselves.

use std::fs;
use std::path::PathBuf;

use crate::client::{Answer, get};
use crate::fleet::{Fleet, audit};

const NAME: &str = "store.example.com";
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

async fn fleet() -> Option<Fleet> {
    let mut fleet = Fleet::plain(2, NAME).await?;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    Some(fleet)
}

fn hidden(fleet: &Fleet) -> PathBuf {
    fleet.lab.dir.path().join("store-away")
}

fn take_away(fleet: &Fleet) {
    fs::rename(fleet.store_dir(), hidden(fleet)).expect("it can be renamed");
}

fn put_back(fleet: &Fleet) {
    fs::rename(hidden(fleet), fleet.store_dir()).expect("it can be renamed");
}

/// Waits until the node says what is wrong with its store.
async fn is_unwell(fleet: &Fleet, n: u8, why: &str) -> Answer {
    let says = |health: &Answer| health.status == 503 && health.body.contains(why);
    fleet.until(&format!("node {n} says {why:?}"), || async { fleet.admin(n, "/healthz").await.filter(says) }).await
}

async fn is_well(fleet: &Fleet, n: u8) {
    fleet.until(&format!("node {n} is well"), || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 200) }).await;
}

async fn answers(fleet: &Fleet, n: u8) {
    let answer = get(fleet.lab.address(n), NAME, CHALLENGE).await.expect("it answers");
    assert_eq!(answer.status, 200, "node {n}: {answer:?}");
}

/// They do all of their work again.
async fn work(fleet: &Fleet, generation: u64) {
    for n in [1, 2] {
        is_well(fleet, n).await;
    }
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, generation, generation as usize).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_nodes_answer_from_memory() {
    let Some(mut fleet) = fleet().await else { return };
    take_away(&fleet);
    for n in [1, 2] {
        is_unwell(&fleet, n, "store").await;
        answers(&fleet, n).await;
    }
    // Also one that starts meanwhile.
    fleet.kill(2);
    fleet.start(2);
    is_unwell(&fleet, 2, "store").await;
    answers(&fleet, 2).await;
    let told = fleet.told(1, "trouble").iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains("store"))).count();
    assert_eq!(told, 1, "said once: {}", fleet.log(1));
    assert!(!fleet.store_dir().exists(), "nobody makes a new store");
    put_back(&fleet);
    work(&fleet, 2).await;
    assert_eq!(fleet.told(1, "trouble-over").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_is_not_taken_for_ours() {
    let Some(mut fleet) = fleet().await else { return };
    take_away(&fleet);
    fs::create_dir(fleet.store_dir()).expect("directory");
    fleet.kill(2);
    fleet.start(2);
    for n in [1, 2] {
        is_unwell(&fleet, n, "store").await;
        answers(&fleet, n).await;
    }
    assert_eq!(audit::files(&fleet.store_dir()), Vec::<PathBuf>::new(), "nothing is written");
    assert_eq!(fleet.lab.pebble.orders_seen(), 1, "nothing is ordered");
    let renewal = fleet.certfleet(1, &["renew", NAME]).await;
    assert!(renewal.code == Some(1) && renewal.stderr.contains("store"), "{renewal:?}");
    fs::remove_dir_all(fleet.store_dir()).expect("it is there");
    put_back(&fleet);
    work(&fleet, 2).await;
}
