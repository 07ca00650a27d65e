//! A store in memory with the contract of the real one: single keys, compare-and-swap on engine revision and nonce.

use std::collections::BTreeMap;

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{FleetId, NodeName};
use certfleet_core::records::VersionRecord;
use certfleet_core::trust::SigningKey;
use certfleet_core::view::Blob;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The fleet of the world.
pub fn fleet_id() -> FleetId {
    "fleet-1".parse().expect("name")
}

/// The key of a machine, of a token, or of the fleet; drawn from its name.
pub fn signing_key(name: &str) -> SigningKey {
    let hex = certfleet_core::hash::sha256_hex(name.as_bytes());
    let mut seed = [0; 32];
    seed.copy_from_slice(&hex.as_bytes()[..32]);
    SigningKey::from_seed(&seed)
}

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
    /// All values that ever stood under a key, oldest first: what somebody may have kept to put it back.
    history: BTreeMap<Key, Vec<Envelope>>,
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

    /// Signs a record and writes it.
    pub fn put<T: Serialize>(
        &mut self,
        key: &Key,
        by: (&NodeName, &SigningKey),
        record: &T,
        expect: &Expect,
    ) -> Result<Envelope, Conflict> {
        self.put_after(0, key, by, record, expect)
    }

    /// The same, after a value of this change.
    pub fn put_after<T: Serialize>(
        &mut self,
        change: u64,
        key: &Key,
        by: (&NodeName, &SigningKey),
        record: &T,
        expect: &Expect,
    ) -> Result<Envelope, Conflict> {
        if !self.is_as_expected(key, expect) {
            return Err(Conflict);
        }
        let envelope = Envelope::new(by.0.clone(), self.nonce(), record).expect("records serialise").following(expect);
        let envelope = envelope.coming_after(change).signed(&fleet_id(), key, by.1);
        self.force(key, envelope.clone());
        Ok(envelope)
    }

    pub fn nonce(&mut self) -> Nonce {
        self.nonces += 1;
        Nonce::from_random(self.nonces.to_be_bytes())
    }

    /// Writes a value whatever stands there.
    pub fn force(&mut self, key: &Key, envelope: Envelope) {
        self.engine += 1;
        self.insert(key, envelope);
    }

    /// A value as it was.
    pub fn put_back(&mut self, key: &Key, envelope: &Envelope, expect: &Expect) -> Result<(), Conflict> {
        let as_expected = self.is_as_expected(key, expect);
        if as_expected {
            self.force(key, envelope.clone());
        }
        if as_expected { Ok(()) } else { Err(Conflict) }
    }

    fn is_as_expected(&self, key: &Key, expect: &Expect) -> bool {
        match (expect, self.values.get(key)) {
            (Expect::Absent, None) => true,
            (Expect::Revision(wanted), Some((_, found))) => (&wanted.engine, &wanted.nonce) == (&found.engine, &found.nonce),
            _ => false,
        }
    }

    fn insert(&mut self, key: &Key, envelope: Envelope) {
        let envelope = Envelope::from_bytes(&envelope.to_bytes().expect("fits")).expect("reads back");
        let revision = envelope.revision(self.engine.to_string());
        self.history.entry(key.clone()).or_default().push(envelope.clone());
        self.values.insert(key.clone(), (envelope, revision));
    }

    /// The private keys and versions, without their content.
    pub fn blobs(&self) -> Vec<Blob> {
        let blobs = self.values.iter().filter_map(|(key, (envelope, revision))| {
            let needs = match RecordKey::of(key)? {
                RecordKey::Version(..) => envelope.record::<VersionRecord>().ok().map(|version| version.key),
                RecordKey::PrivateKey(_) | RecordKey::Wrap(..) => None,
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

    /// Takes a value away.
    pub fn delete(&mut self, key: &Key) {
        self.values.remove(key);
    }

    /// What stood there some time ago; the first value is number 1.
    pub fn earlier(&self, key: &Key, number: usize) -> Option<&Envelope> {
        self.history.get(key)?.get(number.checked_sub(1)?)
    }

    /// All that ever stood there, the latest first.
    pub fn history(&self, key: &Key) -> impl Iterator<Item = &Envelope> {
        self.history.get(key).into_iter().flatten().rev()
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
        if let Some((mut envelope, _)) = self.values.get(key).cloned() {
            envelope.body = serde_json::json!("not a record");
            self.force(key, envelope);
        }
    }
}
