//! Reading one key, and listing many.

use std::collections::BTreeSet;

use certfleet_core::key::{KEY_BYTES_MAX, Key};
use redis::Value;

use super::link::Session;
use super::scripts::LOOK;
use super::value::{READ_BYTES_MAX, Raw};
use super::{RedisStore, fault};
use crate::contract::{Listing, Stored, Unreadable};
use crate::error::StoreError;

/// How many keys one step of SCAN looks at.
const SCAN_KEYS: usize = 1000;
/// How many values are asked for at once …
const LOOK_KEYS_MAX: usize = 256;
/// … and how many bytes are given at once, before the last of them.
const LOOK_BYTES_MAX: usize = 4 << 20;

impl RedisStore {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let mut session = self.link.session().await?;
        match self.look(&mut session, &[self.data(key)]).await?.pop() {
            Some(Some(raw)) => raw.answer(key),
            _ => Ok(None),
        }
    }

    pub(super) async fn list_under(&self, prefix: &str) -> Result<Listing, StoreError> {
        let mut session = self.link.session().await?;
        let mut listing = Listing::default();
        let mut keys = Vec::new();
        for name in self.scan(&mut session, prefix).await? {
            match self.key_of(&name) {
                Some(key) if key.is_under(prefix) => keys.push(key),
                None if prefix.trim_end_matches('/').is_empty() => listing.unreadable.push(foreign(&name)),
                _ => {}
            }
        }
        keys.sort();
        let mut rest = &keys[..];
        // Also where there are none: an empty answer has to be this store's.
        loop {
            let asked = &rest[..rest.len().min(LOOK_KEYS_MAX)];
            let names: Vec<Vec<u8>> = asked.iter().map(|key| self.data(key)).collect();
            let found = self.look(&mut session, &names).await?;
            rest = &rest[found.len()..];
            for (key, raw) in asked.iter().zip(found) {
                if let Some(raw) = raw {
                    listing.add(key, raw.answer(key))?;
                }
            }
            if rest.is_empty() {
                break;
            }
        }
        listing.unreadable.sort();
        Ok(listing)
    }

    /// What stands under each of `names`, at least under the first of them; fails if this is not the store.
    async fn look(&self, session: &mut Session, names: &[Vec<u8>]) -> Result<Vec<Option<Raw>>, StoreError> {
        let meta = self.meta();
        let keys: Vec<&[u8]> = std::iter::once(meta.as_bytes()).chain(names.iter().map(Vec::as_slice)).collect();
        let limits = [READ_BYTES_MAX.to_string(), LOOK_BYTES_MAX.to_string()];
        let limits: Vec<&[u8]> = limits.iter().map(String::as_bytes).collect();
        let answer = LOOK.run(&mut session.connection, &keys, &limits).await.map_err(|e| self.link.fault(session, &e).error)?;
        let odd = || fault::away(&session.address, "its answer makes no sense", "see that it is Redis 6 or Valkey");
        let Value::Array(answer) = answer else { return Err(odd()) };
        let mut answer = answer.into_iter();
        self.is_ours(session, answer.next().as_ref())?;
        let found: Option<Vec<_>> = answer.map(raw).collect();
        found.filter(|found| found.len() <= names.len() && found.is_empty() == names.is_empty()).ok_or_else(odd)
    }

    /// Fails if the server holds another store than the one that was opened, or none.
    fn is_ours(&self, session: &Session, id: Option<&Value>) -> Result<(), StoreError> {
        match id {
            Some(Value::BulkString(id)) if *id == self.id.as_bytes() => Ok(()),
            Some(Value::BulkString(_)) => Err(self.other(session)),
            _ => Err(self.gone(session)),
        }
    }

    /// The names of all keys that may be at or below `prefix`.
    async fn scan(&self, session: &mut Session, prefix: &str) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let mut pattern = escaped(&format!("{}{}", self.data_prefix(), prefix.trim_end_matches('/')));
        pattern.push(b'*');
        let (mut names, mut cursor) = (BTreeSet::new(), 0_u64);
        loop {
            let mut step = redis::cmd("SCAN");
            step.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_KEYS);
            let answer = step.query_async(&mut session.connection).await;
            let (next, some): (u64, Vec<Vec<u8>>) = answer.map_err(|e| self.link.fault(session, &e).error)?;
            names.extend(some);
            cursor = next;
            if cursor == 0 {
                return Ok(names);
            }
        }
    }

    fn key_of(&self, name: &[u8]) -> Option<Key> {
        std::str::from_utf8(name.strip_prefix(self.data_prefix().as_bytes())?).ok()?.parse().ok()
    }
}

/// One answer of the script; `None`: it makes no sense.
#[allow(clippy::option_option)] // absent is a sensible answer
fn raw(answer: Value) -> Option<Option<Raw>> {
    match answer {
        Value::Nil | Value::Boolean(false) => Some(None),
        Value::Array(parts) => match <[Value; 3]>::try_from(parts).ok()? {
            [Value::BulkString(number), Value::Int(length), Value::BulkString(bytes)] => {
                Some(Some(Raw { number: String::from_utf8_lossy(&number).into_owned(), length: u64::try_from(length).ok()?, bytes }))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Something below the prefix that is no key of any version.
fn foreign(name: &[u8]) -> Unreadable {
    let plain: String = name.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).take(KEY_BYTES_MAX).collect();
    let fallback = || "data".parse().expect("`data` is a well-formed key");
    Unreadable {
        key: plain.trim_end_matches('/').parse().unwrap_or_else(|_| fallback()),
        why: "nothing that certfleet wrote; remove it if nobody needs it".into(),
        revision: None,
    }
}

/// As a pattern that fits itself alone.
fn escaped(text: &str) -> Vec<u8> {
    text.bytes().flat_map(|b| matches!(b, b'*' | b'?' | b'[' | b']' | b'\\' | b'^').then_some(b'\\').into_iter().chain([b])).collect()
}
