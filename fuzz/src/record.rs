//! Values of the store: a key on the first line, then the bytes that stand there.
//!
//! Also holds: a key and an envelope are written as they were read; a value without a good signature never counts.

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::records::{
    AccountKeyRecord, AccountRecord, CertRecord, FleetRecord, HomeRecord, InvitationRecord, NodeRecord, Presence, PrivateKeyRecord, Report,
    RequestRecord, VersionRecord, WrapRecord,
};

use crate::{first_line, fleet};

/// Takes it for a record.
pub fn read(data: &[u8]) -> bool {
    let (key, value) = first_line(data);
    let key = std::str::from_utf8(key).ok().and_then(|key| key.parse::<Key>().ok());
    let record = key.as_ref().and_then(RecordKey::of);
    if let (Some(record), Some(key)) = (&record, &key) {
        assert_eq!(record.key(), *key);
    }
    let Ok(envelope) = Envelope::from_bytes(value) else { return false };
    if let Ok(bytes) = envelope.to_bytes() {
        assert_eq!(Envelope::from_bytes(&bytes).as_ref(), Ok(&envelope));
    }
    let _ = envelope.body_hash();
    let Some(record) = record else { return false };
    let is_sample = fleet::samples().iter().any(|line| line.envelope == envelope);
    let counts = fleet::view().roster.check(&record, &envelope).is_ok();
    assert!(is_sample || !counts, "nobody signed it for {record}");
    is_of(&record, &envelope)
}

/// Whether the body is what the key says.
fn is_of(record: &RecordKey, envelope: &Envelope) -> bool {
    match record {
        RecordKey::Fleet => envelope.record::<FleetRecord>().is_ok(),
        RecordKey::Home => envelope.record::<HomeRecord>().is_ok(),
        RecordKey::Node(_) | RecordKey::Joining(_) => envelope.record::<NodeRecord>().is_ok(),
        RecordKey::Invitation(_) => envelope.record::<InvitationRecord>().is_ok(),
        RecordKey::Presence(_) => envelope.record::<Presence>().is_ok(),
        RecordKey::AccountKey => envelope.record::<AccountKeyRecord>().is_ok(),
        RecordKey::Account(_) => envelope.record::<AccountRecord>().is_ok(),
        RecordKey::Cert(_) => envelope.record::<CertRecord>().is_ok(),
        RecordKey::Request(..) => envelope.record::<RequestRecord>().is_ok(),
        RecordKey::PrivateKey(_) => envelope.record::<PrivateKeyRecord>().is_ok(),
        RecordKey::Wrap(..) => envelope.record::<WrapRecord>().is_ok(),
        RecordKey::Version(..) => envelope.record::<VersionRecord>().is_ok(),
        RecordKey::Report(..) => envelope.record::<Report>().is_ok(),
    }
}
