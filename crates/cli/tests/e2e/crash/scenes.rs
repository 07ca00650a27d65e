//! How a node is brought to a crash point, and what must come of it.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use certfleet_acme::AccountKey;
use certfleet_core::ca::Problem;
use certfleet_core::records::Step;
use certfleet_core::time::{Timestamp, earlier};
use certfleet_node::status::CertificateState;
use certfleet_testkit::pebble::PebbleOptions;
use rustix::process::Signal;

use super::{a_moment, finished, servers};
use crate::LIMIT;
use crate::fleet::{Certificate, Config, Fleet, Front, Lab};

/// The certificate of every scene.
pub const NAME: &str = "crash.example.com";
/// Points that need more than a first issue, but for `before-` and `after-`.
pub const OTHER: [&str; 10] = [
    "cas-taken-over",
    "cas-released",
    "cas-put-off",
    "cas-failed",
    "cas-not-ours",
    "cas-set-aside",
    "cas-adopted",
    "cas-retired",
    "install-nginx",
    "install-haproxy",
];
/// Longest sleep of the CA's validation in the scene that needs one to last, in seconds.
const VALIDATION_SECONDS_MAX: u32 = 12;
/// How old an attempt is made whose CA is to count as silent.
const LONG_AGO: Duration = Duration::from_secs(25 * 3600);

/// One of [`OTHER`].
pub async fn other(point: String) {
    let what = point.split_once('-').map_or("", |(_, what)| what);
    match what {
        "cas-taken-over" => taken_over(&point).await,
        "cas-released" => released(&point).await,
        "cas-put-off" => put_off(&point).await,
        "cas-failed" => failed(&point).await,
        "cas-not-ours" => not_ours(&point).await,
        "cas-set-aside" => set_aside(&point).await,
        "cas-adopted" => adopted(&point).await,
        "cas-retired" => retired(&point).await,
        "install-nginx" => servers::nginx(&point).await,
        "install-haproxy" => servers::haproxy(&point).await,
        other => panic!("no scene for {other}"),
    }
}

/// Who answers the CA in all scenes, and does not issue: a dying node that the CA asks would fail the order, and rightly.
pub const ANSWERER: u8 = 4;
/// The others.
pub const DRIVERS: RangeInclusive<u8> = 1..=3;
const ANSWERER_ROLES: &str = "roles = [\"answer\", \"deploy\"]";

pub async fn lab(tune: impl FnOnce(&mut PebbleOptions)) -> Lab {
    Lab::new(ANSWERER, tune).await.expect("pebble is installed")
}

/// Three nodes that can do everything, not running; one that only answers and installs, running. The account key was imported, unless the
/// point is about making one.
pub async fn fleet_in(lab: Lab, mut config: Config, point: &str) -> Fleet {
    config.overlays.insert(ANSWERER, ANSWERER_ROLES.into());
    let mut fleet = Fleet::with(lab, config, ANSWERER).await;
    for name in fleet.config.certificates.iter().flat_map(|certificate| &certificate.names) {
        resolve(&fleet, name).await;
    }
    if !point.ends_with("account-key") {
        let path = fleet.lab.dir.path().join("account.pem");
        let key = AccountKey::generate().expect("a key can be made").to_pem();
        std::fs::write(&path, key.expose()).expect("it can be written");
        fleet.certfleet(1, &["account", "import", &path.display().to_string()]).await.worked();
    }
    fleet.start(ANSWERER);
    let known = |status: certfleet_node::status::Status| status.fleet.name == "lab";
    fleet.until("the answering node is there", || async { fleet.status(ANSWERER).await.filter(|s| known(s.clone())) }).await;
    fleet
}

pub async fn fleet(point: &str) -> Fleet {
    fleet_in(lab(|_| {}).await, Config::plain(NAME), point).await
}

async fn resolve(fleet: &Fleet, name: &str) {
    fleet.lab.pebble.set_a(name, &[fleet.lab.site.host(ANSWERER)]).await;
}

/// Node 1 dies alone; then 2 and 3 start and finish; then 1 is there again.
pub async fn issue(point: String) {
    let mut fleet = fleet(&point).await;
    fleet.start_with(1, Some(&point));
    fleet.died_at(1, &point).await;
    fleet.start(2);
    fleet.start(3);
    fleet.have([2, 3], NAME, 1).await;
    fleet.start(1);
    finished(&fleet, NAME, 1).await;
    // Only an order whose URL was never written down is made again.
    let lost = ["after-ca-new-order", "before-cas-ordered"].contains(&point.as_str());
    assert_eq!(fleet.lab.pebble.orders_seen(), if lost { 2 } else { 1 }, "{}", fleet.lab.pebble.log());
}

/// All run from the start, and each dies when it comes to the point; the dead start again unarmed.
pub async fn all_armed(point: String) {
    let mut fleet = fleet(&point).await;
    DRIVERS.for_each(|n| fleet.start_with(n, Some(&point)));
    let (mut deaths, end) = (0, Instant::now() + LIMIT);
    loop {
        for n in DRIVERS {
            if fleet.ended(n).is_some() {
                fleet.was_killed_at(n, &point);
                fleet.start(n);
                deaths += 1;
            }
        }
        if deaths > 0 && everybody_has(&fleet).await {
            break;
        }
        assert!(Instant::now() < end, "after {deaths} deaths at {point} the fleet did not finish");
        a_moment().await;
    }
    finished(&fleet, NAME, 1).await;
}

async fn everybody_has(fleet: &Fleet) -> bool {
    for n in fleet.numbers() {
        if fleet.has(n, NAME, 1).await.is_none() {
            return false;
        }
    }
    true
}

/// Node 1 dies with an attempt in hand, node 2 while it takes it over, node 3 takes it over from either.
async fn taken_over(point: &str) {
    let mut fleet = fleet(point).await;
    fleet.start_with(1, Some("after-cas-keyed"));
    fleet.died_at(1, "after-cas-keyed").await;
    then_2_dies_and_3_finishes(&mut fleet, point, 1).await;
    finished(&fleet, NAME, 1).await;
}

async fn then_2_dies_and_3_finishes(fleet: &mut Fleet, point: &str, generation: u64) {
    fleet.start_with(2, Some(point));
    fleet.died_at(2, point).await;
    fleet.start(3);
    fleet.have([3], NAME, generation).await;
    fleet.start(1);
    fleet.start(2);
}

/// Node 1 is told to stop while the CA validates, and dies handing back.
async fn released(point: &str) {
    let lab = lab(|pebble| pebble.va_sleep_seconds = Some(VALIDATION_SECONDS_MAX)).await;
    let mut fleet = fleet_in(lab, Config::plain(NAME), point).await;
    fleet.start_with(1, Some(point));
    fleet.tells(1, "validating").await;
    fleet.signal(1, Signal::TERM);
    fleet.died_at(1, point).await;
    fleet.start(2);
    fleet.start(3);
    fleet.have([2, 3], NAME, 1).await;
    fleet.start(1);
    finished(&fleet, NAME, 1).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 1, "the same order");
}

/// The CA is busy, and node 1 dies putting the attempt off.
async fn put_off(point: &str) {
    let lab = lab(|_| {}).await;
    let Some(mut front) = Front::start(&lab).await else { return };
    front.refuse("/order-plz").await;
    let mut config = Config::plain(NAME);
    config.issuers.insert("pebble".into(), front.issuer(&lab));
    let mut fleet = fleet_in(lab, config, point).await;
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    front.pass().await;
    fleet.start(2);
    fleet.start(3);
    fleet.have([2, 3], NAME, 1).await;
    fleet.start(1);
    finished(&fleet, NAME, 1).await;
}

/// Validation fails, and node 1 dies writing that down. A failed attempt is a failed attempt, whoever writes it; the next one is asked for.
async fn failed(point: &str) {
    let mut fleet = fleet(point).await;
    let nobody = fleet.lab.site.host(200);
    fleet.lab.pebble.set_a(NAME, &[nobody]).await;
    fleet.start_with(1, Some(point));
    fleet.died_at(1, point).await;
    fleet.start(2);
    fleet.start(3);
    fleet.sees(2, NAME, "the attempt failed", |status| status.last_error.is_some() && status.attempt.is_none()).await;
    resolve(&fleet, NAME).await;
    fleet.certfleet(2, &["renew", NAME]).await.worked();
    fleet.have([2, 3], NAME, 1).await;
    fleet.start(1);
    finished(&fleet, NAME, 1).await;
}

/// The CA gives an attempt the order of an earlier one, which is valid with the earlier key.
async fn not_ours(point: &str) {
    let mut fleet = fleet(point).await;
    fleet.start(1);
    fleet.have([1], NAME, 1).await;
    let order = fleet.tells(1, "ordered").await["order"].as_str().expect("it has a URL").to_owned();
    fleet.stop(1);
    fleet.start_with(1, Some("after-cas-keyed"));
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.died_at(1, "after-cas-keyed").await;
    fleet.rewrite(NAME, |record| attempt(record).step = Step::Ordered { order }).await;
    then_2_dies_and_3_finishes(&mut fleet, point, 3).await;
    fleet.all_have(NAME, 3, 2).await;
}

fn attempt(record: &mut certfleet_core::records::CertRecord) -> &mut certfleet_core::records::Attempt {
    record.attempt.as_mut().expect("an attempt runs")
}

/// An attempt whose CA has been in trouble for a day makes room for the next. Then the CA is well again.
async fn set_aside(point: &str) {
    let lab = lab(|_| {}).await;
    let Some(mut front) = Front::start(&lab).await else { return };
    let mut config = Config::plain(NAME);
    config.issuers.insert("pebble".into(), front.issuer(&lab));
    let mut fleet = fleet_in(lab, config, point).await;
    fleet.start_with(1, Some("after-cas-finalizing"));
    fleet.died_at(1, "after-cas-finalizing").await;
    fleet
        .rewrite(NAME, |record| {
            attempt(record).started_at = earlier(Timestamp::now(), LONG_AGO);
            attempt(record).problem = Some(Problem::new("serverInternal", "busy", Some(503)));
        })
        .await;
    front.refuse("/my-order").await;
    fleet.start_with(2, Some(point));
    fleet.died_at(2, point).await;
    front.pass().await;
    // What was not written down did not happen: then the first attempt goes on.
    let aside = point.starts_with("after");
    fleet.start(3);
    fleet.have([3], NAME, if aside { 2 } else { 1 }).await;
    fleet.start(1);
    fleet.start(2);
    finished(&fleet, NAME, 1).await;
    assert_eq!(fleet.record(NAME).await.set_aside.len(), usize::from(aside), "the silent order is still watched");
}

/// The configuration gets another name, and node 1 dies taking it up.
async fn adopted(point: &str) {
    const MORE: &str = "more.crash.example.com";
    let mut fleet = fleet(point).await;
    fleet.start_with(1, Some(point));
    fleet.have([1], NAME, 1).await;
    resolve(&fleet, MORE).await;
    fleet.config.certificates[0].names.push(MORE.into());
    fleet.write_config();
    fleet.signal(1, Signal::HUP);
    fleet.died_at(1, point).await;
    DRIVERS.for_each(|n| fleet.start(n));
    let leaf = fleet.all_have(NAME, 2, 2).await;
    assert_eq!(leaf.names.len(), 2);
}

/// A certificate leaves the configuration, and node 1 dies writing that down.
async fn retired(point: &str) {
    const GOING: &str = "going.example.com";
    let lab = lab(|_| {}).await;
    let mut config = Config::plain(NAME);
    config.certificates.push(Certificate::plain(GOING));
    let mut fleet = fleet_in(lab, config, point).await;
    fleet.start_with(1, Some(point));
    fleet.have([1], NAME, 1).await;
    fleet.have([1], GOING, 1).await;
    fleet.config.certificates.truncate(1);
    fleet.write_config();
    fleet.signal(1, Signal::HUP);
    fleet.died_at(1, point).await;
    DRIVERS.for_each(|n| fleet.start(n));
    for n in fleet.numbers() {
        fleet.sees(n, GOING, "retired", |status| status.state == CertificateState::Retired).await;
    }
    assert!(fleet.live(1, GOING).is_some(), "its files stay");
    finished(&fleet, NAME, 2).await;
}
