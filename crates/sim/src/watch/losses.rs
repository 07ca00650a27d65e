//! What an engine that loses acknowledged writes excuses: for each fail-over and certificate one extra certificate at most, which is counted
//! (DESIGN sections 4 and 10). Everything else is judged as ever.

use std::collections::{BTreeMap, BTreeSet};

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, SpkiHash};
use certfleet_core::records::CertRecord;
use tokio::time::Instant;

/// What was lost, and what came of it.
#[derive(Debug, Default)]
pub struct Losses {
    /// How many extra certificates may still come.
    granted: BTreeMap<CertName, usize>,
    lost_at: BTreeMap<CertName, Instant>,
    /// The keys of those that came.
    excused: BTreeSet<SpkiHash>,
    keys: BTreeSet<Key>,
    gone: BTreeSet<Key>,
    records: Vec<(CertName, CertRecord)>,
}

impl Losses {
    /// A write under `key` was lost in a fail-over.
    pub fn lost(&mut self, key: &Key, value: Option<&Envelope>) {
        self.keys.insert(key.clone());
        if let Some(RecordKey::Cert(cert)) = RecordKey::of(key) {
            self.records.extend(value.and_then(|value| value.record().ok()).map(|record| (cert.clone(), record)));
            // All that one fail-over loses is lost at one moment.
            let now = Instant::now();
            if self.lost_at.insert(cert.clone(), now) != Some(now) {
                *self.granted.entry(cert).or_default() += 1;
            }
        }
    }

    /// Whether this very record had been written and was lost: who knew it puts it back.
    pub fn is_put_back(&self, cert: &CertName, record: &CertRecord) -> bool {
        self.records.iter().any(|(of, lost)| of == cert && lost == record)
    }

    /// What was under these keys was on a disk that is lost.
    pub fn gone(&mut self, keys: Vec<Key>) {
        self.gone.extend(keys);
    }

    /// Whether a disk with what was under `key` was lost; it may have been the only one.
    pub fn is_gone(&self, key: &Key) -> bool {
        self.gone.contains(key)
    }

    /// Whether a write under `key` was ever lost.
    pub fn has_lost(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// A certificate with this key should not be: it is the extra one, if there is one to come.
    pub fn excuse<E>(&mut self, cert: &CertName, key: &SpkiHash, judged: Result<(), E>) -> Result<(), E> {
        if judged.is_ok() || self.excused.contains(key) {
            return Ok(());
        }
        match self.granted.get_mut(cert).filter(|granted| **granted > 0) {
            Some(granted) => {
                *granted -= 1;
                self.excused.insert(key.clone());
                Ok(())
            }
            None => judged,
        }
    }

    /// Extra certificates that came.
    pub fn count(&self) -> usize {
        self.excused.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fail_over_excuses_one_certificate_and_no_second() {
        let (cert, mut losses): (CertName, _) = ("c.example".parse().expect("a name"), Losses::default());
        let [one, other] = ["one", "other"].map(|key| SpkiHash::of(key.as_bytes()));
        let wrong = || Err("two certificates");
        assert!(losses.excuse(&cert, &one, wrong()).is_err());
        (0..3).for_each(|_| losses.lost(&RecordKey::Cert(cert.clone()).key(), None));
        assert!(losses.excuse(&cert, &other, Ok::<_, ()>(())).is_ok());
        assert!(losses.excuse(&cert, &one, wrong()).is_ok() && losses.excuse(&cert, &one, wrong()).is_ok());
        assert!(losses.excuse(&cert, &other, wrong()).is_err());
        assert_eq!(losses.count(), 1);
    }
}
