//! What `store check` looks at besides signatures: that what records refer to is there, and that who is meant to read a key can.

use std::path::Path;

use certfleet_core::decide::Readers;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, NodeName, SpkiHash};
use certfleet_core::records::{AccountKeyRecord, CertRecord, Placed, PrivateKeyRecord, VersionRecord, WrapRecord};
use certfleet_core::secret::{Sealed, Secret};
use certfleet_core::view::View;
use serde::de::DeserializeOwned;

use super::check::Problem;
use super::records::Records;
use crate::keeper::Keeper;
use crate::trust::{ACCOUNT_PURPOSE, Pen};

const WRAPPED_ANEW: &str =
    "a running node that can open the key wraps it anew when that node says it lacks it; if none can, a new key is made";
const NEW_KEY: &str = "a running node with the role issue makes a new key and certificate once all that should have it say they lack it";

/// `records` are those that count.
pub(super) fn check(view: &View, records: &Records, pen: &Pen, state: &Path) -> Vec<Problem> {
    let checker = Checker { view, records, pen, keeper: Keeper::new(state) };
    let mut problems = checker.account();
    for (key, envelope) in records {
        if let (Some(RecordKey::Cert(cert)), Ok(record)) = (RecordKey::of(key), envelope.record::<CertRecord>()) {
            problems.extend(checker.certificate(&cert, key, &record));
        }
    }
    problems
}

struct Checker<'a> {
    view: &'a View,
    records: &'a Records,
    pen: &'a Pen,
    keeper: Keeper,
}

impl Checker<'_> {
    fn get<T: DeserializeOwned>(&self, key: &RecordKey) -> Option<T> {
        self.records.get(&key.key())?.record().ok()
    }

    fn certificate(&self, cert: &CertName, key: &Key, record: &CertRecord) -> Vec<Problem> {
        let attempts = record.attempt.iter().chain(&record.set_aside).map(|attempt| (&attempt.key, format!("attempt {}", attempt.number)));
        let mut problems: Vec<Problem> = attempts.flat_map(|(spki, what)| self.private_key(cert, key, spki, &what, None)).collect();
        if let Some(placed) = &record.placed {
            problems.extend(self.version(cert, key, placed));
            let readers = (!record.retired).then(|| self.view.readers(&record.spec));
            let what = format!("generation {}", placed.placement.generation);
            problems.extend(self.private_key(cert, key, &placed.key, &what, readers.as_ref()));
        }
        problems
    }

    fn version(&self, cert: &CertName, key: &Key, placed: &Placed) -> Option<Problem> {
        let name = RecordKey::Version(cert.clone(), placed.placement.generation);
        let what = match self.records.get(&name.key()) {
            None => format!("it places {name}, which is not in the store or does not count"),
            Some(envelope) if envelope.body_hash() != placed.version => {
                format!("it places {name}, whose content is not what it vouches for")
            }
            Some(envelope) => match envelope.record::<VersionRecord>() {
                Ok(version) if version.key == placed.key => return None,
                _ => format!("it places {name}, which is of another key"),
            },
        };
        Some(Problem::new(key, what, "nodes that have it go on serving it; `certfleet store recover` on one of them, or `certfleet renew`"))
    }

    /// The key that a certificate's record refers to; where each node has its own, only that node's disk has it.
    fn private_key(&self, cert: &CertName, at: &Key, spki: &SpkiHash, what: &str, readers: Option<&Readers>) -> Vec<Problem> {
        let name = RecordKey::PrivateKey(spki.clone());
        if let Some(node) = cert.node() {
            return self.own_key(&node, at, &name, cert).into_iter().collect();
        }
        let Some(record) = self.get::<PrivateKeyRecord>(&name) else {
            return vec![Problem::new(at, format!("{name}, the key of {what}, is not in the store or does not count"), NEW_KEY)];
        };
        if record.spki != *spki || record.cert != *cert {
            return vec![Problem::new(
                name,
                format!("it is the key of {} of {}, and stands where that of {cert} should", record.spki, record.cert),
                NEW_KEY,
            )];
        }
        readers.map(|readers| self.readers(&name.to_string(), &record.key, (cert.as_str(), spki), readers)).unwrap_or_default()
    }

    fn own_key(&self, node: &NodeName, at: &Key, name: &RecordKey, cert: &CertName) -> Option<Problem> {
        if node != self.pen.node() {
            return None;
        }
        let RecordKey::PrivateKey(spki) = name else { return None };
        let kept = self.keeper.get(&name.key()).and_then(|envelope| envelope.record::<PrivateKeyRecord>().ok());
        let opened = kept.and_then(|record| self.pen.open(&record.key, None, cert.as_str(), spki).ok());
        match opened {
            Some(secret) if is_key(&secret, spki) => None,
            _ => Some(Problem::new(at, format!("{name} is this node's own, and cannot be opened from its state directory"), NEW_KEY)),
        }
    }

    /// That each reader has a wrap, and that this node's opens.
    fn readers(&self, name: &str, sealed: &Sealed, (purpose, spki): (&str, &SpkiHash), readers: &Readers) -> Vec<Problem> {
        let later = |node: &NodeName| self.get::<WrapRecord>(&RecordKey::Wrap(spki.clone(), node.clone()));
        let lacks = |node: &NodeName| !sealed.wraps.contains_key(node) && later(node).is_none();
        let without: Vec<String> = readers.keys().filter(|node| lacks(node)).map(ToString::to_string).collect();
        let mut problems = Vec::new();
        if !without.is_empty() {
            problems.push(Problem::new(name, format!("it is not sealed for {}, which should read it", without.join(", ")), WRAPPED_ANEW));
        }
        let me = self.pen.node();
        if readers.contains_key(me) && !lacks(me) {
            let opened = self.pen.open(sealed, later(me).as_ref().map(|later| &later.wrap), purpose, spki);
            let what = match opened {
                Ok(secret) if is_key(&secret, spki) => None,
                Ok(_) => Some("what is sealed in it is another key".to_owned()),
                Err(why) => Some(why.to_string()),
            };
            problems.extend(what.map(|what| Problem::new(name, what, WRAPPED_ANEW)));
        }
        problems
    }

    fn account(&self) -> Vec<Problem> {
        let name = RecordKey::AccountKey;
        let Some(record) = self.get::<AccountKeyRecord>(&name) else { return Vec::new() };
        let readers = self.view.account_readers();
        record.keys().flat_map(|key| self.readers(&name.to_string(), &key.key, (ACCOUNT_PURPOSE, &key.spki), &readers)).collect()
    }
}

fn is_key(secret: &Secret, spki: &SpkiHash) -> bool {
    certfleet_acme::spki_of_key(secret).is_ok_and(|found| found == *spki)
}
