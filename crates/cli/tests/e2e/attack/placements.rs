//! A node that may issue is in other hands, and signs what it likes: the others install it only if it is a certificate of the issuer, whole,
//! with its key, its names and its time; each refusal is reported with its reason, and what was served stays.

use certfleet_core::decide::Readers;
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{Generation, SpkiHash};
use certfleet_core::records::{CertRecord, NodeRecord, Placed, PrivateKeyRecord, VersionRecord};
use certfleet_core::secret::Secret;
use certfleet_core::time::Timestamp;
use certfleet_core::x509::Leaf;
use certfleet_node::trust::Pen;
use certfleet_store::{Settled, put_settled};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fleet::{Config, Fleet, Lab};

const NAME: &str = "placed.example.com";
/// Whose keys the attacker has; it does not run meanwhile.
const STOLEN: u8 = 1;
const HONEST: u8 = 2;

/// What the attacker gives away as the next generation.
struct Forgery {
    chain: String,
    key: Secret,
    change: fn(&mut Placed),
    reason: &'static str,
}

/// A chain of the attacker's own CA, and its key.
fn chain(name: &str, is_over: bool) -> (String, Secret) {
    let (ca_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "a CA of one's own");
    let root = ca.self_signed(&ca_key).expect("a root");
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    leaf.not_before = date_time_ymd(2026, 1, 1);
    leaf.not_after = if is_over { date_time_ymd(2026, 2, 1) } else { date_time_ymd(2040, 1, 1) };
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a leaf");
    (format!("{}{}", leaf.pem(), root.pem()), Secret::from(key.serialize_pem()))
}

fn forgeries() -> Vec<Forgery> {
    let own = || chain(NAME, false);
    let other_key = || (own().0, own().1);
    let unchanged: fn(&mut Placed) = |_| {};
    let forgery = |(chain, key), change, reason| Forgery { chain, key, change, reason };
    vec![
        forgery(own(), unchanged, "root"),
        forgery(chain("evil.example.com", false), |placed| placed.names = vec![NAME.parse().expect("a name")], "names"),
        forgery(chain(NAME, true), unchanged, "expired"),
        forgery(other_key(), unchanged, "another key"),
        forgery(
            own(),
            |placed| placed.fingerprint = Leaf::from_pem(&chain(NAME, false).0).expect("a leaf").fingerprint,
            "not the one that was placed",
        ),
        forgery(own(), |placed| placed.version = certfleet_core::names::VersionHash::of(b"another"), "vouches for"),
        forgery(own(), |placed| placed.placement.seq = 0, "this node has seen"),
    ]
}

async fn read<T: DeserializeOwned>(fleet: &Fleet, key: &RecordKey) -> (T, Expect) {
    let stored = fleet.store().await.get(&key.key()).await.expect("the store can be read").expect("it is there");
    (stored.envelope.record().expect("a record"), Expect::Revision(stored.revision))
}

async fn write<T: Serialize>(fleet: &Fleet, pen: &Pen, key: &RecordKey, record: &T, expect: &Expect) -> certfleet_core::envelope::Envelope {
    let envelope = pen.write(key, record, expect).expect("it can be signed");
    let settled = put_settled(fleet.store().await.as_ref(), &key.key(), &envelope, expect).await.expect("the store takes it");
    assert!(matches!(settled, Settled::Done(_)), "somebody else wrote {key}");
    envelope
}

/// Everything that a generation needs, as the honest nodes would write it.
async fn place(fleet: &Fleet, forgery: &Forgery) -> Generation {
    let pen = fleet.pen(STOLEN);
    let cert = NAME.parse().expect("a name");
    let (mut record, expect): (CertRecord, _) = read(fleet, &RecordKey::Cert(NAME.parse().expect("a name"))).await;
    let generation = record.last_number.next();
    let leaf = Leaf::from_pem(&forgery.chain).expect("a leaf");
    keep_key(fleet, &pen, &forgery.key, &leaf.key).await;
    let version = VersionRecord {
        cert,
        generation,
        key: leaf.key.clone(),
        issuer: "pebble".parse().expect("a name"),
        chain: forgery.chain.clone(),
        after_removals: 0,
        extra: Default::default(),
    };
    let key = RecordKey::Version(NAME.parse().expect("a name"), generation);
    let envelope = write(fleet, &pen, &key, &version, &Expect::Absent).await;
    let before = record.placed.clone().expect("it is placed");
    let mut placement = before.placement;
    (placement.seq, placement.generation) = (placement.seq + 1, generation);
    let mut placed = Placed {
        placement,
        version: envelope.body_hash(),
        names: leaf.names.clone(),
        serial: leaf.serial.clone(),
        fingerprint: leaf.fingerprint.clone(),
        key: leaf.key.clone(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        ..before
    };
    (forgery.change)(&mut placed);
    (record.placed, record.last_number) = (Some(placed), generation);
    write(fleet, &pen, &RecordKey::Cert(NAME.parse().expect("a name")), &record, &expect).await;
    generation
}

async fn keep_key(fleet: &Fleet, pen: &Pen, key: &Secret, spki: &SpkiHash) {
    let (honest, _): (NodeRecord, _) = read(fleet, &RecordKey::Node(fleet.name(HONEST))).await;
    let readers = Readers::from([(honest.name.clone(), honest.sealing_key)]);
    let record = PrivateKeyRecord {
        cert: NAME.parse().expect("a name"),
        spki: spki.clone(),
        created_at: Timestamp::now(),
        key: pen.seal(key, NAME, spki, &readers).expect("it can be sealed"),
        extra: Default::default(),
    };
    write(fleet, pen, &RecordKey::PrivateKey(spki.clone()), &record, &Expect::Absent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stolen_issuer_places_is_installed_only_if_it_is_the_issuers() {
    let Some(lab) = Lab::new(2, |_| {}).await else { return };
    let root = lab.dir.path().join("issuing-root.pem");
    std::fs::write(&root, lab.pebble.issuing_root().await).expect("writes");
    let mut config = Config::plain(NAME);
    config.issuer_lines = format!("chain_root = \"{}\"\n", root.display());
    config.overlays.insert(HONEST, "roles = [\"answer\", \"deploy\"]".into());
    let mut fleet = Fleet::with(lab, config, 2).await;
    fleet.start_all();
    let served = fleet.all_have(NAME, 1, 1).await;
    fleet.stop(STOLEN);
    for forgery in forgeries() {
        let generation = place(&fleet, &forgery).await;
        let refused = || async {
            let status = fleet.status(HONEST).await?;
            let text = serde_json::to_string(&status).expect("JSON");
            (status.certificate(&NAME.parse().expect("a name"))?.generation == Some(generation) && text.contains(forgery.reason))
                .then_some(())
        };
        fleet.until(&format!("generation {generation} is refused: {}", forgery.reason), refused).await;
        assert_eq!(fleet.live(HONEST, NAME), Some(served.clone()), "{}", forgery.reason);
    }
    fleet.start(STOLEN);
    fleet.certfleet_until_it_works(STOLEN, &["renew", NAME]).await;
    let next = fleet.all_have_of(NAME, 9).await;
    assert_ne!(next.key, served.key);
    assert_eq!(fleet.lab.pebble.issued().len(), 2);
}
