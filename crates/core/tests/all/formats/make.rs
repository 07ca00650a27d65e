//! Makes the samples of today's format: `cargo test -p certfleet-core --test all formats::make -- --ignored`. To be given once, before a
//! format is released; everything is drawn from fixed values, so that doing it again gives the same files.

use certfleet_core::ca::Problem;
use certfleet_core::envelope::{Envelope, FORMAT, Nonce};
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, ConfigHash, Fingerprint, Generation, Identifier, NodeName, SpkiHash, VersionHash};
use certfleet_core::records::*;
use certfleet_core::secret::Sealed;
use certfleet_core::spec::{ChallengeType, KeyPolicy, KeyType, Role, Roles, Rollout, Specification, all_roles};
use certfleet_core::time::Timestamp;
use certfleet_core::trust::{Grant, Proof, SealingKey, SignedGrant, SigningKey};
use serde::Serialize;
use serde_json::json;

use super::{LATER, Sample, dir};

const FLEET: &str = "the fleet";

fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

/// A key for tests, drawn from a name.
fn key_of(name: &str) -> SigningKey {
    let mut seed = [0; 32];
    seed.copy_from_slice(&certfleet_core::hash::sha256_hex(name.as_bytes()).as_bytes()[..32]);
    SigningKey::from_seed(&seed)
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + hours * 3600).expect("2026")
}

fn cert() -> CertName {
    name("example.com")
}

fn identifiers() -> Vec<Identifier> {
    vec![name("example.com"), name("*.example.com")]
}

fn spki() -> SpkiHash {
    SpkiHash::of(b"key 3")
}

fn extra() -> Extra {
    [(LATER.to_owned(), json!({ "numbers": [1, 2.5, null], "text": "ä" }))].into_iter().collect()
}

/// As the node's own fixture has it: sealed by the first version with sealing.
fn sealed() -> Sealed {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../node/src/seal/format_1.json");
    serde_json::from_slice(&std::fs::read(file).expect("is in the repository")).expect("reads")
}

fn write<T: Serialize>(key: &RecordKey, writer: &str, signer: &str, record: &T) {
    let digest = certfleet_core::hash::sha256_hex(key.to_string().as_bytes());
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&digest.as_bytes()[..16]);
    let envelope = Envelope::new(name(writer), Nonce::from_random(nonce), record).expect("wraps");
    let envelope = Envelope { change: 7, ..envelope }.signed(&name("f1"), &key.key(), &key_of(signer));
    let file = dir(FORMAT).join(format!("{}.json", key.to_string().replace(['/', '@'], "-")));
    std::fs::create_dir_all(dir(FORMAT)).expect("makes the directory");
    let text = format!("{:#}\n", serde_json::to_value(Sample { key: key.key(), envelope }).expect("serialises"));
    std::fs::write(file, text).expect("writes");
}

#[test]
#[ignore = "it writes the files that the other tests read"]
fn the_samples() {
    fleet_and_nodes();
    accounts_and_keys();
    certificates();
    what_nodes_say();
}

fn fleet_and_nodes() {
    let removal = |node: &str, compromised| Removal { node: name(node), identity: format!("{node}.0"), at: at(20), compromised };
    let fleet = FleetRecord {
        id: name("f1"),
        name: "prod".into(),
        format: FORMAT,
        epoch: 2,
        created_at: at(0),
        verifying_keys: vec![key_of(FLEET).verifying_key(), key_of("the next fleet key").verifying_key()],
        removals: vec![removal("web-8", false), removal("web-9", true)],
        extra: extra(),
    };
    write(&RecordKey::Fleet, "lb0", FLEET, &fleet);
    let home = HomeRecord { number: 1, state: HomeState::Here, copy: "c1".into(), other: "file:///old".into(), at: at(9), extra: extra() };
    write(&RecordKey::Home, "lb0", "lb0", &home);
    write(&RecordKey::Node(name("lb0")), "lb0", FLEET, &node("lb0", all_roles()));
    let grant = grant();
    write(&RecordKey::Node(name("web-1")), "lb0", "lb0", &invited(&grant, "web-1"));
    write(&RecordKey::Joining(name("web-2")), "web-2", "web-2", &invited(&grant, "web-2"));
    let used_by = vec![InvitationUse { node: name("web-1"), identity: "web-1".into(), in_place_of: None }];
    write(&RecordKey::Invitation(grant.id.clone()), "lb0", "lb0", &InvitationRecord { id: grant.id, used_by, extra: extra() });
}

fn node(node: &str, granted: Roles) -> NodeRecord {
    NodeRecord {
        name: name(node),
        identity: node.into(),
        signing_key: key_of(node).verifying_key(),
        sealing_key: SealingKey::from_bytes([7; 32]),
        granted,
        joined_at: at(1),
        grant: None,
        proof: None,
        extra: extra(),
    }
}

fn grant() -> Grant {
    Grant {
        id: name("00ff"),
        fleet: name("f1"),
        fleet_name: "prod".into(),
        epoch: 2,
        store: "file:///srv/certfleet".into(),
        node: "web-*".parse().expect("a pattern"),
        roles: [Role::Answer, Role::Deploy].into(),
        uses: 2,
        expires_at: at(24),
        replace: true,
        servers: Vec::new(),
        join_key: key_of("the token").verifying_key(),
    }
}

fn invited(grant: &Grant, machine: &str) -> NodeRecord {
    let record = node(machine, grant.roles.clone());
    let keys = (&record.signing_key, &record.sealing_key);
    let proof = Proof { invitation: &grant.id, node: &record.name, identity: &record.identity, keys }.sign(&key_of("the token"));
    NodeRecord { grant: Some(SignedGrant::new(grant, &key_of(FLEET))), proof: Some(proof), ..record }
}

fn accounts_and_keys() {
    let account_key = |thumbprint: &str, spki: &[u8]| AccountKey {
        thumbprint: thumbprint.into(),
        spki: SpkiHash::of(spki),
        created_at: at(2),
        after_removals: 1,
        key: sealed(),
    };
    let keys = AccountKeyRecord { current: account_key("t1", b"a1"), next: Some(account_key("t2", b"a2")), extra: extra() };
    write(&RecordKey::AccountKey, "lb0", "lb0", &keys);
    let account = AccountRecord {
        issuer: name("letsencrypt"),
        directory: "https://acme.example/directory".into(),
        url: "https://acme.example/account/1".into(),
        thumbprint: "t1".into(),
        registered_at: at(3),
        extra: extra(),
    };
    write(&RecordKey::Account(name("letsencrypt")), "lb0", "lb0", &account);
    let key = PrivateKeyRecord { cert: cert(), spki: spki(), created_at: at(4), key: sealed(), extra: extra() };
    write(&RecordKey::PrivateKey(spki()), "lb0", "lb0", &key);
    let node: NodeName = name("web-1");
    let wrap = sealed().wraps.remove(&node).expect("the fixture has one for it");
    write(&RecordKey::Wrap(spki(), node.clone()), "web-1", "web-1", &WrapRecord { spki: spki(), node, wrap, extra: extra() });
}

fn certificates() {
    let version = VersionRecord {
        cert: cert(),
        generation: Generation(3),
        key: spki(),
        issuer: name("letsencrypt"),
        chain: include_str!("../../../src/fixtures/chain.pem").into(),
        after_removals: 2,
        extra: extra(),
    };
    write(&RecordKey::Version(cert(), Generation(3)), "lb0", "lb0", &version);
    let record = CertRecord {
        spec: spec(),
        placed: Some(placed()),
        attempt: Some(attempt(5, Step::Finalizing { order: "https://acme.example/order/5".into() })),
        set_aside: vec![attempt(4, Step::Validating { order: "https://acme.example/order/4".into() })],
        last_number: Generation(5),
        failures: Failures { count: 2, problem: Some(problem()), not_before: Some(at(40)) },
        renew_requested_at: Some(at(41)),
        new_key: true,
        retired: false,
        history: history(),
        extra: extra(),
    };
    write(&RecordKey::Cert(cert()), "lb0", "lb0", &record);
    let request = RequestRecord {
        after: Generation(5),
        names: identifiers(),
        key: spki(),
        csr: vec![0x30, 0],
        after_removals: 2,
        at: at(42),
        extra: extra(),
    };
    write(&RecordKey::Request(cert(), name("web-1")), "web-1", "web-1", &request);
}

fn spec() -> Specification {
    Specification {
        names: identifiers(),
        issuers: vec![name("letsencrypt"), name("other")],
        challenge: ChallengeType::Http01,
        key: KeyType::EcdsaP384,
        policy: KeyPolicy::Shared,
        reuse: true,
        nodes: vec!["web-*".parse().expect("a pattern")],
        deploy: vec![name("nginx")],
        rollout: Rollout { canary: 1, ..Rollout::default() },
    }
}

fn placed() -> Placed {
    Placed {
        placement: Placement { epoch: 2, seq: 4, generation: Generation(3) },
        version: VersionHash::of(b"version"),
        names: identifiers(),
        issuer: name("letsencrypt"),
        serial: "04ab".into(),
        fingerprint: Fingerprint::of(b"leaf"),
        key: spki(),
        not_before: at(30),
        not_after: at(30 + 90 * 24),
        resumed: true,
        after_removals: 2,
    }
}

fn problem() -> Problem {
    Problem::new("rateLimited", "too many", Some(429))
}

fn attempt(number: u64, step: Step) -> Attempt {
    Attempt {
        number: Generation(number),
        names: identifiers(),
        issuer: name("letsencrypt"),
        profile: Some("tlsserver".into()),
        challenge: ChallengeType::Http01,
        key: SpkiHash::of(&number.to_be_bytes()),
        csr: vec![0x30, 0],
        after_removals: 2,
        holder: Some(Holder { node: name("lb0"), incarnation: name("a1") }),
        not_before: Some(at(43)),
        started_at: at(42),
        drivers: vec![name("lb0")],
        problem: Some(problem()),
        hindered: 1,
        step,
    }
}

fn history() -> Vec<HistoryEntry> {
    let ends = [
        AttemptEnd::Issued { serial: "04ab".into() },
        AttemptEnd::Failed { problem: problem() },
        AttemptEnd::NotOurs,
        AttemptEnd::SetAside,
        AttemptEnd::WentBack,
    ];
    let entry = |(number, end): (u64, AttemptEnd)| HistoryEntry {
        number: Generation(number),
        issuer: name("letsencrypt"),
        drivers: vec![name("lb0")],
        started_at: at(10),
        ended_at: at(11),
        end,
    };
    (1..).zip(ends).map(entry).collect()
}

fn what_nodes_say() {
    let presence = Presence {
        incarnation: name("a1"),
        beat: 9,
        at: at(50),
        version: "0.1.0".into(),
        config: ConfigHash::of(b"configuration"),
        roles: all_roles(),
        state: PresenceState::Live,
        troubles: vec!["the CA cannot be reached".into()],
        lacks: vec![spki()],
        reads_format: FORMAT,
        extra: extra(),
    };
    write(&RecordKey::Presence(name("lb0")), "lb0", "lb0", &presence);
    let report = Report {
        generation: Generation(3),
        seq: 4,
        state: TargetState::Installed,
        reason: Some("not running".into()),
        settled: false,
        at: at(51),
        extra: extra(),
    };
    write(&RecordKey::Report(cert(), name("web-1"), name("nginx")), "web-1", "web-1", &report);
}
