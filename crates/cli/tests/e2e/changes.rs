//! A configuration that changes node by node: what differs meanwhile does not fight.

use certfleet_node::status::{CertificateState, CertificateStatus};
use rustix::process::Signal;

use crate::fleet::{Certificate, Fleet};

const NAME: &str = "change.example.com";
const MORE: &str = "more.example.com";

/// Three nodes that have the certificate.
async fn fleet() -> Option<Fleet> {
    let mut fleet = Fleet::plain(3, NAME).await?;
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    fleet.lab.resolve(MORE, 3).await;
    Some(fleet)
}

/// Node `n` reads the file; waits until `seen_by` sees that it did.
async fn reload(fleet: &Fleet, n: u8, seen_by: u8) {
    let before = fleet.told(n, "reloaded").len();
    fleet.signal(n, Signal::HUP);
    let read = || async { fleet.told(n, "reloaded").get(before).map(|line| line["config"].as_str().unwrap_or_default().to_owned()) };
    let hash = fleet.until(&format!("node {n} reads its configuration"), read).await;
    let name = fleet.name(n);
    let presents = || async {
        let status = fleet.status(seen_by).await?;
        let node = status.fleet.nodes.into_iter().find(|node| node.name == name)?;
        node.config.filter(|config| config.to_string() == hash)
    };
    fleet.until(&format!("node {seen_by} sees the configuration of node {n}"), presents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_is_taken_up_when_all_have_it() {
    let Some(mut fleet) = fleet().await else { return };
    fleet.config.certificates[0].names.push(MORE.into());
    fleet.write_config();
    for n in [1, 2] {
        reload(&fleet, n, 1).await;
        let waits = |status: &CertificateStatus| status.waiting.as_ref().is_some_and(|why| why.contains("n3"));
        let status = fleet.sees(1, NAME, "it waits for node 3", waits).await;
        assert_eq!(status.names.len(), 1, "the recorded one is followed");
    }
    assert_eq!(fleet.lab.pebble.orders_seen(), 1, "nothing is ordered meanwhile");
    reload(&fleet, 3, 1).await;
    let leaf = fleet.all_have(NAME, 2, 2).await;
    assert_eq!(leaf.names.len(), 2);
    assert_eq!(fleet.lab.pebble.orders_seen(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_needs_no_agreement_and_a_removed_one_does() {
    let Some(mut fleet) = fleet().await else { return };
    fleet.config.certificates.push(Certificate::plain(MORE));
    fleet.write_config();
    reload(&fleet, 1, 2).await;
    fleet.all_have(MORE, 1, 2).await;
    for n in [2, 3] {
        reload(&fleet, n, 1).await;
    }
    fleet.config.certificates.truncate(1);
    fleet.write_config();
    for n in [3, 2] {
        reload(&fleet, n, 1).await;
        let there = fleet.certificate(1, MORE).await.expect("it is there");
        assert_eq!(there.state, CertificateState::Valid, "left alone while node 1 has it");
    }
    reload(&fleet, 1, 2).await;
    for n in fleet.numbers() {
        fleet.sees(n, MORE, "retired", |status| status.state == CertificateState::Retired).await;
        assert!(fleet.live(n, MORE).is_some(), "its files stay");
    }
    let refused = fleet.certfleet(1, &["renew", MORE]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("retired"), "{refused:?}");
    assert_eq!((fleet.lab.pebble.issued().len(), fleet.lab.pebble.orders_seen()), (2, 2));
}

/// Renewals go by the recorded specification while the configurations differ.
#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_not_fought_over() {
    let Some(mut fleet) = fleet().await else { return };
    fleet.config.certificates[0].names.push(MORE.into());
    fleet.write_config();
    reload(&fleet, 2, 1).await;
    fleet.certfleet(2, &["renew", NAME]).await.worked();
    let leaf = fleet.all_have(NAME, 2, 2).await;
    assert_eq!(leaf.names.len(), 1, "the recorded names");
    for n in fleet.numbers() {
        let settled = |status: &CertificateStatus| status.attempt.is_none() && status.generation.is_some_and(|g| g.0 == 2);
        fleet.sees(n, NAME, "nothing runs", settled).await;
    }
    assert_eq!(fleet.lab.pebble.orders_seen(), 2);
    assert_eq!(fleet.record(NAME).await.history.len(), 2);
}
