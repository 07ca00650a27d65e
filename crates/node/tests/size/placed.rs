//! What stands in the store of one certificate that is placed on many nodes: its record, its key and its version, as large as they are in a
//! fleet that has long names and has gone through much; and what each node adds in a record of its own.
//!
//! Deliberately not here: time. The values are real: keys, a CSR and a chain with these names, sealed and signed as a node does it.

use std::collections::BTreeMap;

use certfleet_acme::{KeyAndCsr, make_key_and_csr};
use certfleet_core::ca::Problem;
use certfleet_core::decide::Readers;
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Fingerprint, Generation, Identifier, NodeName};
use certfleet_core::records::{
    Attempt, AttemptEnd, CertRecord, Failures, HISTORY_ENTRIES_MAX, HistoryEntry, Holder, Placed, Placement, PrivateKeyRecord, Report,
    Step, TargetState, VersionRecord, WrapRecord,
};
use certfleet_core::secret::{Secret, Wrap};
use certfleet_core::spec::{ChallengeType, KeyPolicy, KeyType, Rollout, Specification};
use certfleet_core::time::Timestamp;
use certfleet_node::identity::Identity;
use certfleet_node::seal::SealingSecret;
use certfleet_node::trust::Pen;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use serde::Serialize;

/// Where it is placed.
pub const NODES: usize = 1000;
/// Bytes of a node's name: the longest that Linux lets a host have.
const NODE_NAME_BYTES: usize = 64;
/// Names in the certificate: as many as Let's Encrypt allows.
const DOMAINS: usize = 100;
/// Bytes of each.
const DOMAIN_BYTES: usize = 48;
/// Nodes that drove an attempt one after the other.
const DRIVERS: usize = 3;
/// What public CAs add to a leaf: two signed certificate timestamps, and where to ask about revocation and for the issuer.
const CA_EXTRAS_BYTES: usize = 500;

/// One certificate, its node, and the nodes that read its key.
pub struct Scene {
    /// Signs and seals.
    pub pen: Pen,
    /// The same node's keys.
    pub identity: Identity,
    /// Its name.
    pub cert: CertName,
    /// The private key and the CSR.
    pub made: KeyAndCsr,
    /// All who read the key, this node among them.
    pub readers: Readers,
    chain: String,
}

/// A record as it is written, and where.
pub struct Written {
    /// Its key.
    pub key: RecordKey,
    /// Signed.
    pub envelope: Envelope,
}

impl Written {
    /// What it takes in the store.
    pub fn bytes(&self) -> usize {
        self.key.to_string().len() + self.envelope.to_bytes().expect("it fits").len()
    }
}

impl Scene {
    /// A certificate whose key `readers` nodes read.
    pub fn new(readers: usize, kind: KeyType) -> Self {
        let own = node(0);
        let identity = Identity::draw(text("a-fleet"), "a-fleet".into(), Vec::new(), own.clone()).expect("there is randomness");
        let domains: Vec<Identifier> = (0..DOMAINS).map(domain).collect();
        let made = make_key_and_csr(kind, &domains).expect("a key can be made");
        let chain = chain(&made);
        let mut all = BTreeMap::from([(own, identity.sealing_key.sealing_key())]);
        all.extend((1..readers).map(|n| (node(n), SealingSecret::generate().expect("there is randomness").sealing_key())));
        Self { pen: Pen::new(&identity), identity, cert: CertName::from_identifier(&domains[0]), made, readers: all, chain }
    }

    /// `record` as it is written first.
    pub fn write<T: Serialize>(&self, key: RecordKey, record: &T) -> Written {
        let envelope = self.pen.write(&key, record, &Expect::Absent).expect("it fits");
        Written { key, envelope }
    }

    /// The private key as it is sealed.
    pub fn secret(&self) -> &Secret {
        &self.made.key_pem
    }

    /// `keys/…`.
    pub fn key(&self) -> Written {
        let spki = self.made.spki.clone();
        let key = self.pen.seal(self.secret(), self.cert.as_str(), &spki, &self.readers).expect("it can be sealed");
        let record = PrivateKeyRecord { cert: self.cert.clone(), spki: spki.clone(), created_at: time(0), key, extra: Default::default() };
        self.write(RecordKey::PrivateKey(spki), &record)
    }

    /// `versions/…`.
    pub fn version(&self) -> Written {
        let generation = Generation(1000);
        let record = VersionRecord {
            cert: self.cert.clone(),
            generation,
            key: self.made.spki.clone(),
            issuer: text("letsencrypt"),
            chain: self.chain.clone(),
            after_removals: 100,
            extra: Default::default(),
        };
        self.write(RecordKey::Version(self.cert.clone(), generation), &record)
    }

    /// `certs/…`: something is placed, the next attempt runs, and the history is full.
    pub fn record(&self) -> Written {
        let record = CertRecord {
            spec: specification(),
            placed: Some(self.placed()),
            attempt: Some(self.attempt()),
            set_aside: Vec::new(),
            last_number: Generation(1001),
            failures: Failures { count: 10, problem: Some(problem()), not_before: Some(time(30)) },
            renew_requested_at: Some(time(31)),
            new_key: true,
            retired: false,
            history: (0..HISTORY_ENTRIES_MAX).map(entry).collect(),
            extra: Default::default(),
        };
        self.write(RecordKey::Cert(self.cert.clone()), &record)
    }

    /// `reports/…`: what a node says of its target when all is well.
    pub fn report(&self) -> Written {
        let record = Report {
            generation: Generation(1000),
            seq: 1000,
            state: TargetState::Verified,
            reason: None,
            settled: true,
            at: time(0),
            extra: Default::default(),
        };
        self.write(RecordKey::Report(self.cert.clone(), self.pen.node().clone(), text("nginx")), &record)
    }

    /// `wraps/…`: what a node that came late has of its own until the next renewal.
    pub fn wrap(&self, wrap: Wrap) -> Written {
        let (spki, node) = (self.made.spki.clone(), self.pen.node().clone());
        let record = WrapRecord { spki: spki.clone(), node: node.clone(), wrap, extra: Default::default() };
        self.write(RecordKey::Wrap(spki, node), &record)
    }

    fn placed(&self) -> Placed {
        Placed {
            placement: Placement { epoch: 10, seq: 1000, generation: Generation(1000) },
            version: self.version().envelope.body_hash(),
            names: specification().names,
            issuer: text("letsencrypt"),
            serial: "03".repeat(20),
            fingerprint: Fingerprint::of(self.chain.as_bytes()),
            key: self.made.spki.clone(),
            not_before: time(0),
            not_after: time(90),
            resumed: false,
            after_removals: 100,
        }
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            number: Generation(1001),
            names: specification().names,
            issuer: text("letsencrypt"),
            profile: Some("tlsserver".into()),
            challenge: ChallengeType::Http01,
            key: self.made.spki.clone(),
            csr: self.made.csr_der.clone(),
            after_removals: 100,
            holder: Some(Holder { node: node(1), incarnation: text(&format!("{}.{}", node(1), "0".repeat(16))) }),
            not_before: Some(time(60)),
            started_at: time(60),
            drivers: (0..DRIVERS).map(node).collect(),
            problem: Some(problem()),
            hindered: 3,
            step: Step::Finalizing { order: "https://acme-v02.api.letsencrypt.org/acme/order/1234567890/123456789012".into() },
        }
    }
}

fn text<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

/// A node's name, as long as they get.
fn node(n: usize) -> NodeName {
    let number = format!("-{n:04}");
    text(&format!("{}{number}", "w".repeat(NODE_NAME_BYTES - number.len())))
}

fn domain(n: usize) -> Identifier {
    let (number, zone) = (format!("-{n:04}"), ".region.customers.example.com");
    text::<Identifier>(&format!("{}{number}{zone}", "d".repeat(DOMAIN_BYTES - number.len() - zone.len())))
}

fn time(days: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + days * 86_400).expect("it is in range")
}

fn problem() -> Problem {
    Problem::new("unauthorized", &"The CA says at some length what it found where it looked. ".repeat(4), Some(403))
}

fn specification() -> Specification {
    Specification {
        names: (0..DOMAINS).map(domain).collect(),
        issuers: vec![text("letsencrypt"), text("zerossl")],
        challenge: ChallengeType::Http01,
        key: KeyType::Rsa4096,
        policy: KeyPolicy::Shared,
        reuse: false,
        nodes: vec![text("web-*"), text("edge-*")],
        deploy: vec![text("nginx"), text("haproxy")],
        rollout: Rollout::default(),
    }
}

/// Every other attempt failed.
fn entry(n: usize) -> HistoryEntry {
    let end = if n.is_multiple_of(2) { AttemptEnd::Issued { serial: "03".repeat(20) } } else { AttemptEnd::Failed { problem: problem() } };
    let (started_at, ended_at) = (time(n as i64), time(n as i64 + 1));
    HistoryEntry {
        number: Generation(980 + n as u64),
        issuer: text("letsencrypt"),
        drivers: (0..DRIVERS).map(node).collect(),
        started_at,
        ended_at,
        end,
    }
}

/// The leaf and two certificates of a CA whose key is as large as the leaf's.
fn chain(made: &KeyAndCsr) -> String {
    let pem = made.key_pem.expose_text().expect("PEM is text");
    let key = || KeyPair::from_pem(pem).expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.distinguished_name.push(DnType::CommonName, "A public certificate authority R13");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let above = authority.self_signed(&key()).expect("it can be signed").pem();
    let mut leaf = CertificateParams::new((0..DOMAINS).map(|n| domain(n).to_string()).collect::<Vec<_>>()).expect("DNS names");
    leaf.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], vec![4; CA_EXTRAS_BYTES]));
    let leaf = leaf.signed_by(&key(), &Issuer::new(authority, key())).expect("it can be signed").pem();
    [leaf, above.clone(), above].concat()
}
