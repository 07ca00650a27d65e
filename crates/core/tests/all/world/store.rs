//! A store in memory with the contract of the real one: single keys, compare-and-swap on engine revision and nonce.

use std::collections::BTreeMap;

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::NodeName;
use certfleet_core::records::VersionRecord;
use certfleet_core::view::Blob;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Somebody else was faster.
#[derive(Debug)]
pub struct Conflict;

/// The values, and the counters behind revisions and nonces.
#[derive(Debug, Clone, Default)]
pub struct FakeStore {
    values: BTreeMap<Key, (Envelope, Revision)>,
    /// The engine's revision; a restored backup repeats it.
    engine: u64,
    /// Never repeats.
    nonces: u128,
}

impl FakeStore {
    pub fn get(&self, key: &Key) -> Option<(&Envelope, &Revision)> {
        self.values.get(key).map(|(envelope, revision)| (envelope, revision))
    }

    pub fn record<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        self.values.get(key).and_then(|(envelope, _)| envelope.record().ok())
    }

    pub fn keys(&self) -> Vec<Key> {
        self.values.keys().cloned().collect()
    }

    pub fn put<T: Serialize>(&mut self, key: &Key, writer: &NodeName, record: &T, expect: &Expect) -> Result<(), Conflict> {
        let as_expected = match (expect, self.values.get(key)) {
            (Expect::Absent, None) => true,
            (Expect::Revision(wanted), Some((_, found))) => wanted == found,
            _ => false,
        };
        if !as_expected {
            return Err(Conflict);
        }
        self.engine += 1;
        self.nonces += 1;
        let nonce = Nonce::from_random(self.nonces.to_be_bytes());
        let envelope = Envelope::new(writer.clone(), nonce.clone(), record).expect("records serialise");
        let envelope = Envelope::from_bytes(&envelope.to_bytes().expect("fits")).expect("reads back");
        self.values.insert(key.clone(), (envelope, Revision { engine: self.engine.to_string(), nonce }));
        Ok(())
    }

    /// The private keys and versions, without their content.
    pub fn blobs(&self) -> Vec<Blob> {
        let blobs = self.values.iter().filter_map(|(key, (envelope, revision))| {
            let needs = match RecordKey::of(key)? {
                RecordKey::Version(..) => envelope.record::<VersionRecord>().ok().map(|version| version.key),
                RecordKey::PrivateKey(_) => None,
                _ => return None,
            };
            Some(Blob { key: key.clone(), revision: revision.clone(), needs })
        });
        blobs.collect()
    }

    /// Removes a value that is still what it was.
    pub fn remove(&mut self, key: &Key, expect: &Revision) {
        if self.values.get(key).is_some_and(|(_, revision)| revision == expect) {
            self.values.remove(key);
        }
    }

    /// What a backup brings back: older values, and revisions that are given out a second time. Nonces go on.
    pub fn restore(&mut self, backup: &FakeStore) {
        self.values.clone_from(&backup.values);
        self.engine = backup.engine;
    }

    /// An unmounted file system.
    pub fn wipe(&mut self) {
        self.values.clear();
    }

    pub fn spoil(&mut self, key: &Key) {
        if let Some((envelope, _)) = self.values.get_mut(key) {
            envelope.body = serde_json::json!("not a record");
        }
    }
}
