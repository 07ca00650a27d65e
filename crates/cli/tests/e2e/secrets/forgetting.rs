//! A node that makes a key for others keeps nothing by which it could be opened.

use std::os::unix::net::UnixStream;
use std::process::Command;

use certfleet_core::key::RecordKey;
use certfleet_core::records::PrivateKeyRecord;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR};

use super::needles::Needles;
use super::{NAME, add_key, field, identity, key_bytes, live_key, memory, skipped};
use crate::fleet::{Certificate, Config, Fleet, Lab};

/// Of other kinds of keys, for the same node.
const OTHERS: [(&str, &str); 2] = [("p384.example.com", "ecdsa-p384"), ("rsa.example.com", "rsa2048")];
const READER: u8 = 2;

fn certificate(name: &str, kind: &str) -> Certificate {
    Certificate { lines: format!("nodes = [\"n{READER}\"]\nkey = {{ type = \"{kind}\" }}"), ..Certificate::plain(name) }
}

/// Node 1 orders, node 2 may only install, and the certificates are placed there alone.
async fn fleet() -> Option<Fleet> {
    let lab = Lab::new(READER, |_| {}).await?;
    let mut config = Config::plain(NAME);
    config.certificates = vec![certificate(NAME, "ecdsa-p256")];
    config.certificates.extend(OTHERS.map(|(name, kind)| certificate(name, kind)));
    let mut fleet = Fleet::with(lab, config, 1).await;
    assert_eq!(fleet.grow_as("deploy").await, READER);
    fleet.start_all();
    for name in names() {
        fleet.have([READER], name, 1).await;
    }
    Some(fleet)
}

fn names() -> impl Iterator<Item = &'static str> {
    [NAME].into_iter().chain(OTHERS.map(|(name, _)| name))
}

/// Who listens on the admin socket.
fn process(fleet: &Fleet, n: u8) -> u32 {
    let socket = UnixStream::connect(fleet.dir(n).join("admin.sock")).expect("the node runs");
    let peer = rustix::net::sockopt::socket_peercred(&socket).expect("the kernel knows it");
    peer.pid.as_raw_nonzero().get().cast_unsigned()
}

/// What the secret of a certificate's key record is encrypted to: opened as node 2 can, by what `docs/` says of the form alone.
async fn pair_of(fleet: &Fleet, cert: &str, pem: &str) -> Vec<u8> {
    let spki = certfleet_acme::spki_of_key(&pem.to_owned().into()).expect("a key");
    let key = RecordKey::PrivateKey(spki.clone());
    let stored = fleet.store().await.get(&key.key()).await.expect("the store can be read").expect("the key is there");
    let record: PrivateKeyRecord = stored.envelope.record().expect("a key's record");
    let me = identity(fleet, READER);
    let bound_to = serde_json::json!([field(&me, "fleet"), cert, spki.as_str(), field(&me, "node")]).to_string();
    let wrap = &record.key.wraps[&fleet.name(READER)].0;
    let (encapsulated, sealed) = wrap.split_at(32);
    let private = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&key_bytes(field(&me, "sealing_key"))).expect("a key");
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).expect("a key");
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        b"certfleet wrap v1",
        sealed,
        bound_to.as_bytes(),
    )
    .expect("it opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_a_key_for_others_forgets_it() {
    let Some(fleet) = fleet().await else { return };
    let mut forgotten = Needles::new();
    for cert in names() {
        let pem = live_key(&fleet, READER, cert);
        forgotten.pem(&format!("the key of {cert}"), &pem);
        forgotten.bytes(&format!("what the key of {cert} is sealed to"), &pair_of(&fleet, cert, &pem).await);
    }
    let mut kept = Needles::new();
    add_key(&mut kept, "its own signing key", field(&identity(&fleet, 1), "signing_key"));
    let maker = process(&fleet, 1);
    let found = match memory::search(maker, &kept) {
        Ok(found) => found,
        Err(error) => return skipped(&format!("the memory of another process cannot be read: {error}")),
    };
    assert_eq!(found.len(), 1, "what is there is not found");
    let found = memory::search(maker, &forgotten).expect("its memory can be read");
    assert!(found.is_empty(), "node 1 still has {found:?}");
}

/// The search finds a key in the memory of a process that was given one.
#[test]
fn what_is_not_forgotten_is_found() {
    let made = certfleet_acme::make_key_and_csr(certfleet_core::spec::KeyType::EcdsaP256, &["example.com".parse().expect("a name")]);
    let pem = made.expect("a key").key_pem;
    let mut needles = Needles::new();
    needles.pem("the key", pem.expose_text().expect("text"));
    let mut child = Command::new("sleep").arg("60").env("KEY", pem.expose_text().expect("text")).spawn().expect("sleep starts");
    let found = memory::search(child.id(), &needles);
    child.kill().and_then(|()| child.wait()).expect("it can be ended");
    match found {
        Ok(found) => assert_eq!(found.into_iter().collect::<Vec<_>>(), ["the key"]),
        Err(error) => skipped(&format!("the memory of another process cannot be read: {error}")),
    }
}
