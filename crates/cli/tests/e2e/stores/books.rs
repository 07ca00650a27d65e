//! What the CA issued, held against what the store says of it.

use std::collections::{BTreeMap, BTreeSet};

use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Generation, SpkiHash};
use certfleet_core::records::{AttemptEnd, CertRecord, PrivateKeyRecord, VersionRecord, WrapRecord};
use certfleet_core::x509::Leaf;
use certfleet_store::Store;
use serde::de::DeserializeOwned;

use super::CERTS;
use crate::fleet::Fleet;

/// What was found.
#[derive(Debug)]
pub struct Books {
    /// Certificates at the CA of which no attempt knows: what it cost that acknowledged writes were lost.
    pub unknown: Vec<String>,
    issued: usize,
    attempts: usize,
}

impl Books {
    /// Reads both, and sees that each attempt has one certificate at most, that the CA knows it, and that every certificate which an attempt
    /// became has its chain and its key in the store, the key open to every node.
    pub(super) async fn read(fleet: &Fleet) -> Self {
        let store = fleet.store().await;
        let mut by_serial = BTreeMap::new();
        for cert in CERTS {
            for (number, serial) in became(&fleet.record(cert).await) {
                let earlier = by_serial.insert(plain(&serial), (cert.parse::<CertName>().expect("a name"), number));
                assert_eq!(earlier, None, "certificate {serial} belongs to two attempts");
            }
        }
        let issued: BTreeSet<String> = fleet.lab.pebble.issued().iter().map(|serial| plain(serial)).collect();
        for (serial, (cert, number)) in &by_serial {
            assert!(issued.contains(serial), "{cert}: the CA knows nothing of {serial}");
            let version: VersionRecord =
                read(store.as_ref(), &RecordKey::Version(cert.clone(), *number)).await.expect("its chain is there");
            let leaf = Leaf::from_pem(&version.chain).expect("a chain");
            assert_eq!(
                (plain(&leaf.serial), &leaf.key),
                (serial.clone(), &version.key),
                "{cert}: generation {number} is another certificate"
            );
            opens(fleet, store.as_ref(), cert, &leaf.key).await;
        }
        assert_eq!(fleet.lab.pebble.accounts_seen(), 1, "one account");
        let unknown = issued.iter().filter(|serial| !by_serial.contains_key(*serial)).cloned().collect();
        Self { unknown, issued: issued.len(), attempts: by_serial.len() }
    }

    /// For engines that keep what they acknowledged.
    pub fn lost_nothing(self) {
        assert_eq!(self.unknown, Vec::<String>::new(), "the CA issued {} certificates for {} attempts", self.issued, self.attempts);
    }
}

/// Serials as the CA writes them may begin with a zero.
fn plain(serial: &str) -> String {
    serial.trim_start_matches('0').to_lowercase()
}

/// The attempts that became certificates. No number comes twice.
fn became(record: &CertRecord) -> Vec<(Generation, String)> {
    let ends = record.history.iter().filter_map(|entry| match &entry.end {
        AttemptEnd::Issued { serial } => Some((entry.number, serial.clone())),
        _ => None,
    });
    let ends: Vec<_> = ends.collect();
    let numbers: BTreeSet<Generation> = ends.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), ends.len(), "an attempt became two certificates: {:?}", record.history);
    ends
}

/// The key is in the store, and each node can open it.
async fn opens(fleet: &Fleet, store: &dyn Store, cert: &CertName, key: &SpkiHash) {
    let record: Option<PrivateKeyRecord> = read(store, &RecordKey::PrivateKey(key.clone())).await;
    let record = record.unwrap_or_else(|| panic!("{cert}: the key of an issued certificate is not in the store"));
    for n in fleet.numbers() {
        let later: Option<WrapRecord> = read(store, &RecordKey::Wrap(key.clone(), fleet.name(n))).await;
        let opened = fleet.pen(n).open(&record.key, later.as_ref().map(|later| &later.wrap), cert.as_str(), key);
        let opened = opened.unwrap_or_else(|error| panic!("{cert}: node {n} cannot open the key of an issued certificate: {error}"));
        assert_eq!(certfleet_acme::spki_of_key(&opened).ok().as_ref(), Some(key), "{cert}: another key");
    }
}

async fn read<T: DeserializeOwned>(store: &dyn Store, key: &RecordKey) -> Option<T> {
    let stored = store.get(&key.key()).await.expect("the store can be read")?;
    Some(stored.envelope.record().expect("it is one"))
}
