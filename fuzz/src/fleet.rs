//! The fleet that inputs are about: that of the samples of the stored format (`crates/core/tests/formats`), whose keys are drawn from names.

use std::sync::OnceLock;

use certfleet_core::envelope::{Envelope, Revision};
use certfleet_core::hash::sha256_hex;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::ConfigHash;
use certfleet_core::records::FleetRecord;
use certfleet_core::spec::{ChallengeType, FleetSpec, IssuerSpec, KeyPolicy, KeyType, Rollout, Specification, TargetSpec, all_roles};
use certfleet_core::time::{Mono, Now, Timestamp};
use certfleet_core::trust::SigningKey;
use certfleet_core::view::{Me, StoreState, View};
use serde::{Deserialize, Serialize};

macro_rules! samples {
    ($($file:literal),* $(,)?) => { [$(include_str!(concat!("../../crates/core/tests/formats/1/", $file, ".json"))),*] };
}

/// The samples' files.
const SAMPLES: [&str; 15] = samples![
    "fleet",
    "home",
    "nodes-lb0",
    "nodes-web-1",
    "joining-web-2",
    "invitations-00ff",
    "presence-lb0",
    "accounts--key",
    "accounts-letsencrypt",
    "certs-example.com",
    "requests-example.com-web-1",
    "keys-3d3ee11c2fbf7f6a6b1e6aa16c382631ec5f1fbfc50ca3ba5a89d366d22eeaef",
    "wraps-3d3ee11c2fbf7f6a6b1e6aa16c382631ec5f1fbfc50ca3ba5a89d366d22eeaef-web-1",
    "versions-example.com-3",
    "reports-example.com-web-1-nginx",
];

/// The node that looks.
pub const NODE: &str = "lb0";
/// What stands for a signature that whoever it says wrote it would have made.
pub const TO_BE_SIGNED: &str = "sign";

/// A record and where it stands; also a line of a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// Where.
    pub key: Key,
    /// What.
    pub envelope: Envelope,
}

impl Line {
    /// Signs it where it asks for that: by its writer, or by the fleet key what only that may sign.
    pub fn signed(self) -> Self {
        if self.envelope.signature != TO_BE_SIGNED {
            return self;
        }
        let writer = self.envelope.writer.to_string();
        let by = match RecordKey::of(&self.key) {
            Some(RecordKey::Fleet) => "the fleet",
            Some(RecordKey::Node(_)) if self.envelope.body["grant"].is_null() => "the fleet",
            _ => &writer,
        };
        let envelope = self.envelope.signed(&"f1".parse().expect("a name"), &self.key, &key_of(by));
        Self { key: self.key, envelope }
    }

    /// What it is as the engine's revision of this number; none is given twice.
    pub fn revision(&self, number: usize) -> Revision {
        self.envelope.revision(number.to_string())
    }
}

/// All samples.
pub fn samples() -> &'static [Line] {
    static READ: OnceLock<Vec<Line>> = OnceLock::new();
    let read = || SAMPLES.iter().map(|text| serde_json::from_str(text).expect("a sample that the tests of core read")).collect();
    READ.get_or_init(read)
}

/// The key that has been drawn from a name.
pub fn key_of(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed.copy_from_slice(&sha256_hex(name.as_bytes()).as_bytes()[..32]);
    SigningKey::from_seed(&seed)
}

/// The fleet's own record.
pub fn fleet() -> FleetRecord {
    let fleet = samples().iter().find(|line| line.key == RecordKey::Fleet.key()).expect("a fleet has a record");
    fleet.envelope.record().expect("a sample that the tests of core read")
}

/// A moment among those that stand in the samples.
pub fn now(seconds: u64) -> Now {
    let wall = Timestamp::from_second(1_767_225_600 + i64::try_from(seconds).expect("some days")).expect("2026");
    Now { wall, mono: Mono(std::time::Duration::from_secs(seconds)) }
}

/// What node [`NODE`] knows of the samples.
pub fn view() -> View {
    static SEEN: OnceLock<View> = OnceLock::new();
    SEEN.get_or_init(look).clone()
}

fn look() -> View {
    let fleet = fleet();
    let me = Me {
        node: NODE.parse().expect("a name"),
        incarnation: "a1".parse().expect("a name"),
        identity: NODE.into(),
        fleet: fleet.id,
        verifying_keys: fleet.verifying_keys,
        configured: all_roles(),
        version: "0.1.0".into(),
    };
    let mut view = View::new(me, spec());
    view.local.store = StoreState::Ready;
    for line in samples() {
        view.apply(&line.key, Some((&line.envelope, &line.revision(1))), now(0).mono);
    }
    view
}

fn spec() -> FleetSpec {
    let specification = Specification {
        names: vec!["example.com".parse().expect("a name")],
        issuers: vec!["letsencrypt".parse().expect("a name")],
        challenge: ChallengeType::Http01,
        key: KeyType::default(),
        policy: KeyPolicy::Shared,
        reuse: false,
        nodes: Vec::new(),
        deploy: vec!["nginx".parse().expect("a name")],
        rollout: Rollout { canary: 1, ..Rollout::default() },
    };
    let other = Specification { names: vec!["example.net".parse().expect("a name")], policy: KeyPolicy::PerNode, ..specification.clone() };
    let named = |spec: Specification| (certfleet_core::names::CertName::from_identifier(&spec.names[0]), spec);
    let directory = "https://ca.test/directory".into();
    let issuer = IssuerSpec { directory, contact: Vec::new(), agree_tos: true, profile: None };
    FleetSpec {
        hash: ConfigHash::of(b"one"),
        certificates: [named(specification), named(other)].into(),
        issuers: [("letsencrypt".parse().expect("a name"), issuer)].into(),
        targets: [("nginx".parse().expect("a name"), TargetSpec::default())].into(),
    }
}
