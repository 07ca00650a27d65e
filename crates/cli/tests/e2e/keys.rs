//! Whose keys are whose: a key for each node, a key that is kept, a key that only some nodes can read.

use std::collections::BTreeSet;

use certfleet_core::key::RecordKey;
use certfleet_core::names::SpkiHash;
use certfleet_core::records::{PrivateKeyRecord, RequestRecord};
use certfleet_core::x509::Leaf;

use crate::fleet::{Certificate, Config, Fleet, Lab, audit};

const NAME: &str = "keys.example.com";

async fn fleet(nodes: u8, lines: &str, overlays: &[(u8, &str)]) -> Option<Fleet> {
    let lab = Lab::new(nodes, |_| {}).await?;
    let mut config = Config::plain(NAME);
    config.certificates[0] = Certificate { lines: lines.into(), ..Certificate::plain(NAME) };
    config.overlays.extend(overlays.iter().map(|(n, lines)| (*n, (*lines).to_owned())));
    let mut fleet = Fleet::with(lab, config, nodes).await;
    fleet.start_all();
    Some(fleet)
}

fn own(n: u8) -> String {
    format!("{NAME}@n{n}")
}

/// Waits until node `n` has its own certificate.
async fn has_own(fleet: &Fleet, n: u8, generation: u64) -> Leaf {
    let cert = own(n);
    fleet.until("its own certificate", || fleet.has(n, &cert, generation)).await
}

/// One node alone drives the orders; the keys stay where they were made.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_each_node_never_leaves_it() {
    const WORKER: &str = "roles = [\"answer\", \"deploy\"]";
    let Some(mut fleet) = fleet(3, "key = { policy = \"per-node\" }", &[(2, WORKER), (3, WORKER)]).await else { return };
    let mut keys = BTreeSet::new();
    for n in fleet.numbers() {
        let leaf = has_own(&fleet, n, 1).await;
        assert!(!fleet.has_key(&leaf.key).await, "the key of node {n} is in the store");
        assert_eq!(fleet.record(&own(n)).await.history[0].drivers, [fleet.name(1)]);
        let request = RecordKey::Request(own(n).parse().expect("a name"), fleet.name(n)).key();
        let stored = fleet.store().await.get(&request).await.expect("the store can be read").expect("it asked");
        assert_eq!(stored.envelope.record::<RequestRecord>().expect("a request").key, leaf.key);
        assert!(fleet.live(n, &own(n)).is_some());
        keys.insert(leaf.key);
    }
    assert_eq!((keys.len(), fleet.lab.pebble.issued().len()), (3, 3));
    for other in [1, 3] {
        assert!(!fleet.live_dir(other, &own(2)).exists(), "node {other} has no files of node 2");
    }
    fleet.certfleet(1, &["renew", &own(2)]).await.worked();
    let renewed = has_own(&fleet, 2, 2).await;
    assert!(!keys.contains(&renewed.key), "a fresh key");
    assert_eq!(fleet.lab.pebble.issued().len(), 4, "of the others none is renewed");

    // Where its files and the store are all that is left, its sealed cache still opens.
    fleet.kill(2);
    std::fs::remove_dir_all(fleet.live_dir(2, &own(2))).expect("it was there");
    fleet.start(2);
    has_own(&fleet, 2, 2).await;
    assert_eq!(fleet.lab.pebble.issued().len(), 4);
    no_key_is_where_it_should_not_be(&fleet);
}

/// The private keys that nodes serve stand nowhere in the store, and of the state directories in none as they are.
fn no_key_is_where_it_should_not_be(fleet: &Fleet) {
    for n in fleet.numbers() {
        let pem = std::fs::read_to_string(fleet.live_dir(n, &own(n)).join("privkey.pem")).expect("it is served");
        let line = pem.lines().nth(1).expect("a key has lines");
        let elsewhere = fleet.numbers().map(|n| fleet.dir(n).join("state")).chain([fleet.store_dir()]);
        for path in elsewhere.flat_map(|dir| audit::files(&dir)) {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
            assert!(!text.contains(line), "the key of node {n} is in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_key_stays_until_a_new_one_is_asked_for() {
    let Some(fleet) = fleet(2, "key = { reuse = true }", &[]).await else { return };
    let first = fleet.all_have(NAME, 1, 1).await;
    fleet.certfleet(1, &["renew", NAME]).await.worked();
    let second = fleet.all_have(NAME, 2, 2).await;
    assert_eq!(second.key, first.key);
    fleet.certfleet(2, &["renew", NAME, "--new-key"]).await.worked();
    let third = fleet.all_have(NAME, 3, 3).await;
    assert_ne!(third.key, first.key);
    fleet.certfleet(2, &["renew", NAME]).await.worked();
    assert_eq!(fleet.all_have(NAME, 4, 4).await.key, third.key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_sealed_for_the_nodes_it_is_placed_on_and_nobody_else() {
    let Some(fleet) = fleet(3, "nodes = [\"n2\", \"n3\"]", &[(2, "roles = [\"deploy\"]"), (3, "roles = [\"deploy\"]")]).await else {
        return;
    };
    let leaf = fleet.have([2, 3], NAME, 1).await;
    let record = sealed(&fleet, &leaf.key).await;
    assert_eq!(record.key.wraps.keys().cloned().collect::<Vec<_>>(), [fleet.name(2), fleet.name(3)]);
    for n in [2, 3] {
        let opened = fleet.pen(n).open(&record.key, None, NAME, &leaf.key).expect("it is placed there");
        assert_eq!(certfleet_acme::spki_of_key(&opened).expect("a key"), leaf.key);
    }
    assert!(fleet.pen(1).open(&record.key, None, NAME, &leaf.key).is_err(), "who ordered it cannot open it");
    // Nor with another's wrap, nor for another purpose.
    let theirs = record.key.wraps.values().next().expect("two");
    assert!(fleet.pen(1).open(&record.key, Some(theirs), NAME, &leaf.key).is_err());
    assert!(fleet.pen(2).open(&record.key, None, "other.example.com", &leaf.key).is_err());
    let kept = audit::files(&fleet.dir(1).join("state/records"));
    assert!(!kept.iter().any(|path| path.display().to_string().contains(leaf.key.as_str())), "{kept:?}");
}

async fn sealed(fleet: &Fleet, key: &SpkiHash) -> PrivateKeyRecord {
    let stored = fleet.store().await.get(&RecordKey::PrivateKey(key.clone()).key()).await.expect("the store can be read");
    stored.expect("the key is there").envelope.record().expect("a key")
}
