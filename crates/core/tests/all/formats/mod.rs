//! Records of every released format, as they stood in a store: each later version reads them, believes their signatures, and keeps the fields
//! that it does not know.
//!
//! They are in `tests/formats/<format>/`, one file for each record: its key, and its envelope. Files of a released format are never changed.

mod make;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use certfleet_core::envelope::{Envelope, FORMAT};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::{
    AccountKeyRecord, AccountRecord, CertRecord, FleetRecord, HomeRecord, InvitationRecord, NodeRecord, Presence, PrivateKeyRecord, Report,
    RequestRecord, VersionRecord, WrapRecord,
};
use certfleet_core::spec::FleetSpec;
use certfleet_core::time::Mono;
use certfleet_core::trust::Roster;
use certfleet_core::view::{Me, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A field of each sample that no version knows.
const LATER: &str = "a_field_of_a_later_version";

#[derive(Serialize, Deserialize)]
struct Sample {
    key: Key,
    envelope: Envelope,
}

fn dir(format: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/{format}"))
}

fn samples(format: u32) -> BTreeMap<Key, Envelope> {
    let files = std::fs::read_dir(dir(format)).unwrap_or_else(|e| panic!("format {format} has no samples: {e}"));
    let read = |path: PathBuf| -> Sample {
        serde_json::from_slice(&std::fs::read(&path).expect("reads")).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    files.map(|file| read(file.expect("lists").path())).map(|sample| (sample.key, sample.envelope)).collect()
}

fn record_of(key: &Key) -> RecordKey {
    RecordKey::of(key).unwrap_or_else(|| panic!("{key} is no record's key any more"))
}

fn rewritten<T: DeserializeOwned + Serialize>(envelope: &Envelope) -> Value {
    serde_json::to_value(envelope.record::<T>().unwrap_or_else(|e| panic!("{e}: {}", envelope.body))).expect("serialises")
}

/// What a node of this version would write again.
fn read_and_write(record: &RecordKey, envelope: &Envelope) -> Value {
    match record {
        RecordKey::Fleet => rewritten::<FleetRecord>(envelope),
        RecordKey::Home => rewritten::<HomeRecord>(envelope),
        RecordKey::Node(_) | RecordKey::Joining(_) => rewritten::<NodeRecord>(envelope),
        RecordKey::Invitation(_) => rewritten::<InvitationRecord>(envelope),
        RecordKey::Presence(_) => rewritten::<Presence>(envelope),
        RecordKey::AccountKey => rewritten::<AccountKeyRecord>(envelope),
        RecordKey::Account(_) => rewritten::<AccountRecord>(envelope),
        RecordKey::Cert(_) => rewritten::<CertRecord>(envelope),
        RecordKey::Request(..) => rewritten::<RequestRecord>(envelope),
        RecordKey::PrivateKey(_) => rewritten::<PrivateKeyRecord>(envelope),
        RecordKey::Wrap(..) => rewritten::<WrapRecord>(envelope),
        RecordKey::Version(..) => rewritten::<VersionRecord>(envelope),
        RecordKey::Report(..) => rewritten::<Report>(envelope),
    }
}

/// Whether all that stood in `old` stands in `new`, which may have more.
fn keeps(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old.iter().all(|(name, value)| new.get(name).is_some_and(|new| keeps(value, new))),
        (Value::Array(old), Value::Array(new)) => old.len() == new.len() && old.iter().zip(new).all(|(old, new)| keeps(old, new)),
        _ => old == new,
    }
}

/// A node that has seen nothing yet, of the fleet that the samples are from.
fn newcomer(samples: &BTreeMap<Key, Envelope>) -> View {
    let fleet: FleetRecord = samples[&RecordKey::Fleet.key()].record().expect("reads");
    let me = Me {
        node: "late".parse().expect("name"),
        incarnation: "late.1".parse().expect("name"),
        identity: "late".into(),
        fleet: fleet.id,
        verifying_keys: fleet.verifying_keys,
        configured: BTreeSet::new(),
        version: "later".into(),
    };
    let hash = certfleet_core::names::ConfigHash::of(b"");
    View::new(me, FleetSpec { hash, certificates: BTreeMap::new(), issuers: BTreeMap::new(), targets: BTreeMap::new() })
}

#[test]
fn every_released_format_has_a_sample_of_every_kind() {
    for format in 1..=FORMAT {
        let kinds: BTreeSet<&str> = samples(format).keys().map(|key| record_of(key).kind()).collect();
        let all = [
            "accounts",
            "certs",
            "fleet",
            "home",
            "invitations",
            "joining",
            "keys",
            "nodes",
            "presence",
            "reports",
            "requests",
            "versions",
            "wraps",
        ];
        assert_eq!(kinds, all.into(), "format {format}");
        assert!(samples(format).contains_key(&RecordKey::AccountKey.key()), "format {format}");
    }
}

#[test]
fn they_are_read_and_their_signatures_believed() {
    for format in 1..=FORMAT {
        let samples = samples(format);
        let mut view = newcomer(&samples);
        for (key, envelope) in &samples {
            assert_eq!(envelope.format, format, "{key}");
            let bytes = envelope.to_bytes().expect("encodes");
            assert_eq!(Envelope::from_bytes(&bytes).as_ref(), Ok(envelope), "{key}");
            view.apply(key, Some((envelope, &envelope.revision("1"))), Mono::default());
        }
        assert_eq!(view.strays.iter().map(|(key, stray)| (key.as_str(), stray.why.as_str())).collect::<Vec<_>>(), []);
        assert_eq!(view.accepted.len(), samples.len());
    }
}

#[test]
fn none_counts_when_anything_in_it_or_its_place_is_changed() {
    for format in 1..=FORMAT {
        let samples = samples(format);
        let mut view = newcomer(&samples);
        for (key, envelope) in &samples {
            view.apply(key, Some((envelope, &envelope.revision("1"))), Mono::default());
        }
        let roster: &Roster = &view.roster;
        for (key, envelope) in &samples {
            let refuses = |key: &Key, envelope: &Envelope| roster.check(&record_of(key), envelope).is_err();
            assert!(!refuses(key, envelope), "{key}");
            let mut body = envelope.body.clone();
            body[LATER] = Value::Null;
            for other in [Envelope { body, ..envelope.clone() }, Envelope { change: envelope.change + 1, ..envelope.clone() }] {
                assert!(refuses(key, &other), "{key}");
            }
            assert!(samples.keys().filter(|other| *other != key).all(|other| refuses(other, envelope)), "{key} elsewhere");
        }
    }
}

#[test]
fn unknown_fields_survive_being_read_and_written() {
    for format in 1..=FORMAT {
        for (key, envelope) in samples(format) {
            assert!(envelope.body[LATER].is_object(), "{key} has no unknown field");
            let again = read_and_write(&record_of(&key), &envelope);
            assert!(keeps(&envelope.body, &again), "{key}:\n{:#}\n{again:#}", envelope.body);
        }
    }
}
