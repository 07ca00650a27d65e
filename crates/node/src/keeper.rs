//! The sealed cache: the records that this node took for good last, as they stood in the store, in `records/` of the state directory.
//!
//! A node starts from it while the store is away, knows by it what is older than what it has seen, puts right by it what others spoil, and
//! `store recover` fills a lost store from it. Secrets in it are sealed for this node; those of keys that never leave it are in no other place.
//!
//! Always holds: a file holds the key that it belongs to, since long names are hashed in file names; it is written whole.

use std::path::{Path, PathBuf};

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, SpkiHash};
use certfleet_core::records::VersionRecord;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};

/// How many generations of each certificate are kept.
pub const GENERATIONS_KEPT: usize = 3;
/// Longest part of a key that is a file name as it is, in bytes; file systems take 255.
const NAME_BYTES_MAX: usize = 200;

/// The sealed cache.
#[derive(Debug, Clone)]
pub struct Keeper {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    key: Key,
    envelope: Envelope,
}

impl Keeper {
    /// That of the node with this state directory.
    pub fn new(state: &Path) -> Self {
        Self { dir: state.join("records") }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.path_of(key.as_str())
    }

    fn path_of(&self, key: &str) -> PathBuf {
        let segments = key.split('/').map(|segment| match segment.len() {
            0..=NAME_BYTES_MAX => segment.to_owned(),
            _ => certfleet_core::hash::sha256_hex(segment.as_bytes()),
        });
        let mut path: PathBuf = self.dir.clone();
        path.extend(segments);
        path.as_mut_os_string().push(".json");
        path
    }

    fn path_of_made(&self, cert: &CertName) -> PathBuf {
        self.path_of(&format!("made/{cert}"))
    }

    /// Keeps the sealed key that this node made last for a certificate, whoever is meant to read it: an engine that loses acknowledged writes
    /// may lose it before anybody has installed it.
    pub fn keep_made(&self, cert: &CertName, key: &Key, envelope: &Envelope) -> Result<(), DiskError> {
        disk::write_json(&self.path_of_made(cert), &Kept { key: key.clone(), envelope: envelope.clone() })
    }

    /// The key under `key`, if it is the one that was made last for the certificate.
    pub fn made(&self, cert: &CertName, key: &Key) -> Option<Envelope> {
        read(&self.path_of_made(cert)).filter(|kept| kept.key == *key).map(|kept| kept.envelope)
    }

    /// What is kept of `key`. A file that cannot be read is as good as none.
    pub fn get(&self, key: &Key) -> Option<Envelope> {
        read(&self.path(key)).filter(|kept| kept.key == *key).map(|kept| kept.envelope)
    }

    /// Keeps a record that the store has too: what is lost when the machine loses power is read again.
    pub fn cache(&self, key: &Key, envelope: &Envelope) -> Result<(), DiskError> {
        disk::write_json_unsynced(&self.path(key), &Kept { key: key.clone(), envelope: envelope.clone() })
    }

    /// Keeps a record in place of what was kept of its key; on disk when this returns.
    pub fn keep(&self, key: &Key, envelope: &Envelope) -> Result<(), DiskError> {
        disk::write_json(&self.path(key), &Kept { key: key.clone(), envelope: envelope.clone() })
    }

    /// Forgets what was kept of `key`.
    pub fn forget(&self, key: &Key) {
        let _ = std::fs::remove_file(self.path(key));
    }

    /// Everything below a prefix; all of it for an empty one.
    pub fn all(&self, prefix: &str) -> Vec<(Key, Envelope)> {
        let mut found = Vec::new();
        collect(&self.dir.join(prefix), &mut found);
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// Of a certificate, the generations that are kept, rising.
    pub fn generations(&self, cert: &CertName) -> Vec<(Generation, SpkiHash)> {
        let versions = self.all("versions").into_iter().filter_map(|(key, envelope)| match RecordKey::of(&key) {
            Some(RecordKey::Version(of, number)) if of == *cert => Some((number, envelope.record::<VersionRecord>().ok()?.key)),
            _ => None,
        });
        let mut versions: Vec<_> = versions.collect();
        versions.sort();
        versions
    }

    /// Drops the oldest generations of a certificate beyond [`GENERATIONS_KEPT`], and the keys that only they needed.
    pub fn tidy(&self, cert: &CertName, placed: Generation) {
        let versions = self.generations(cert);
        let surplus = versions.len().saturating_sub(GENERATIONS_KEPT);
        let (old, kept) = versions.split_at(surplus);
        for (number, key) in old.iter().filter(|(number, _)| *number != placed) {
            self.forget(&RecordKey::Version(cert.clone(), *number).key());
            if !kept.iter().any(|(_, other)| other == key) {
                self.forget(&RecordKey::PrivateKey(key.clone()).key());
            }
        }
    }
}

fn read(path: &Path) -> Option<Kept> {
    disk::read_json(path).ok().flatten()
}

fn collect(dir: &Path, found: &mut Vec<(Key, Envelope)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, found),
            Ok(_) if path.extension().is_some_and(|extension| extension == "json") => {
                found.extend(read(&path).map(|kept| (kept.key, kept.envelope)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(body: impl Serialize) -> Envelope {
        let nonce = certfleet_store::fresh_nonce().expect("random");
        Envelope::new("lb0".parse().expect("name"), nonce, &body).expect("wraps")
    }

    fn version(cert: &CertName, number: u64, key: &str) -> (Key, Envelope) {
        let record = VersionRecord {
            cert: cert.clone(),
            generation: Generation(number),
            key: SpkiHash::of(key.as_bytes()),
            issuer: "ca".parse().expect("name"),
            chain: String::new(),
            after_removals: 0,
            extra: Default::default(),
        };
        (RecordKey::Version(cert.clone(), Generation(number)).key(), envelope(record))
    }

    #[test]
    fn records_are_kept_by_key_however_long() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let keeper = Keeper::new(dir.path());
        let long = format!("certs/{}@lb0", "x".repeat(253));
        for key in ["fleet", "certs/example.com@lb0", &long, "wraps/00ff/lb0"] {
            let (key, value) = (key.parse().expect("key"), envelope(key));
            keeper.keep(&key, &value).expect("keeps");
            assert_eq!(keeper.get(&key), Some(value));
        }
        assert_eq!((keeper.all("").len(), keeper.all("certs").len()), (4, 2));
        keeper.forget(&"fleet".parse().expect("key"));
        assert_eq!(keeper.get(&"fleet".parse().expect("key")), None);
    }

    #[test]
    fn of_the_keys_made_for_a_certificate_the_last_is_kept() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (keeper, cert) = (Keeper::new(dir.path()), "example.com".parse().expect("name"));
        let keys = ["a", "b"].map(|key| RecordKey::PrivateKey(SpkiHash::of(key.as_bytes())).key());
        keys.iter().for_each(|key| keeper.keep_made(&cert, key, &envelope(key)).expect("keeps"));
        assert_eq!(keys.map(|key| keeper.made(&cert, &key).is_some()), [false, true]);
    }

    #[test]
    fn three_generations_stay_and_the_keys_they_need() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (keeper, cert) = (Keeper::new(dir.path()), "example.com".parse().expect("name"));
        for (number, key) in [(1, "a"), (2, "b"), (3, "b"), (4, "c"), (5, "d")] {
            let (at, value) = version(&cert, number, key);
            keeper.keep(&at, &value).expect("keeps");
            keeper.keep(&RecordKey::PrivateKey(SpkiHash::of(key.as_bytes())).key(), &envelope(key)).expect("keeps");
        }
        keeper.tidy(&cert, Generation(5));
        assert_eq!(keeper.generations(&cert).iter().map(|(n, _)| n.0).collect::<Vec<_>>(), [3, 4, 5]);
        let has = |key: &str| keeper.get(&RecordKey::PrivateKey(SpkiHash::of(key.as_bytes())).key()).is_some();
        assert_eq!(["a", "b", "c", "d"].map(has), [false, true, true, true]);
    }
}
