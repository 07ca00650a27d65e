//! A fleet seen from below: what stands in the store and in the live directories.

use std::path::PathBuf;
use std::sync::Arc;

use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, SpkiHash};
use certfleet_core::records::CertRecord;
use certfleet_core::x509::Leaf;
use certfleet_node::identity::Identity;
use certfleet_node::status::CertificateStatus;
use certfleet_node::trust::Pen;
use certfleet_store::{Settled, Store, put_settled};

use super::Fleet;

impl Fleet {
    /// The store; one that a node serves, where it lies.
    pub async fn store(&self) -> Arc<dyn Store> {
        let url = if self.config.is_served() { "file://{lab}/store" } else { &self.config.store };
        let url = url.replace("{lab}", &self.lab.dir.path().display().to_string());
        certfleet_store::open(&url).await.expect("the store is there")
    }

    /// A certificate's record.
    pub async fn record(&self, cert: &str) -> CertRecord {
        let key = RecordKey::Cert(cert_name(cert)).key();
        let stored = self.store().await.get(&key).await.expect("the store can be read").expect("the record is there");
        stored.envelope.record().expect("it is one")
    }

    /// Changes a certificate's record behind the fleet's back, in the name of node 1.
    pub async fn rewrite(&self, cert: &str, change: impl FnOnce(&mut CertRecord)) {
        let (store, key) = (self.store().await, RecordKey::Cert(cert_name(cert)).key());
        let stored = store.get(&key).await.expect("the store can be read").expect("the record is there");
        let mut record: CertRecord = stored.envelope.record().expect("it is one");
        change(&mut record);
        let expect = Expect::Revision(stored.revision);
        let envelope = self.pen(1).write(&RecordKey::Cert(cert_name(cert)), &record, &expect).expect("wraps");
        let settled = put_settled(store.as_ref(), &key, &envelope, &expect).await.expect("the store takes it");
        assert!(matches!(settled, Settled::Done(_)), "somebody else wrote {cert}");
    }

    /// What signs as node `n`.
    pub fn pen(&self, n: u8) -> Pen {
        let identity = Identity::load(&self.dir(n).join("state")).expect("it can be read").expect("it has joined");
        Pen::new(&identity)
    }

    /// Whether the private key with this hash is in the store.
    pub async fn has_key(&self, key: &SpkiHash) -> bool {
        let key = RecordKey::PrivateKey(key.clone()).key();
        self.store().await.get(&key).await.expect("the store can be read").is_some()
    }

    /// The live directory of a certificate on node `n`.
    pub fn live_dir(&self, n: u8, cert: &str) -> PathBuf {
        self.dir(n).join("live").join(cert)
    }

    /// What node `n` has installed at the target `plain`, if it is a whole pair that is no stand-in.
    pub fn live(&self, n: u8, cert: &str) -> Option<Leaf> {
        let read = |file: &str| std::fs::read_to_string(self.live_dir(n, cert).join(file)).ok();
        let leaf = Leaf::from_pem(&read("fullchain.pem")?).expect("a chain");
        if leaf.self_signed {
            return None;
        }
        let key = certfleet_acme::spki_of_key(&read("privkey.pem")?.into()).expect("a key");
        (key == leaf.key).then_some(leaf)
    }

    /// Waits until these nodes report and have the placed generation, at least `generation`; checks that its key is in the store.
    pub async fn have(&self, nodes: impl IntoIterator<Item = u8>, cert: &str, generation: u64) -> Leaf {
        let mut last = None;
        for n in nodes {
            let what = format!("node {n} has generation {generation} of {cert} or a later one");
            last = Some(self.until(&what, || self.has(n, cert, generation)).await);
        }
        let leaf = last.expect("at least one node");
        assert!(self.has_key(&leaf.key).await, "the key of {cert} is not in the store");
        leaf
    }

    /// What node `n` has, if it is the placed generation and at least `generation`, and reported.
    pub async fn has(&self, n: u8, cert: &str, generation: u64) -> Option<Leaf> {
        let status = self.certificate(n, cert).await?;
        let placed = status.generation.filter(|placed| placed.0 >= generation)?;
        let own = status.nodes.iter().find(|node| node.node == self.name(n))?;
        let leaf = self.live(n, cert)?;
        (own.generation == Some(placed) && own.serial.as_deref() == Some(&leaf.serial)).then_some(leaf)
    }

    /// Waits until every node has it, and sees that all have it; all have the same. Then the CA must have issued as many certificates as told.
    pub async fn all_have(&self, cert: &str, generation: u64, issued: usize) -> Leaf {
        let leaf = self.all_have_of(cert, generation).await;
        assert_eq!(self.lab.pebble.issued().len(), issued, "{}", self.lab.pebble.log());
        leaf
    }

    /// Waits until every node has it, and sees that all have it; all have the same.
    pub async fn all_have_of(&self, cert: &str, generation: u64) -> Leaf {
        let leaf = self.have(self.numbers(), cert, generation).await;
        for n in self.numbers() {
            assert_eq!(self.live(n, cert).as_ref(), Some(&leaf), "node {n} has another certificate");
            let by_all = |status: &CertificateStatus| status.nodes.iter().all(|node| node.serial.as_deref() == Some(&leaf.serial));
            self.sees(n, cert, "all nodes report it", by_all).await;
        }
        leaf
    }
}

pub(crate) fn cert_name(cert: &str) -> CertName {
    cert.parse().expect("a certificate's name")
}
