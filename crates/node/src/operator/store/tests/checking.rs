//! `store check`: a sound store, and each way in which it can be unsound.

use certfleet_core::envelope::FORMAT;
use certfleet_core::names::SpkiHash;
use certfleet_core::records::{PrivateKeyRecord, VersionRecord};

use super::*;

#[track_caller]
fn has(problems: &[Problem], key: &str, what: &str) {
    assert!(problems.iter().any(|problem| problem.key == key && problem.what.contains(what)), "no {key:?} {what:?} in {problems:#?}");
}

#[tokio::test]
async fn a_sound_store_has_no_problems_and_counts() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let checked = store_check(&lab.machine("n3"), now()).await.expect("checks");
    assert_eq!(checked.problems, []);
    let counts = [("certs", 1), ("fleet", 1), ("joining", 1), ("keys", 1), ("nodes", 3), ("versions", 1)];
    assert_eq!(checked.records, counts.into());
    assert_eq!((checked.epoch, checked.format), (Some(0), Some(FORMAT)));
}

#[tokio::test]
async fn what_does_not_count_is_named() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    lab.remember("n1").await;
    let sound = lab.get(&cert_key()).await.expect("is there");
    lab.plant(&cert_key(), &Envelope { change: 7, ..sound.clone() }).await;
    has(&lab.check("n1").await, "certs/example.com", "its signature is not that of n1");
    lab.write("n3", &RecordKey::Cert(cert()), &sound.body).await;
    has(&lab.check("n1").await, "certs/example.com", "n3 wrote it, whose roles do not allow that");
    lab.issue("n1", 2).await;
    lab.remember("n1").await;
    lab.plant(&cert_key(), &sound).await;
    has(&lab.check("n1").await, "certs/example.com", "it is older than what was there before");
    lab.delete(&cert_key()).await;
    has(&lab.check("n1").await, "certs/example.com", "it is gone from the store");
    lab.plant(&"later/thing".parse().expect("key"), &sound).await;
    has(&lab.check("n1").await, "later/thing", "knows no such record");
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_newer_versions_are_told_apart() {
    let lab = Lab::new().await;
    let spki = lab.issue("n1", 1).await;
    let sound = lab.get(&cert_key()).await.expect("is there");
    lab.plant(&cert_key(), &Envelope { format: FORMAT + 1, ..sound }).await;
    let problems = lab.check("n1").await;
    has(&problems, "certs/example.com", "is newer than this version's format");
    assert!(problems.iter().any(|problem| problem.remedy.contains("upgrade certfleet on this node")), "{problems:#?}");
    lab.write("n1", &RecordKey::PrivateKey(spki.clone()), &"no record").await;
    has(&lab.check("n1").await, &format!("keys/{spki}"), "cannot be read");
}

#[tokio::test]
async fn references_and_hashes_are_followed() {
    let lab = Lab::new().await;
    let spki = lab.issue("n1", 1).await;
    let at = RecordKey::Version(cert(), Generation(1));
    let version: VersionRecord = lab.read(&at).await;
    lab.write("n2", &at, &VersionRecord { chain: "another".into(), ..version }).await;
    has(&lab.check("n1").await, "certs/example.com", "whose content is not what it vouches for");
    lab.delete(&at.key()).await;
    has(&lab.check("n1").await, "certs/example.com", "versions/example.com/1, which is not in the store");
    lab.delete(&RecordKey::PrivateKey(spki).key()).await;
    has(&lab.check("n1").await, "certs/example.com", "the key of generation 1, is not in the store");
}

#[tokio::test]
async fn who_cannot_open_a_key_is_named() {
    let lab = Lab::new().await;
    let spki = lab.issue("n1", 1).await;
    let at = RecordKey::PrivateKey(spki.clone());
    let mut key: PrivateKeyRecord = lab.read(&at).await;
    let wrap = key.key.wraps.remove(&name::<NodeName>("n3")).expect("was sealed for it");
    key.key.wraps.insert(name("n2"), wrap);
    lab.write("n1", &at, &key).await;
    let (here, there) = (format!("keys/{spki}"), lab.check("n2").await);
    has(&lab.check("n1").await, &here, "it is not sealed for n3, which should read it");
    has(&there, &here, "n2");
    assert_eq!(there.len(), 2, "n2's wrap is n3's: {there:#?}");
    let other = SpkiHash::of(b"another key");
    lab.place("n1", cert(), 2, other.clone()).await;
    lab.write("n1", &RecordKey::PrivateKey(other), &key).await;
    has(&lab.check("n1").await, &format!("keys/{}", SpkiHash::of(b"another key")), "stands where that of example.com should");
}

#[tokio::test]
async fn a_sealed_key_that_is_another_is_seen_by_who_can_open_it() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let (pen, other) = (Pen::new(&lab.identity("n1")), SpkiHash::of(b"not the hash of what is sealed"));
    let made = make_key_and_csr(KeyType::default(), &spec().names).expect("makes a key");
    let readers = lab.view("n1").await.readers(&spec());
    let key = pen.seal(&made.key_pem, cert().as_str(), &other, &readers).expect("seals");
    let record = PrivateKeyRecord { cert: cert(), spki: other.clone(), created_at: now(), key, extra: Default::default() };
    lab.write("n1", &RecordKey::PrivateKey(other.clone()), &record).await;
    lab.place("n1", cert(), 2, other.clone()).await;
    has(&lab.check("n3").await, &format!("keys/{other}"), "what is sealed in it is another key");
}

#[tokio::test]
async fn another_fleets_store_is_refused() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    lab.lose_store();
    std::fs::rename(other.dir.path().join("store"), lab.dir.path().join("store")).expect("moves");
    let refusal = store_check(&lab.machine("n1"), now()).await.expect_err("is another's").in_two_lines();
    assert!(refusal.what.contains("the store holds fleet prod"), "{refusal}");
}
