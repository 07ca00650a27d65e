//! Values for unit tests: a fleet of three nodes as node `a` knows it, and a record.

use std::time::Duration;

use crate::envelope::{Nonce, Revision};
use crate::names::{CertName, ConfigHash, Fingerprint, Generation, InvitationId, NodeName, SpkiHash, VersionHash};
use crate::records::{
    AccountKey, AccountKeyRecord, AccountRecord, Attempt, CertRecord, FleetRecord, Holder, NodeRecord, Placed, Placement, Presence,
    PresenceState, Report, Step, TargetState,
};
use crate::secret::{SealScheme, Sealed};
use crate::spec::{ChallengeType, FleetSpec, KeyPolicy, KeyType, Roles, Rollout, Specification, TargetSpec, all_roles};
use crate::time::{Mono, Now, Timestamp, later};
use crate::trust::{Grant, Proof, Roster, SealingKey, Signature, SignedGrant, SigningKey};
use crate::view::{ClockCheck, Me, Observed, StoreState, View};

pub fn name<T: std::str::FromStr<Err = crate::names::NameError>>(text: &str) -> T {
    text.parse().expect("a name")
}

pub fn cert() -> CertName {
    name("example.com")
}

pub fn wall() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("2026-01-01")
}

pub fn at(seconds: u64) -> Now {
    Now { wall: later(wall(), Duration::from_secs(seconds)), mono: mono(seconds) }
}

pub fn mono(seconds: u64) -> Mono {
    Mono(Duration::from_secs(seconds))
}

pub fn seen<T>(value: T, changed_at: u64, read_at: u64) -> Observed<T> {
    let revision = Revision { engine: "1".into(), nonce: Nonce::from_random([0; 16]), change: 1 };
    Observed { value, revision, changed_at: mono(changed_at), read_at: mono(read_at) }
}

pub fn presence(node: &str, life: u32) -> Presence {
    Presence {
        incarnation: name(&format!("{node}.{life}")),
        beat: 1,
        at: wall(),
        version: "0.1.0".into(),
        config: ConfigHash::of(b"one"),
        roles: all_roles(),
        state: PresenceState::Live,
        troubles: Vec::new(),
        lacks: Vec::new(),
        reads_format: 1,
        extra: Default::default(),
    }
}

pub fn spec() -> Specification {
    Specification {
        names: vec![name("example.com")],
        issuers: vec![name("ca")],
        challenge: ChallengeType::Http01,
        key: KeyType::default(),
        policy: KeyPolicy::Shared,
        reuse: false,
        nodes: Vec::new(),
        deploy: vec![name("nginx")],
        rollout: Rollout::default(),
    }
}

/// What node `a` knows of the fleet `a b c`, all of them live.
pub fn view() -> View {
    let certificates = [(cert(), spec())].into();
    let targets = [(name("nginx"), TargetSpec::default())].into();
    let spec = FleetSpec { hash: ConfigHash::of(b"one"), certificates, issuers: Default::default(), targets };
    let me = Me {
        node: name("a"),
        incarnation: name("a.1"),
        identity: "a".into(),
        fleet: name("f"),
        verifying_keys: vec![signing_key("the fleet").verifying_key()],
        configured: all_roles(),
        version: "0.1.0".into(),
    };
    let mut view = View::new(me, spec);
    view.local.store = StoreState::Ready;
    view.fleet = Some(fleet());
    for node_name in ["a", "b", "c"] {
        view.nodes.insert(name(node_name), node(node_name));
        let node = node_name;
        view.presence.insert(name(node), seen(presence(node, 1), 0, 0));
    }
    view.roster = Roster::of(&fleet(), view.nodes.values()).into();
    view
}

/// The key of a node, or of the fleet; drawn from its name.
pub fn signing_key(name: &str) -> SigningKey {
    let hex = crate::hash::sha256_hex(name.as_bytes());
    let mut seed = [0; 32];
    seed.copy_from_slice(&hex.as_bytes()[..32]);
    SigningKey::from_seed(&seed)
}

pub fn fleet() -> FleetRecord {
    FleetRecord {
        id: name("f"),
        name: "f".into(),
        format: 1,
        epoch: 0,
        created_at: wall(),
        verifying_keys: vec![signing_key("the fleet").verifying_key()],
        removals: Vec::new(),
        extra: Default::default(),
    }
}

pub fn node(node: &str) -> NodeRecord {
    NodeRecord {
        name: name(node),
        identity: node.into(),
        signing_key: signing_key(node).verifying_key(),
        sealing_key: SealingKey::from_bytes([7; 32]),
        granted: all_roles(),
        joined_at: wall(),
        grant: None,
        proof: None,
        extra: Default::default(),
    }
}

/// An invitation for one machine, good for a day, whose token is the key of `token`.
pub fn grant(pattern: &str, roles: Roles) -> Grant {
    Grant {
        id: name("01"),
        fleet: name("f"),
        fleet_name: "f".into(),
        epoch: 0,
        store: "file:///srv/certfleet".into(),
        node: pattern.parse().expect("a pattern"),
        roles,
        uses: 1,
        expires_at: later(wall(), Duration::from_secs(24 * 3600)),
        replace: false,
        servers: Vec::new(),
        join_key: signing_key("token").verifying_key(),
    }
}

/// The machine `text` that asks to be let in with it.
pub fn comes_with(grant: &Grant, text: &str) -> NodeRecord {
    let signed = SignedGrant::new(grant, &signing_key("the fleet"));
    let proof = prove(&grant.id, &node(text), "token");
    NodeRecord { granted: grant.roles.clone(), grant: Some(signed), proof: Some(proof), ..node(text) }
}

/// What the holder of a token signs for a machine.
pub fn prove(invitation: &InvitationId, machine: &NodeRecord, token: &str) -> Signature {
    let keys = (&machine.signing_key, &machine.sealing_key);
    Proof { invitation, node: &machine.name, identity: &machine.identity, keys }.sign(&signing_key(token))
}

pub fn record() -> CertRecord {
    CertRecord::of(spec())
}

/// Attempt `number`, held by `node` in its first life.
pub fn attempt(number: u64, node: &str, step: Step) -> Attempt {
    Attempt {
        number: Generation(number),
        names: spec().names,
        issuer: name("ca"),
        profile: None,
        challenge: ChallengeType::Http01,
        key: SpkiHash::of(&number.to_be_bytes()),
        csr: vec![1],
        after_removals: 0,
        holder: Some(Holder { node: name(node), incarnation: name(&format!("{node}.1")) }),
        not_before: None,
        started_at: wall(),
        drivers: vec![name(node)],
        problem: None,
        hindered: 0,
        step,
    }
}

/// A generation of 90 days, with the key of the attempt of its number.
pub fn placed(number: u64, seq: u64) -> Placed {
    Placed {
        placement: Placement { epoch: 0, seq, generation: Generation(number) },
        version: VersionHash::of(b"version"),
        names: spec().names,
        issuer: name("ca"),
        serial: format!("{number:02x}"),
        fingerprint: Fingerprint::of(&number.to_be_bytes()),
        key: SpkiHash::of(&number.to_be_bytes()),
        not_before: wall(),
        not_after: later(wall(), Duration::from_secs(90 * 24 * 3600)),
        resumed: false,
        after_removals: 0,
    }
}

/// What a node reports of a placement at its one target.
pub fn report(view: &mut View, node: &str, placement: Placement, state: TargetState) {
    let report = Report {
        generation: placement.generation,
        seq: placement.seq,
        state,
        reason: None,
        settled: state == TargetState::Verified,
        at: wall(),
        extra: Default::default(),
    };
    view.reports.entry(cert()).or_default().insert((name::<NodeName>(node), name("nginx")), seen(report, 0, 0));
}

/// The fleet's account at the CA `ca`, whose clock agrees with this node's.
pub fn account(view: &mut View) {
    let key = Sealed { scheme: SealScheme::HpkeX25519, data: Vec::new(), wraps: Default::default() };
    let current = AccountKey { thumbprint: "t".into(), spki: SpkiHash::of(b"account"), created_at: wall(), after_removals: 0, key };
    view.account_key = Some(AccountKeyRecord { current, next: None, extra: Default::default() });
    let account = AccountRecord {
        issuer: name("ca"),
        directory: "d".into(),
        url: "u".into(),
        thumbprint: "t".into(),
        registered_at: wall(),
        extra: Default::default(),
    };
    view.accounts.insert(name("ca"), seen(account, 0, 0));
    view.local.clocks.insert(name("ca"), ClockCheck { at: mono(0), wall: wall(), ahead_seconds: 0 });
}
