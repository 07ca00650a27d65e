//! Whole fleets on the engines that a fleet may run already, each a real server: one certificate for each attempt, also when the engine dies
//! in the middle, and the fleet comes back by itself.

mod central;
mod etcd;
mod postgres;
mod redis;
mod s3;

use std::future::Future;

use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "store.example.com";
const NODES: u8 = 3;

/// A fleet of three that has its first certificate.
async fn fleet(url: &str) -> Option<Fleet> {
    let lab = Lab::new(NODES, |_| {}).await?;
    let config = Config { store: url.to_owned(), ..Config::plain(NAME) };
    let mut fleet = Fleet::with(lab, config, NODES).await;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    Some(fleet)
}

/// A renewal is asked for, and the engine disturbed while it runs; then another renewal. Each gives one certificate.
async fn goes_on(fleet: &mut Fleet, disturb: impl Future<Output = ()>) {
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    disturb.await;
    fleet.all_have(NAME, 2, 2).await;
    for n in fleet.numbers() {
        fleet.until("the node is well", || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 200) }).await;
    }
    fleet.certfleet_until_it_works(2, &["renew", NAME]).await;
    fleet.all_have(NAME, 3, 3).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), 3, "{}", fleet.lab.pebble.log());
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1);
}
