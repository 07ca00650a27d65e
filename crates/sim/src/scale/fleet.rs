//! The fleet that is run, as values: its nodes, its certificates, and what a node knows of it at first.
//!
//! Deploying nodes stand in clusters that serve the same names, as behind a load balancer; each certificate is placed on one cluster.

use std::ops::Range;
use std::time::Duration;

use certfleet_core::envelope::{Nonce, Revision};
use certfleet_core::names::{CertName, ConfigHash, Fingerprint, Generation, IssuerName, NodeName, SpkiHash, TargetName, VersionHash};
use certfleet_core::records::{
    AccountKey, AccountKeyRecord, AccountRecord, CertRecord, FleetRecord, NodeRecord, Placed, Placement, Presence, PresenceState, Report,
    TargetState,
};
use certfleet_core::secret::{SealScheme, Sealed};
use certfleet_core::spec::{ChallengeType, FleetSpec, IssuerSpec, KeyPolicy, KeyType, Role, Roles, Rollout, Specification, TargetSpec};
use certfleet_core::time::{Mono, Now, Timestamp, earlier, later};
use certfleet_core::trust::{Roster, SealingKey, SigningKey};
use certfleet_core::view::Shared;

use super::Scale;

/// 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;
/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);
/// What each node's clock has run for when the run begins.
const UP: Duration = Duration::from_secs(1000);

/// All that the run is made of.
#[derive(Debug)]
pub struct Fleet {
    pub scale: Scale,
    pub record: FleetRecord,
    pub nodes: Shared<std::collections::BTreeMap<NodeName, NodeRecord>>,
    pub roster: Shared<Roster>,
    pub target: TargetName,
    pub issuer: IssuerName,
}

/// So long after the run began, by both clocks.
pub fn at(since: Duration) -> Now {
    let start = Timestamp::from_second(BEGINNING).expect("a moment that can be written");
    Now { wall: later(start, since), mono: Mono(UP + since) }
}

/// A record's revision; its change alone tells it from others.
pub fn revision(change: u64) -> Revision {
    Revision { engine: change.to_string(), nonce: Nonce::from_random(u128::from(change).to_be_bytes()), change }
}

fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("the names that are made here are names")
}

impl Fleet {
    pub fn new(scale: &Scale) -> Self {
        let key =
            |text: &str| SigningKey::from_seed(&VersionHash::of(text.as_bytes()).as_str().as_bytes()[..32].try_into().expect("32 of 64"));
        let record = FleetRecord {
            id: name("f"),
            name: "f".into(),
            format: 1,
            epoch: 0,
            created_at: at(Duration::ZERO).wall,
            verifying_keys: vec![key("the fleet").verifying_key()],
            removals: Vec::new(),
            extra: Default::default(),
        };
        // One key for all: nothing is signed in the run.
        let signing_key = key("a node").verifying_key();
        let member = |n: usize| {
            let name = node(scale, n);
            let (identity, granted) = (name.to_string(), roles(scale, n));
            let joined_at = at(Duration::ZERO).wall;
            let sealing_key = SealingKey::from_bytes([7; 32]);
            NodeRecord { name, identity, signing_key, sealing_key, granted, joined_at, grant: None, proof: None, extra: Default::default() }
        };
        let nodes: std::collections::BTreeMap<_, _> = (0..scale.nodes).map(member).map(|member| (member.name.clone(), member)).collect();
        let roster = Roster::of(&record, nodes.values()).into();
        Self { scale: scale.clone(), record, nodes: nodes.into(), roster, target: name("nginx"), issuer: name("ca") }
    }

    /// A node's name; those that issue come first.
    pub fn node(&self, n: usize) -> NodeName {
        node(&self.scale, n)
    }

    /// What a node may do.
    pub fn roles(&self, n: usize) -> Roles {
        roles(&self.scale, n)
    }

    /// A certificate's name: a registered domain of its own, so that no other counts against it.
    pub fn cert(&self, n: usize) -> CertName {
        name(&format!("d{n:07}.example"))
    }

    /// Which certificate it is.
    pub fn number(&self, cert: &CertName) -> usize {
        cert.as_str()[1..8].parse().expect("the number that its name was made with")
    }

    /// The nodes on which a certificate is placed.
    pub fn placed_on(&self, cert: usize) -> Range<usize> {
        let Scale { nodes, issuers, placed_on, .. } = self.scale;
        let first = issuers + cert % self.clusters() * placed_on;
        first..(first + placed_on).min(nodes)
    }

    /// The certificates of a deploying node.
    pub fn certs_of(&self, node: usize) -> impl Iterator<Item = usize> {
        let cluster = (node - self.scale.issuers) / self.scale.placed_on;
        (cluster..self.scale.certificates).step_by(self.clusters())
    }

    /// The nodes of a deploying node's cluster.
    pub fn cluster_of(&self, node: usize) -> Range<usize> {
        self.placed_on((node - self.scale.issuers) / self.scale.placed_on)
    }

    fn clusters(&self) -> usize {
        (self.scale.nodes - self.scale.issuers).div_ceil(self.scale.placed_on)
    }

    /// What is wanted of a certificate.
    pub fn specification(&self, cert: usize) -> Specification {
        Specification {
            names: vec![name(self.cert(cert).as_str())],
            issuers: vec![self.issuer.clone()],
            challenge: ChallengeType::Http01,
            key: KeyType::default(),
            policy: KeyPolicy::Shared,
            reuse: false,
            nodes: vec![name(&format!("c{:05}-*", cert % self.clusters()))],
            deploy: vec![self.target.clone()],
            rollout: Rollout::default(),
        }
    }

    /// The configuration, with these certificates.
    pub fn configuration(&self, certs: impl Iterator<Item = usize>) -> FleetSpec {
        let issuer = IssuerSpec { directory: "https://ca/directory".into(), contact: Vec::new(), agree_tos: true, profile: None };
        FleetSpec {
            hash: ConfigHash::of(b"one"),
            certificates: certs.map(|n| (self.cert(n), self.specification(n))).collect(),
            issuers: [(self.issuer.clone(), issuer)].into(),
            targets: [(self.target.clone(), TargetSpec::default())].into(),
        }
    }

    /// How long a certificate lives.
    pub fn life(&self) -> Duration {
        DAY * self.scale.life_days
    }

    /// What is placed of a certificate when the run begins.
    pub fn placed(&self, n: usize) -> Placed {
        let cert = self.cert(n);
        let over = Duration::from_secs(3600) * self.scale.issued_over_hours;
        let age = over.mul_f64(1.0 - n as f64 / self.scale.certificates as f64);
        let not_before = earlier(at(Duration::ZERO).wall, age);
        Placed {
            placement: Placement { epoch: 0, seq: 1, generation: Generation(1) },
            version: VersionHash::of(cert.as_str().as_bytes()),
            names: vec![name(cert.as_str())],
            issuer: self.issuer.clone(),
            serial: format!("04{n:032x}"),
            fingerprint: Fingerprint::of(cert.as_str().as_bytes()),
            key: key_of(&cert, Generation(1)),
            not_before,
            not_after: later(not_before, self.life()),
            resumed: false,
            after_removals: 0,
        }
    }

    /// The record of a certificate when the run begins.
    pub fn cert_record(&self, n: usize) -> CertRecord {
        CertRecord { placed: Some(self.placed(n)), last_number: Generation(1), ..CertRecord::of(self.specification(n)) }
    }

    /// What a node says of its target once it serves what is placed.
    pub fn report(&self, placed: &Placement, since: Duration) -> Report {
        Report {
            generation: placed.generation,
            seq: placed.seq,
            state: TargetState::Verified,
            reason: None,
            settled: true,
            at: at(since).wall,
            extra: Default::default(),
        }
    }

    /// A node's presence when the run begins.
    pub fn presence(&self, n: usize) -> Presence {
        Presence {
            incarnation: name(&format!("{}.1", self.node(n))),
            beat: 1,
            at: at(Duration::ZERO).wall,
            version: "0".into(),
            config: ConfigHash::of(b"one"),
            roles: self.roles(n),
            state: PresenceState::Live,
            troubles: Vec::new(),
            lacks: Vec::new(),
            reads_format: 1,
            extra: Default::default(),
        }
    }

    /// The account key and the account at the CA.
    pub fn account(&self) -> (AccountKeyRecord, AccountRecord) {
        let key = Sealed { scheme: SealScheme::HpkeX25519, data: Vec::new(), wraps: Default::default() };
        let (thumbprint, spki, created_at) = ("t".to_owned(), SpkiHash::of(b"account"), at(Duration::ZERO).wall);
        let current = AccountKey { thumbprint: thumbprint.clone(), spki, created_at, after_removals: 0, key };
        let account = AccountRecord {
            issuer: self.issuer.clone(),
            directory: "https://ca/directory".into(),
            url: "https://ca/account/1".into(),
            thumbprint,
            registered_at: created_at,
            extra: Default::default(),
        };
        (AccountKeyRecord { current, next: None, extra: Default::default() }, account)
    }
}

/// The key that is made for an attempt.
pub fn key_of(cert: &CertName, number: Generation) -> SpkiHash {
    SpkiHash::of(format!("{cert}/{number}").as_bytes())
}

fn node(scale: &Scale, n: usize) -> NodeName {
    match n.checked_sub(scale.issuers) {
        None => name(&format!("issuer-{n:03}")),
        Some(n) => name(&format!("c{:05}-{}", n / scale.placed_on, n % scale.placed_on)),
    }
}

fn roles(scale: &Scale, n: usize) -> Roles {
    if n < scale.issuers { [Role::Issue].into() } else { [Role::Answer, Role::Deploy].into() }
}
