//! A store that is away, empty or another fleet's when nodes start: they serve what they have and answer from memory, say so once, order and write
//! nothing, and go on by themselves when their own is back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use certfleet_store::{OpenError, StoreError};

use super::places::{Engine, Place};
use crate::client;
use crate::fleet::{Certificate, Config, Fleet, Lab, audit};

const NAME: &str = "store.example.com";
/// As long as the first four tries to reach a store take: that nothing is said meanwhile can only be waited for.
const WATCHED: Duration = Duration::from_secs(8);
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

async fn fleet(engine: &Engine) -> Option<Fleet> {
    let lab = Lab::new(2, |_| {}).await?;
    let mut fleet = Fleet::with(lab, Config { store: engine.url(), ..Config::plain(NAME) }, 2).await;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    Some(fleet)
}

/// Every file that is served, with its content.
fn served(fleet: &Fleet) -> BTreeMap<PathBuf, Vec<u8>> {
    let live = fleet.numbers().flat_map(|n| audit::files(&fleet.live_dir(n, NAME)));
    live.map(|path| (path.clone(), std::fs::read(&path).expect("it can be read"))).collect()
}

/// Every value at the URL with its revision, or why there is no store.
async fn content(url: &str) -> String {
    match certfleet_store::open(url).await {
        Ok(store) => format!("{:#?}", store.list("").await.expect("the store can be read")),
        Err(OpenError::Missing { .. }) => "no store".into(),
        Err(OpenError::Store(StoreError::Away { .. })) => "nobody answers".into(),
        Err(error) => panic!("{error}"),
    }
}

/// How often node `n` has told of troubles.
fn troubles(fleet: &Fleet, n: u8) -> Vec<String> {
    fleet.told(n, "trouble").iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn says(fleet: &Fleet, n: u8, why: &str) {
    let health = || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 503 && health.body.contains(why)) };
    fleet.until(&format!("node {n} says {why:?}"), health).await;
    let status = || async { fleet.status(n).await?.troubles.into_iter().find(|trouble| trouble.contains(why)) };
    fleet.until(&format!("`status` on node {n} says {why:?}"), status).await;
}

async fn is_well(fleet: &Fleet, n: u8) {
    fleet.until(&format!("node {n} is well"), || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 200) }).await;
}

async fn answers(fleet: &Fleet, n: u8) {
    let answer = client::get(fleet.lab.address(n), NAME, CHALLENGE).await.expect("it answers");
    assert_eq!(answer.status, 200, "node {n}: {answer:?}");
}

/// Both nodes start where `place` stands, with a certificate to get that nobody has yet; then their own store is back.
async fn starts_without(fleet: &mut Fleet, engine: &Engine, place: Place, why: &str) {
    let more = format!("{}.example.com", format!("{place:?}").to_lowercase());
    let (before, issued) = (served(fleet), fleet.lab.pebble.issued().len());
    fleet.numbers().for_each(|n| _ = fleet.stop(n));
    fleet.lab.resolve(&more, 2).await;
    fleet.config.certificates.push(Certificate::plain(&more));
    fleet.write_config();
    engine.set(Place::Right, place).await;
    let (content_before, said) = (content(&engine.url()).await, fleet.numbers().map(|n| troubles(fleet, n).len()).collect::<Vec<_>>());
    fleet.start_all();
    for n in fleet.numbers() {
        says(fleet, n, why).await;
        answers(fleet, n).await;
    }
    tokio::time::sleep(WATCHED).await;
    for (n, before) in fleet.numbers().zip(said) {
        let told = &troubles(fleet, n)[before..];
        assert!(matches!(told, [one] if one.contains(why)), "node {n} says it once: {told:#?}");
        says(fleet, n, why).await;
        answers(fleet, n).await;
    }
    let refusal = fleet.certfleet(1, &["renew", NAME]).await;
    assert!(refusal.code == Some(1) && !refusal.stderr.is_empty(), "{refusal:?}");
    assert_eq!(served(fleet), before, "what is served");
    assert_eq!(content(&engine.url()).await, content_before, "what stands in the store");
    assert_eq!(fleet.lab.pebble.orders_seen(), issued, "nothing is ordered");
    engine.set(place, Place::Right).await;
    for n in fleet.numbers() {
        is_well(fleet, n).await;
    }
    fleet.all_have(&more, 1, issued + 1).await;
}

async fn through_all(engine: Option<Engine>) {
    let Some(engine) = engine else { return };
    let Some(mut fleet) = fleet(&engine).await else { return };
    let scratch = tempfile::tempdir().expect("temporary directory");
    fleet.numbers().for_each(|n| _ = fleet.stop(n));
    engine.found_other(scratch.path()).await;
    fleet.start_all();
    starts_without(&mut fleet, &engine, Place::Away, "the store cannot be reached").await;
    starts_without(&mut fleet, &engine, Place::Empty, "the store cannot be reached").await;
    starts_without(&mut fleet, &engine, Place::Other, "another fleet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_start_without_their_directory() {
    through_all(Some(Engine::file())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_start_without_their_etcd() {
    through_all(Engine::etcd().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_start_without_their_postgresql() {
    through_all(Engine::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_start_without_their_redis() {
    through_all(Engine::redis().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_start_without_their_bucket() {
    through_all(Engine::s3().await).await;
}
