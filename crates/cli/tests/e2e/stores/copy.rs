//! `store copy`: fleets that move from engine to engine while they run and renew, with nodes that follow one at a time, come late, stand still or
//! are too early; and the command killed at each of its steps. Each attempt gives one certificate, all along.

use certfleet_testkit::etcd::{Etcd, Setup};
use certfleet_testkit::moto::{self, Moto};
use certfleet_testkit::pebble::PebbleOptions;
use certfleet_testkit::postgres::{Postgres, PostgresOptions};
use rustix::process::Signal;

use crate::client;
use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "store.example.com";
const NODES: u8 = 3;
const BUCKET: &str = "fleets";
/// Longest sleep of each of the CA's validations, in seconds: an attempt is under way while the fleet moves.
const VALIDATION_SECONDS_MAX: u32 = 6;
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
/// Where the command can be cut off, but for `before-` and `after-`.
const STEPS: [&str; 4] = ["copy-arriving", "copy-record", "copy-left", "copy-here"];

/// A fleet of three on a directory, with its first certificate, at a CA that validates each order and takes its time if `slow`.
async fn fleet(slow: bool) -> Option<Fleet> {
    let tune = |pebble: &mut PebbleOptions| {
        if slow {
            (pebble.va_sleep_seconds, pebble.authz_reuse_percent) = (Some(VALIDATION_SECONDS_MAX), 0);
        }
    };
    let lab = Lab::new(NODES, tune).await?;
    let mut fleet = Fleet::with(lab, Config::plain(NAME), NODES).await;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    Some(fleet)
}

fn url(fleet: &Fleet, store: &str) -> String {
    store.replace("{lab}", &fleet.lab.dir.path().display().to_string())
}

async fn copies(fleet: &Fleet, n: u8, to: &str) {
    let (from, to) = (url(fleet, &fleet.config.store), url(fleet, to));
    fleet.certfleet(n, &["store", "copy", &from, &to]).await.worked();
}

/// A renewal is asked for, and an attempt begun, its order in the record; gives its driver.
async fn begins(fleet: &Fleet, number: u64) -> u8 {
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    let ordered = |n: &u8| fleet.told(*n, "ordered").iter().any(|line| line["attempt"].as_u64() == Some(number));
    fleet.until("an attempt is under way", || async { fleet.numbers().find(ordered) }).await
}

/// The node says on `/healthz` what is with its store.
async fn says(fleet: &Fleet, n: u8, why: &str) {
    let says = || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 503 && health.body.contains(why)) };
    fleet.until(&format!("node {n} says {why:?}"), says).await;
}

async fn is_well(fleet: &Fleet, n: u8) {
    fleet.until(&format!("node {n} is well"), || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 200) }).await;
}

/// As many lines of node `n`'s log as there should be for one that does not repeat itself.
fn told(fleet: &Fleet, n: u8, why: &str) -> usize {
    fleet.told(n, "trouble").iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(why))).count()
}

/// Writes the new place into the configuration.
fn configure(fleet: &mut Fleet, to: &str) {
    fleet.config.store = to.to_owned();
    fleet.write_config();
}

async fn follows(fleet: &Fleet, n: u8) {
    let before = fleet.told(n, "store-changed").len();
    fleet.signal(n, Signal::HUP);
    fleet.until("the store is changed", || async { (fleet.told(n, "store-changed").len() > before).then_some(()) }).await;
    is_well(fleet, n).await;
}

/// The whole move, in the middle of a renewal. At its end all have generation `number`, and the CA has issued as many certificates.
async fn moves(fleet: &mut Fleet, to: &str, number: u64) {
    begins(fleet, number).await;
    copies(fleet, 2, to).await;
    for n in fleet.numbers() {
        says(fleet, n, "this fleet has moved to").await;
        let answer = client::get(fleet.lab.address(n), NAME, CHALLENGE).await.expect("it answers");
        assert_eq!(answer.status, 200, "node {n} goes on answering");
    }
    let refusal = fleet.certfleet(1, &["renew", NAME]).await;
    assert!(refusal.code == Some(1) && refusal.stderr.contains("this fleet has moved to"), "{refusal:?}");
    configure(fleet, to);
    for n in fleet.numbers() {
        follows(fleet, n).await;
    }
    fleet.all_have(NAME, number, usize::try_from(number).expect("few")).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), usize::try_from(number).expect("few"), "{}", fleet.lab.pebble.log());
    fleet.certfleet_until_it_works(3, &["store", "check"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_moves_from_engine_to_engine_and_back_while_it_renews() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(etcd) = Etcd::start(dir.path(), &Setup::default()).await.expect("etcd starts") else { return };
    let Some(server) = Postgres::start(PostgresOptions::default()).await else { return };
    let Some(moto) = Moto::start(&moto::Setup::default()).await else { return };
    moto.make_bucket(BUCKET).await;
    let Some(mut fleet) = fleet(true).await else { return };
    let (etcd, postgres) = (format!("etcd://{}/lab", etcd.hosts()), server.url(&server.new_database().await));
    moves(&mut fleet, &etcd, 2).await;
    moves(&mut fleet, &postgres, 3).await;
    moves(&mut fleet, &moto.url(BUCKET, moto.address(), 1), 4).await;
    moves(&mut fleet, "file://{lab}/store", 5).await;
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1);
    for n in fleet.numbers() {
        assert_eq!(told(&fleet, n, "this fleet has moved to"), 4, "once for each move: {}", fleet.log(n));
        assert_eq!(fleet.told(n, "started").len(), 1, "no process was started anew");
    }
}

/// The driver stands still all the while, and wakes up in a store that the fleet has left; a second machine restarts instead of reloading.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_stood_still_adds_nothing_to_the_store_that_was_left() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(etcd) = Etcd::start(dir.path(), &Setup::default()).await.expect("etcd starts") else { return };
    let Some(mut fleet) = fleet(true).await else { return };
    let driver = begins(&fleet, 2).await;
    fleet.signal(driver, Signal::STOP);
    let others: Vec<u8> = fleet.numbers().filter(|n| *n != driver).collect();
    let to = format!("etcd://{}/lab", etcd.hosts());
    copies(&fleet, others[0], &to).await;
    let left = everything(&fleet).await;
    configure(&mut fleet, &to);
    follows(&fleet, others[0]).await;
    fleet.stop(others[1]);
    fleet.start(others[1]);
    fleet.have(others, NAME, 2).await;
    fleet.signal(driver, Signal::CONT);
    says(&fleet, driver, "this fleet has moved to etcd://").await;
    follows(&fleet, driver).await;
    fleet.all_have(NAME, 2, 2).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 2, "{}", fleet.lab.pebble.log());
    fleet.config.store = "file://{lab}/store".into();
    let now = everything(&fleet).await;
    let changed: Vec<&String> = left.iter().zip(&now).filter(|(left, now)| left != now).map(|(left, _)| left).collect();
    assert!(changed.len() <= 2 && left.len() == now.len(), "what it had begun, at the most: {changed:#?}");
}

/// Every record of the configured store, as text.
async fn everything(fleet: &Fleet) -> Vec<String> {
    let entries = fleet.store().await.list("").await.expect("the store can be read").entries;
    entries.into_iter().map(|(key, stored)| format!("{key} {:?}", stored.envelope)).collect()
}

/// One asks to be let in before the move, with nobody there to let it in; another comes with its token while the fleet moves.
#[tokio::test(flavor = "multi_thread")]
async fn machines_that_join_during_the_move_are_let_in_after_it() {
    let Some(lab) = Lab::new(NODES + 2, |_| {}).await else { return };
    let mut fleet = Fleet::with(lab, Config::plain(NAME), NODES).await;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    fleet.numbers().for_each(|n| _ = fleet.stop(n));
    let early = fleet.grow().await;
    let late = fleet.invited().await;
    copies(&fleet, 1, "file://{lab}/other").await;
    let refusal = fleet.certfleet(late, &["join", &fleet.token(late)]).await;
    assert!(refusal.code == Some(1) && refusal.stderr.contains("this fleet has moved to file://"), "{refusal:?}");
    configure(&mut fleet, "file://{lab}/other");
    fleet.certfleet(late, &["join", &fleet.token(late)]).await.worked();
    fleet.start_all();
    fleet.have([early, late], NAME, 1).await;
    fleet.all_have(NAME, 1, 1).await;
}

/// Killed at each step; after each the fleet renews, or nobody does, and the command given again ends well.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_is_killed_at_each_of_its_steps() {
    let Some(mut fleet) = fleet(false).await else { return };
    let places = ["file://{lab}/store", "file://{lab}/other"];
    let points = STEPS.iter().flat_map(|step| [format!("before-{step}"), format!("after-{step}")]);
    for (turn, point) in points.enumerate() {
        let (from, to) = (url(&fleet, places[turn % 2]), url(&fleet, places[(turn + 1) % 2]));
        let generation = turn as u64 + 2;
        fleet.certfleet_dies_at(2, &["store", "copy", &from, &to], &point).await;
        let has_left = ["after-copy-left", "before-copy-here", "after-copy-here"].contains(&point.as_str());
        let renewal = fleet.certfleet(1, &["renew", NAME]).await;
        assert_eq!(renewal.code == Some(1), has_left, "{point}: {renewal:?}");
        if !has_left {
            fleet.all_have(NAME, generation, generation as usize).await;
        }
        fleet.certfleet(3, &["store", "copy", &from, &to]).await.worked();
        configure(&mut fleet, places[(turn + 1) % 2]);
        for n in fleet.numbers() {
            follows(&fleet, n).await;
        }
        if has_left {
            fleet.certfleet(1, &["renew", NAME]).await.worked();
        }
        fleet.all_have(NAME, generation, generation as usize).await;
    }
    assert_eq!(fleet.lab.pebble.orders_seen(), 1 + 2 * STEPS.len(), "{}", fleet.lab.pebble.log());
    fleet.certfleet_until_it_works(2, &["store", "check"]).await;
}

/// A node is pointed at TO before the fleet lives there: it orders nothing, and goes on by itself when the copy has ended. A copy that is given up
/// leaves the fleet where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_follows_too_early_waits() {
    let Some(mut fleet) = fleet(false).await else { return };
    let (from, to) = (url(&fleet, "file://{lab}/store"), url(&fleet, "file://{lab}/other"));
    fleet.certfleet_dies_at(2, &["store", "copy", &from, &to], "after-copy-left").await;
    says(&fleet, 1, "this fleet has moved to").await;
    fleet.certfleet(3, &["store", "copy", "--undo", &from, &to]).await.worked();
    for n in fleet.numbers() {
        is_well(&fleet, n).await;
    }
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, 2, 2).await;

    fleet.certfleet_dies_at(2, &["store", "copy", &from, &to], "before-copy-left").await;
    configure(&mut fleet, "file://{lab}/other");
    fleet.signal(1, Signal::HUP);
    says(&fleet, 1, "is being copied from").await;
    for n in [2, 3] {
        is_well(&fleet, n).await;
    }
    fleet.certfleet(2, &["store", "copy", &from, &to]).await.worked();
    is_well(&fleet, 1).await;
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.have([1], NAME, 3).await;
    for n in [2, 3] {
        follows(&fleet, n).await;
    }
    fleet.all_have(NAME, 3, 3).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 3, "{}", fleet.lab.pebble.log());
}
