//! A driver that is killed, or stands still and comes back: others finish the same order, and nobody is disturbed.

use std::time::Duration;

use certfleet_core::time::{Timestamp, later};
use certfleet_node::status::CertificateStatus;
use rustix::process::Signal;

use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "takeover.example.com";
/// Longest sleep of each of the CA's validations, in seconds: the driver is met while it waits for them.
const VALIDATION_SECONDS_MAX: u32 = 12;
/// How long a driver that says nothing must stand still until it counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// Answers the CA, and drives nothing.
const ANSWERER: u8 = 4;

/// Three drivers and one that only answers, all running; the CA takes its time.
async fn fleet() -> Option<Fleet> {
    let lab = Lab::new(ANSWERER, |pebble| pebble.va_sleep_seconds = Some(VALIDATION_SECONDS_MAX)).await?;
    let mut config = Config::plain(NAME);
    config.overlays.insert(ANSWERER, "roles = [\"answer\", \"deploy\"]".into());
    let mut fleet = Fleet::with(lab, config, ANSWERER).await;
    fleet.lab.pebble.set_a(NAME, &[fleet.lab.site.host(ANSWERER)]).await;
    fleet.start_all();
    Some(fleet)
}

/// Waits until the CA validates; gives the driver and the order.
async fn driver(fleet: &Fleet) -> (u8, String) {
    let told = |n: u8| fleet.told(n, "validating").first().map(|line| (n, line["order"].as_str().unwrap_or_default().to_owned()));
    fleet.until("somebody drives the attempt", || async { (1..ANSWERER).find_map(told) }).await
}

/// The order with which somebody took over.
fn taken_over(fleet: &Fleet) -> Vec<String> {
    let lines = fleet.numbers().flat_map(|n| fleet.told(n, "taken-over"));
    lines.filter_map(|line| line["order"].as_str().map(str::to_owned)).collect()
}

/// When node `n` first told of `event`.
fn moment(fleet: &Fleet, n: u8, event: &str) -> Option<Timestamp> {
    fleet.told(n, event).first().map(|line| line["timestamp"].as_str().and_then(|text| text.parse().ok()).expect("a time stamp"))
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_driver_is_killed_another_finishes_its_order() {
    let Some(mut fleet) = fleet().await else { return };
    let (killed, order) = driver(&fleet).await;
    fleet.kill(killed);
    let others: Vec<u8> = fleet.numbers().filter(|n| *n != killed).collect();
    fleet.have(others, NAME, 1).await;
    assert_eq!(taken_over(&fleet), [order], "the same order");
    fleet.start(killed);
    fleet.all_have(NAME, 1, 1).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_stood_still_comes_back_and_disturbs_nothing() {
    let Some(fleet) = fleet().await else { return };
    let (stopped, order) = driver(&fleet).await;
    fleet.signal(stopped, Signal::STOP);
    let others: Vec<u8> = fleet.numbers().filter(|n| *n != stopped).collect();
    fleet.have(others, NAME, 1).await;
    assert_eq!(taken_over(&fleet), [order], "the same order");
    let before = fleet.record(NAME).await;
    fleet.signal(stopped, Signal::CONT);
    fleet.all_have(NAME, 1, 1).await;
    assert_eq!(fleet.record(NAME).await, before, "it wrote nothing");
    assert!(fleet.told(stopped, "placed").is_empty(), "another node placed it");
    let knows = |status: &CertificateStatus| status.attempt.is_none() && status.generation.is_some();
    fleet.sees(stopped, NAME, "it knows that it drives nothing any more", knows).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 1);
}

/// Told to stop while the CA validates, a driver hands back, unless another has read its goodbye first; that one goes on at once, without
/// waiting for it to count as gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_is_told_to_stop_hands_back() {
    let Some(mut fleet) = fleet().await else { return };
    let (leaving, order) = driver(&fleet).await;
    let (took, status) = fleet.stop(leaving);
    assert!(took.as_secs_f64() < 2.0 && status.success(), "gone after {took:?} with {status}");
    let others: Vec<u8> = fleet.numbers().filter(|n| *n != leaving).collect();
    fleet.have(others.clone(), NAME, 1).await;
    let taken: Vec<Timestamp> = others.iter().filter_map(|n| moment(&fleet, *n, "taken-over")).collect();
    let stopped = moment(&fleet, leaving, "stopping").expect("it was told to");
    assert!(taken.iter().all(|taken| later(stopped, GONE_AFTER) > *taken), "taken over at {taken:?}, after it stopped at {stopped}");
    assert_eq!(taken_over(&fleet), [order], "the same order");
    fleet.start(leaving);
    fleet.all_have(NAME, 1, 1).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 1);
}
