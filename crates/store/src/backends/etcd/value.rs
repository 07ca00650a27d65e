//! A value as etcd has it: the nonce, a line feed, the envelope.
//!
//! The nonce comes first so that one transaction can ask for it: etcd compares a value as a whole with another, by the order of bytes, and
//! what begins with a nonce stands between two strings that are known.

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use etcd_client::{Compare, CompareOp, KeyValue};

use crate::contract::Stored;
use crate::error::StoreError;
use crate::revision::garbage_revision;

const SEPARATOR: char = '\n';
/// What comes after it.
const AFTER_SEPARATOR: char = '\u{b}';

/// What is written.
pub(super) fn encode(key: &Key, envelope: &Envelope) -> Result<Vec<u8>, StoreError> {
    let unfit = |why: String| StoreError::Unfit { key: key.clone(), why };
    let nonce = envelope.nonce.as_str();
    if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unfit("its nonce is not printable".into()));
    }
    let json = envelope.to_bytes().map_err(|e| unfit(e.to_string()))?;
    Ok([nonce.as_bytes(), SEPARATOR.to_string().as_bytes(), &json].concat())
}

/// What is read.
pub(super) fn decode(key: &Key, found: &KeyValue) -> Result<Stored, StoreError> {
    let engine = found.mod_revision().to_string();
    match envelope(found.value()) {
        Ok(envelope) => Ok(Stored { revision: envelope.revision(engine), envelope }),
        Err(why) => {
            let revision = garbage_revision(engine, found.value(), found.value().len() as u64);
            Err(StoreError::Corrupt { key: key.clone(), why, revision })
        }
    }
}

fn envelope(value: &[u8]) -> Result<Envelope, String> {
    let end = value.iter().position(|b| *b == SEPARATOR as u8).ok_or("it does not begin with a line that has its nonce")?;
    let (nonce, json) = (&value[..end], &value[end + 1..]);
    let envelope = Envelope::from_bytes(json).map_err(|e| format!("it is {e}"))?;
    if envelope.nonce.as_str().as_bytes() == nonce { Ok(envelope) } else { Err("its first line is not its nonce".into()) }
}

/// What has to hold in etcd for `expect` to hold; `None`: it cannot, since no value of this engine has such a revision.
pub(super) fn conditions(name: &str, expect: &Expect) -> Option<Vec<Compare>> {
    match expect {
        Expect::Absent => Some(vec![Compare::create_revision(name, CompareOp::Equal, 0)]),
        Expect::Revision(revision) => {
            let mut all = vec![of_revision(name, revision)?];
            all.extend(begins_with(name, &revision.nonce));
            Some(all)
        }
    }
}

/// The same for a value that cannot be read, and that was just seen.
pub(super) fn garbage_conditions(name: &str, seen: &KeyValue, value_bytes_max: usize) -> Vec<Compare> {
    let mut all = vec![Compare::mod_revision(name, CompareOp::Equal, seen.mod_revision())];
    if seen.value().len() <= value_bytes_max {
        all.push(Compare::value(name, CompareOp::Equal, seen.value()));
    }
    all
}

fn of_revision(name: &str, revision: &Revision) -> Option<Compare> {
    let number = revision.engine.parse::<i64>().ok().filter(|number| *number > 0)?;
    Some(Compare::mod_revision(name, CompareOp::Equal, number))
}

fn begins_with(name: &str, nonce: &Nonce) -> [Compare; 2] {
    let (first, behind) = (format!("{}{SEPARATOR}", nonce.as_str()), format!("{}{AFTER_SEPARATOR}", nonce.as_str()));
    [Compare::value(name, CompareOp::Greater, first), Compare::value(name, CompareOp::Less, behind)]
}
