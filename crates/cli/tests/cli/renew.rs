//! `renew`: what it writes into the record.

use certfleet_core::records::Failures;

use crate::planted::{plant, planted, tomorrow};
use crate::site::Site;

#[tokio::test]
async fn a_new_key_is_wanted_only_where_it_is_asked_for() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    lb0.run(&["renew", "example.com", "--new-key"]).refused("has no certificate example.com yet", "certfleet status");
    plant(&lb0, "example.com", |record| record.failures = Failures { count: 3, problem: None, not_before: Some(tomorrow()) }).await;
    lb0.run(&["renew", "exemple.com"]).refused("has no certificate exemple.com", "did you mean example.com?");

    let due = || lb0.json(&["status", "--json"])["certificates"][0]["renew_at"].as_str().expect("a moment").to_owned();
    let before = due();
    let said = lb0.run(&["renew", "example.com"]).ended(0).stderr;
    assert_eq!(said, "asked for a new generation of example.com (now it has 1)\n");
    let record = planted(&lb0, "example.com").await;
    assert!(record.renew_requested_at.is_some() && !record.new_key && record.failures == Failures::default(), "{record:?}");
    assert!(before > due() && record.renew_requested_at.is_some_and(|at| due() == at.to_string()), "it is due since it was asked for");

    let said = lb0.run(&["renew", "example.com", "--new-key"]).ended(0).stderr;
    assert_eq!(said, "asked for a new generation of example.com, with a fresh key (now it has 1)\n");
    assert!(planted(&lb0, "example.com").await.new_key);
    // Asking once more without it takes nothing back.
    lb0.run(&["renew", "example.com"]).ended(0);
    assert!(planted(&lb0, "example.com").await.new_key);
}
