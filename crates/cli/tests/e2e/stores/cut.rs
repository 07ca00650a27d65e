//! A node that is cut off from the store, and it alone, while it drives an attempt: another finishes it, and the node changes nothing, neither
//! while it is cut off nor with what it had sent and comes late; it goes on serving, and comes back by itself.

use std::net::SocketAddr;

use certfleet_testkit::proxy::{Mode, Proxy};

use super::{CERTS, DRIVERS, Scene};
use crate::client::get;

/// How the way to the store ends, and at which moment. What hangs arrives later: a write of a node that was long thought gone.
const CUTS: [(Mode, &str); 4] = [
    (Mode::Away, "before-cas-finalizing"),
    (Mode::Hang, "before-cas-finalizing"),
    (Mode::Hang, "before-cas-placed"),
    (Mode::Away, "after-ca-finalize"),
];
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

/// Goes through all of them on the engine that listens at `server`; `url` tells the store's URL for an address.
pub async fn holders_are_cut_off(server: SocketAddr, url: impl Fn(SocketAddr) -> String) {
    let mut ways = Vec::new();
    for _ in DRIVERS {
        ways.push(Proxy::start(server).await.expect("a proxy starts"));
    }
    let through = |n: u8| format!("store = \"{}\"\n", url(ways[usize::from(n) - 1].address()));
    let scene = Scene::start_with(&url(server), |config, _| config.overlays.extend(DRIVERS.map(|n| (n, through(n))))).await;
    let Some(mut scene) = scene else { return };
    for (cert, (mode, point)) in CERTS.into_iter().cycle().zip(CUTS) {
        println!("cut off ({mode:?}) at {point}");
        cut_off(&mut scene, &ways, cert, mode, point).await;
    }
    scene.end().await;
}

async fn cut_off(scene: &mut Scene, ways: &[Proxy], cert: &'static str, mode: Mode, point: &str) {
    let generation = scene.placed(cert) + 1;
    scene.fleet.stop_first_at(point);
    scene.renew(&[cert]).await;
    let fleet = &scene.fleet;
    let cut = fleet.stands_still().await;
    let way = &ways[usize::from(cut) - 1];
    way.set(mode);
    fleet.go_on();
    let others: Vec<u8> = fleet.numbers().filter(|n| *n != cut).collect();
    fleet.have(others, cert, generation).await;
    let unwell = || async { fleet.admin(cut, "/healthz").await.filter(|health| health.status == 503 && health.body.contains("store")) };
    fleet.until("the node says that it has no store", unwell).await;
    let answer = get(fleet.lab.address(cut), cert, CHALLENGE).await.expect("it answers challenges");
    assert_eq!(answer.status, 200, "{answer:?}");
    let before = fleet.record(cert).await;
    way.set(Mode::Pass);
    scene.settles_with(&[cert]).await.lost_nothing();
    let fleet = &scene.fleet;
    assert_eq!(fleet.record(cert).await, before, "the node that was cut off wrote something");
    let placed_by_it = fleet.told(cut, "placed").into_iter().filter(|line| line["cert"] == cert && line["attempt"] == generation);
    assert_eq!(placed_by_it.count(), 0, "another node placed it");
}
