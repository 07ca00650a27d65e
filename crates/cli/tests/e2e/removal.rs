//! Nodes that are removed: what they lose, what is made anew because of them, and what stays.

use std::collections::BTreeSet;

use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{NodeName, SpkiHash};
use certfleet_core::records::{CertRecord, PrivateKeyRecord};
use certfleet_store::{Settled, put_settled};
use serde_json::Value;

use crate::fleet::{Certificate, Config, Fleet, Lab};

const NAME: &str = "shared.example.com";
const ELSEWHERE: &str = "elsewhere.example.com";
/// The node that is removed. It does not drive orders, though it may.
const GOING: u8 = 3;
const STAYING: [u8; 2] = [1, 2];

/// Three nodes; one certificate is everywhere, one on the first two alone.
async fn fleet() -> Option<Fleet> {
    let lab = Lab::new(3, |_| {}).await?;
    let mut config = Config::plain(NAME);
    config.certificates.push(Certificate { lines: "nodes = [\"n1\", \"n2\"]".into(), ..Certificate::plain(ELSEWHERE) });
    config.overlays.insert(GOING, "roles = [\"answer\", \"deploy\"]".into());
    let mut fleet = Fleet::with(lab, config, 3).await;
    fleet.start_all();
    fleet.all_have_of(NAME, 1).await;
    fleet.have(STAYING, ELSEWHERE, 1).await;
    Some(fleet)
}

/// The nodes that a key is sealed for.
async fn readers(fleet: &Fleet, key: &SpkiHash) -> BTreeSet<NodeName> {
    let stored = fleet.store().await.get(&RecordKey::PrivateKey(key.clone()).key()).await.expect("the store can be read");
    let record: PrivateKeyRecord = stored.expect("the key is there").envelope.record().expect("a key");
    record.key.wraps.keys().cloned().collect()
}

fn names(fleet: &Fleet, numbers: &[u8]) -> BTreeSet<NodeName> {
    numbers.iter().map(|n| fleet.name(*n)).collect()
}

async fn account(fleet: &Fleet) -> Value {
    serde_json::from_str(&fleet.certfleet(1, &["account", "show", "--json"]).await.worked()).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_has_no_say_and_gets_no_more_keys() {
    let Some(mut fleet) = fleet().await else { return };
    let first = fleet.live(GOING, NAME).expect("it is served");
    assert_eq!(readers(&fleet, &first.key).await, names(&fleet, &[1, 2, 3]));
    let said = fleet.certfleet(1, &["node", "remove", "n3"]).await;
    assert!(said.code == Some(0) && said.stderr.contains("n3"), "{said:?}");
    let again = fleet.certfleet(1, &["node", "remove", "n3"]).await;
    assert!(again.code == Some(0) && again.stderr.contains("nothing changed"), "{again:?}");

    // It says so itself, and serves what it has.
    let told = |health: &crate::client::Answer| health.status == 503 && health.body.contains("was removed from the fleet");
    fleet.until("the node knows", || async { fleet.admin(GOING, "/healthz").await.filter(told) }).await;
    let refused = fleet.certfleet(GOING, &["renew", NAME]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("removed"), "{refused:?}");

    // Whatever it writes in its own name comes to nothing.
    let orders = fleet.lab.pebble.orders_seen();
    write_as_removed(&fleet).await;
    for n in STAYING {
        let refused = || async { fleet.told(n, "record-refused").into_iter().find(|line| line["key"] == format!("certs/{NAME}").as_str()) };
        fleet.until("its record is refused", refused).await;
    }
    assert_eq!(fleet.lab.pebble.orders_seen(), orders);

    fleet.certfleet_until_it_works(1, &["renew", NAME]).await;
    let second = fleet.have(STAYING, NAME, 2).await;
    assert_eq!(readers(&fleet, &second.key).await, names(&fleet, &STAYING));
    assert_eq!(fleet.live(GOING, NAME), Some(first), "it serves what it had");
    let listed: Value = serde_json::from_str(&fleet.certfleet(2, &["node", "ls", "--json"]).await.worked()).expect("JSON");
    let state =
        |name: &str| listed["nodes"].as_array().expect("a list").iter().find(|node| node["name"] == name).map(|node| node["state"].clone());
    assert_eq!((state("n1"), state("n3")), (Some("member".into()), Some("removed".into())));
    fleet.stop(GOING);
}

/// A renewal that nobody asked for, signed with the removed node's key.
async fn write_as_removed(fleet: &Fleet) {
    let (store, record) = (fleet.store().await, RecordKey::Cert(NAME.parse().expect("a name")));
    let stored = store.get(&record.key()).await.expect("the store can be read").expect("it is there");
    let mut value: CertRecord = stored.envelope.record().expect("a certificate's record");
    value.renew_requested_at = Some(certfleet_core::time::Timestamp::now());
    let expect = Expect::Revision(stored.revision);
    let envelope = fleet.pen(GOING).write(&record, &value, &expect).expect("it can be signed");
    let settled = put_settled(store.as_ref(), &record.key(), &envelope, &expect).await.expect("the store takes it");
    assert!(matches!(settled, Settled::Done(_)), "somebody else wrote it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_compromised_node_could_read_is_made_anew_and_nothing_else() {
    let Some(mut fleet) = fleet().await else { return };
    let first = fleet.live(1, NAME).expect("it is served");
    let elsewhere = fleet.live(1, ELSEWHERE).expect("it is served");
    let before = account(&fleet).await;
    fleet.kill(GOING);
    let said = fleet.certfleet(1, &["node", "remove", "n3", "--compromised"]).await;
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(said.code == Some(0) && text.contains(NAME) && !text.contains(ELSEWHERE) && text.contains("account key"), "{said:?}");

    let second = fleet.have(STAYING, NAME, 2).await;
    assert_ne!(second.key, first.key, "a fresh key");
    assert_eq!(readers(&fleet, &second.key).await, names(&fleet, &STAYING));
    let rolled = || async {
        Some(account(&fleet).await).filter(|now| now["next"].is_null() && now["key"]["thumbprint"] != before["key"]["thumbprint"])
    };
    let after = fleet.until("the account has another key", rolled).await;
    assert_eq!(after["accounts"][0]["url"], before["accounts"][0]["url"], "the account stays");
    assert_eq!(after["accounts"][0]["thumbprint"], after["key"]["thumbprint"]);

    // It ends there: once each.
    fleet.certfleet_until_it_works(2, &["renew", ELSEWHERE]).await;
    let third = fleet.have(STAYING, ELSEWHERE, 2).await;
    assert_ne!(third.key, elsewhere.key);
    assert_eq!((fleet.live(1, NAME), fleet.lab.pebble.issued().len()), (Some(second), 4));
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_machine_takes_its_name_again_and_its_predecessor_does_not() {
    let Some(mut fleet) = fleet().await else { return };
    fleet.kill(GOING);
    let state = fleet.dir(GOING).join("state");
    let old = fleet.dir(GOING).join("old-state");
    std::fs::rename(&state, &old).expect("it can be moved");
    std::fs::remove_dir_all(fleet.live_dir(GOING, NAME)).expect("it was there");
    let refused = fleet.certfleet(1, &["invite", "n3"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("--replace"), "{refused:?}");
    let token = fleet.certfleet_quietly(1, &["invite", "n3", "--replace"]).await.worked();
    fleet.certfleet_quietly(GOING, &["join", token.trim()]).await.worked();
    fleet.start(GOING);
    fleet.all_have_of(NAME, 1).await;
    assert_eq!(fleet.lab.pebble.issued().len(), 2, "nothing is issued for a rebuilt machine");

    // The old disk comes back.
    fleet.kill(GOING);
    std::fs::rename(&state, fleet.dir(GOING).join("new-state")).expect("it can be moved");
    std::fs::rename(&old, &state).expect("it can be moved");
    fleet.start(GOING);
    let told = |health: &crate::client::Answer| health.status == 503 && health.body.contains("another machine");
    fleet.until("the old machine knows", || async { fleet.admin(GOING, "/healthz").await.filter(told) }).await;
    fleet.stop(GOING);
}
