//! A CA that is away, that forgot everything, or that cannot reach us.

use certfleet_node::status::{CertificateState, CertificateStatus};

use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "ca.example.com";

/// Whether any node says that the CA cannot be reached.
async fn says_away(fleet: &Fleet) -> Option<()> {
    for n in fleet.numbers() {
        let health = fleet.admin(n, "/healthz").await?;
        if health.status == 503 && health.body.contains("issuer pebble") {
            return Some(());
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_wait_for_a_ca_that_is_away_at_the_start() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.lab.pebble.kill();
    fleet.start_all();
    fleet.until("somebody says that the CA is away", || says_away(&fleet)).await;
    fleet.lab.pebble.restart().await;
    fleet.all_have(NAME, 1, 1).await;
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_hangs_during_a_renewal_is_waited_for() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    fleet.lab.pebble.pause();
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.sees(1, NAME, "an attempt runs", |status| status.attempt.is_some()).await;
    let first = fleet.live(1, NAME);
    fleet.until("somebody says that the CA is away", || says_away(&fleet)).await;
    assert_eq!(fleet.live(1, NAME), first, "the old one is served");
    fleet.lab.pebble.resume();
    fleet.all_have(NAME, 2, 2).await;
}

/// Test CAs are reset now and then: the attempt that finds that out fails, the account is registered again, the next attempt succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_forgot_the_account_gets_it_again() {
    let Some(mut fleet) = Fleet::plain(2, NAME).await else { return };
    fleet.start_all();
    fleet.all_have(NAME, 1, 1).await;
    fleet.lab.pebble.restart().await;
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    let failed = |status: &CertificateStatus| status.last_error.as_ref().is_some_and(|error| error.starts_with("accountDoesNotExist"));
    fleet.sees(1, NAME, "the CA does not know the account", failed).await;
    let registered = || async { (fleet.numbers().map(|n| fleet.told(n, "account-registered").len()).sum::<usize>() == 2).then_some(()) };
    fleet.until("the account is registered again", registered).await;
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, 2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_validation_is_told_and_tried_again_when_asked() {
    let Some(lab) = Lab::new(2, |pebble| pebble.authz_reuse_percent = 0).await else { return };
    let mut fleet = Fleet::with(lab, Config::plain(NAME), 2).await;
    let nobody = fleet.lab.site.host(200);
    fleet.lab.pebble.set_a(NAME, &[nobody]).await;
    fleet.start_all();
    let failed = |status: &CertificateStatus| status.last_error.is_some() && status.attempt.is_none();
    let status = fleet.sees(1, NAME, "the attempt failed", failed).await;
    let told = status.last_error.expect("just seen");
    assert!(told.starts_with("connection: ") && told.contains(NAME) && told.contains(&nobody.to_string()), "the CA's words: {told}");
    assert!(status.next_try_at.is_some() && status.state == CertificateState::Pending, "{:?}", status.state);
    assert_eq!(fleet.lab.pebble.issued().len(), 0);

    fleet.lab.resolve(NAME, 2).await;
    fleet.certfleet(2, &["renew", NAME]).await.worked();
    fleet.all_have(NAME, 2, 1).await;

    fleet.lab.pebble.set_a(NAME, &[nobody]).await;
    fleet.certfleet(2, &["renew", NAME]).await.worked();
    let failing = |status: &CertificateStatus| status.state == CertificateState::Failing;
    let status = fleet.sees(2, NAME, "the renewal failed", failing).await;
    assert!(status.last_error.is_some() && status.next_try_at.is_some());
    fleet.lab.resolve(NAME, 2).await;
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    let leaf = fleet.all_have(NAME, 4, 2).await;
    let valid = |status: &CertificateStatus| status.state == CertificateState::Valid && status.last_error.is_none();
    let status = fleet.sees(1, NAME, "all is well", valid).await;
    assert!(status.nodes.iter().all(|node| node.serial.as_deref() == Some(&leaf.serial)));
}
