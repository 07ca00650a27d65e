//! Records of certificates that no CA issued, in the store as a node would have written them.

use std::sync::Arc;

use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Fingerprint, Generation, NodeName, SpkiHash, VersionHash};
use certfleet_core::records::{AccountKeyRecord, Attempt, AttemptEnd, CertRecord, HistoryEntry, Placed, Placement, Step};
use certfleet_core::spec::{ChallengeType, Specification};
use certfleet_core::time::{Timestamp, later};
use certfleet_node::operator;
use certfleet_node::trust::Pen;
use certfleet_store::{Settled, Store, put_settled};

use crate::site::Machine;

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The node's own view of its machine.
fn node(machine: &Machine) -> operator::Machine {
    operator::Machine::load(&machine.config, Some(&machine.name.parse().expect("a name"))).expect("it is configured")
}

async fn store(machine: &Machine) -> Arc<dyn Store> {
    node(machine).store().await.expect("it is there")
}

fn cert_name(cert: &str) -> CertName {
    cert.parse().expect("a name")
}

/// Puts the record of a certificate that is in `machine`'s configuration: one generation is placed, which this node had issued.
pub async fn plant(machine: &Machine, cert: &str, change: impl FnOnce(&mut CertRecord)) {
    let (node, key) = (node(machine), RecordKey::Cert(cert_name(cert)));
    let spec = node.settings.spec.certificates[&cert_name(cert)].clone();
    let mut record = CertRecord {
        placed: Some(placed(&spec)),
        history: vec![issued_by(&node.settings.node, &spec)],
        last_number: Generation(1),
        ..CertRecord::of(spec)
    };
    change(&mut record);
    let envelope = Pen::new(node.member().expect("it has joined")).write(&key, &record, &Expect::Absent).expect("wraps");
    let settled = put_settled(store(machine).await.as_ref(), &key.key(), &envelope, &Expect::Absent).await.expect("the store takes it");
    assert!(matches!(settled, Settled::Done(_)), "{cert} stands there already");
}

/// The next account key takes the place of the one in use, as when every CA knows it.
pub async fn take_over(machine: &Machine) {
    let (node, store, key) = (node(machine), store(machine).await, RecordKey::AccountKey);
    let stored = store.get(&key.key()).await.expect("it can be read").expect("it is there");
    let record: AccountKeyRecord = stored.envelope.record().expect("a record");
    let next = record.next.clone().expect("a roll-over is under way");
    let expect = Expect::Revision(stored.revision);
    let pen = Pen::new(node.member().expect("it has joined"));
    let envelope = pen.write(&key, &AccountKeyRecord { current: next, next: None, ..record }, &expect).expect("wraps");
    let settled = put_settled(store.as_ref(), &key.key(), &envelope, &expect).await.expect("the store takes it");
    assert!(matches!(settled, Settled::Done(_)), "somebody else wrote it");
}

/// What stands in the store.
pub async fn planted(machine: &Machine, cert: &str) -> CertRecord {
    let stored = store(machine).await.get(&RecordKey::Cert(cert_name(cert)).key()).await.expect("it can be read");
    stored.expect("it is there").envelope.record().expect("a record")
}

fn issued_by(node: &NodeName, spec: &Specification) -> HistoryEntry {
    let now = Timestamp::now();
    HistoryEntry {
        number: Generation(1),
        issuer: spec.issuers[0].clone(),
        drivers: vec![node.clone()],
        started_at: now,
        ended_at: now,
        end: AttemptEnd::Issued { serial: "01".into() },
    }
}

fn placed(spec: &Specification) -> Placed {
    let now = Timestamp::now();
    Placed {
        placement: Placement { epoch: 0, seq: 1, generation: Generation(1) },
        version: VersionHash::of(b"version"),
        names: spec.names.clone(),
        issuer: spec.issuers[0].clone(),
        serial: "01".into(),
        fingerprint: Fingerprint::of(b"leaf"),
        key: SpkiHash::of(b"key"),
        not_before: now,
        not_after: later(now, 90 * DAY),
        resumed: false,
        after_removals: 0,
    }
}

/// Attempt 2, whose key was made when the fleet's list had `after_removals` entries; nobody drives it.
pub fn attempt(record: &CertRecord, after_removals: u64) -> Attempt {
    Attempt {
        number: Generation(2),
        names: record.spec.names.clone(),
        issuer: record.spec.issuers[0].clone(),
        profile: None,
        challenge: ChallengeType::Http01,
        key: SpkiHash::of(b"next key"),
        csr: vec![1],
        after_removals,
        holder: None,
        not_before: None,
        started_at: Timestamp::now(),
        drivers: Vec::new(),
        problem: None,
        hindered: 0,
        step: Step::Keyed,
    }
}

/// Tomorrow.
pub fn tomorrow() -> Timestamp {
    later(Timestamp::now(), DAY)
}
