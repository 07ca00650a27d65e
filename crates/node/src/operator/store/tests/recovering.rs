//! `store recover`: from one node's cache, then from another's.

use certfleet_core::records::FleetRecord;

use super::*;

async fn recover(lab: &Lab, node: &str) -> Recovered {
    store_recover(&lab.machine(node)).await.unwrap_or_else(|error| panic!("{}", error.in_two_lines()))
}

#[tokio::test]
async fn a_lost_store_comes_back_as_it_was() {
    let lab = Lab::new().await;
    let spki = lab.issue("n2", 1).await;
    lab.remember("n3").await;
    let before = lab.everything().await;
    lab.lose_store();
    let recovered = recover(&lab, "n3").await;
    assert!(recovered.left_out.is_empty() && recovered.stood == 0, "{recovered:?}");
    let readers = ["n1", "n2", "n3"].map(name).into();
    let known = KnownCertificate { cert: cert(), generation: Some(Generation(1)), key: CertificateKey::Sealed(readers) };
    assert_eq!(recovered.certificates, [known]);
    let lasting: Vec<_> = before.into_iter().filter(|(key, _)| !key.is_under("joining")).collect();
    assert_eq!(lab.everything().await, lasting, "verbatim: nothing is issued or signed anew");
    for node in ["n1", "n2", "n3"] {
        assert_eq!(lab.check(node).await, [], "{node} opens keys/{spki}");
    }
    let fleet: FleetRecord = lab.read(&RecordKey::Fleet).await;
    assert_eq!(fleet.epoch, 0, "who knows more is still believed");
}

#[tokio::test]
async fn the_next_node_adds_what_is_missing_and_replaces_nothing() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    lab.remember("n1").await;
    let old = lab.get(&cert_key()).await;
    let spki = lab.issue("n2", 2).await;
    lab.let_in_by_fleet_key("n4").await;
    lab.remember("n2").await;
    lab.lose_store();
    recover(&lab, "n1").await;
    let recovered = recover(&lab, "n2").await;
    let mut added: Vec<String> = recovered.added.iter().map(ToString::to_string).collect();
    added.sort();
    assert_eq!(added, [format!("keys/{spki}"), "nodes/n4".into(), "versions/example.com/2".into()]);
    assert_eq!(lab.get(&cert_key()).await, old, "never replaced by the command");
    let view = lab.view("n2").await;
    assert!(generation(&view) == 2 && view.strays.contains_key(&cert_key()), "n2's daemon knows better, and puts it right");
    assert_eq!(recover(&lab, "n2").await.added, []);
}

#[tokio::test]
async fn own_keys_stay_on_their_node() {
    let lab = Lab::new().await;
    let own: CertName = cert().on_node(&name("n1"));
    let made = make_key_and_csr(KeyType::default(), &spec().names).expect("makes a key");
    let pen = Pen::new(&lab.identity("n1"));
    let key = pen.seal_for_myself(&made.key_pem, own.as_str(), &made.spki).expect("seals");
    let at = RecordKey::PrivateKey(made.spki.clone());
    let record = PrivateKeyRecord { cert: own.clone(), spki: made.spki.clone(), created_at: now(), key, extra: Default::default() };
    let envelope = pen.write(&at, &record, &Expect::Absent).expect("signs");
    let keeper = Keeper::new(&lab.machine("n1").settings.state);
    lab.place("n1", own.clone(), 1, made.spki).await;
    let lacking = lab.check("n1").await;
    assert!(lacking.len() == 1 && lacking[0].what.contains("is this node's own"), "{lacking:#?}");
    keeper.keep(&at.key(), &envelope).expect("keeps");
    assert_eq!(lab.check("n1").await, []);
    lab.remember("n1").await;
    lab.remember("n2").await;
    lab.lose_store();
    let known = |recovered: &Recovered| recovered.certificates[0].key.clone();
    assert_eq!(known(&recover(&lab, "n1").await), CertificateKey::Here);
    assert_eq!(known(&recover(&lab, "n2").await), CertificateKey::On(name("n1")));
    assert!(lab.get(&at.key()).await.is_none(), "it never leaves");
    assert_eq!(lab.check("n1").await, []);
}

#[tokio::test]
async fn what_a_removed_node_wrote_is_said_anew_by_an_issue_node() {
    let lab = Lab::new().await;
    lab.issue("n2", 1).await;
    let old = lab.get(&cert_key()).await.expect("is there");
    lab.remove("n2").await;
    // The caches are from before it was said anew in the store.
    lab.plant(&cert_key(), &old).await;
    lab.remember("n1").await;
    lab.remember("n3").await;
    lab.lose_store();
    let left_out: Vec<String> = recover(&lab, "n3").await.left_out.into_iter().map(|(key, _)| key.to_string()).collect();
    assert!(left_out.contains(&"certs/example.com".to_owned()), "{left_out:?}");
    recover(&lab, "n1").await;
    let envelope = lab.get(&cert_key()).await.expect("is there");
    assert_eq!((envelope.writer.as_str(), envelope.change), ("n1", 2));
    assert_eq!(generation(&lab.view("n3").await), 1);
    assert_eq!(lab.check("n1").await, []);
}

#[tokio::test]
async fn nothing_is_recovered_from_nothing_or_into_another_fleet() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let refusal = store_recover(&lab.machine("n1")).await.expect_err("has no cache").in_two_lines();
    assert!(refusal.what.contains("never ran as a member") && refusal.remedy.contains("store restore"), "{refusal}");
    lab.remember("n1").await;
    lab.lose_store();
    std::fs::rename(other.dir.path().join("store"), lab.dir.path().join("store")).expect("moves");
    let refusal = store_recover(&lab.machine("n1")).await.expect_err("is another's").in_two_lines();
    assert!(refusal.what.contains("the store holds fleet prod"), "{refusal}");
}

#[tokio::test]
async fn what_somebody_planted_meanwhile_does_not_hinder() {
    let lab = Lab::new().await;
    lab.issue("n2", 1).await;
    lab.remember("n1").await;
    let node = RecordKey::Node(name("n2")).key();
    let planted = Envelope { change: 9, ..lab.get(&node).await.expect("is there") };
    lab.lose_store();
    let store = lab.machine("n1").store_or_new().await.expect("makes one");
    certfleet_store::put_settled(store.as_ref(), &node, &planted, &Expect::Absent).await.expect("writes");
    let recovered = recover(&lab, "n1").await;
    assert!(recovered.left_out.is_empty(), "{:?}", recovered.left_out);
    assert_eq!((lab.get(&node).await, generation(&lab.view("n1").await)), (Some(planted), 1), "a daemon puts the planted one right");
}
