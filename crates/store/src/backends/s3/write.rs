//! One write: a value takes the place of the one that was named, or it does not.

use bytes::Bytes;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use super::Inner;
use super::bucket::{Condition, Written};
use super::fault::away;
use super::value::{Object, encode, encode_tombstone, engine, engine_of_tombstone, named};
use crate::contract::Put;
use crate::error::StoreError;
use crate::nonce::fresh_nonce;

/// How often a creation begins anew because the key was deleted, or its tombstone removed, meanwhile.
const CREATE_TRIES_MAX: u32 = 4;

impl Inner {
    pub(super) async fn write(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let name = self.names.of(key)?;
        let Expect::Revision(revision) = expect else { return self.create(key, &name, value).await };
        let (number, etag) = named(revision).map_or((0, None), |(number, etag)| (number.saturating_add(1), Some(etag)));
        let bytes = encode(number, key, value)?;
        let written = self.replace(&name, &bytes, etag).await?;
        Ok(self.told(key, &name, written, bytes, |etag| value.revision(engine(number, &value.nonce, etag))))
    }

    pub(super) async fn remove(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let name = self.names.of(key)?;
        let (number, etag) = named(expect).map_or((0, None), |(number, etag)| (number.saturating_add(1), Some(etag)));
        let nonce = fresh_nonce()?;
        let bytes = encode_tombstone(number, key, &nonce)?;
        let written = self.replace(&name, &bytes, etag).await?;
        Ok(self.told(key, &name, written, bytes, |_| Revision { engine: engine_of_tombstone(number), nonce: nonce.clone(), change: 0 }))
    }

    /// `None`: what is to be replaced never was.
    async fn replace(&self, name: &str, bytes: &Bytes, etag: Option<&str>) -> Result<Written, StoreError> {
        let Some(etag) = etag else { return Ok(Written::Mismatch) };
        let written = self.bucket.put(name, bytes, Condition::Etag(etag)).await?;
        if written == Written::Missing {
            self.marker.check().await?;
        }
        Ok(written)
    }

    /// Where nothing is, or a tombstone.
    async fn create(&self, key: &Key, name: &str, value: &Envelope) -> Result<Put, StoreError> {
        let mut grave = self.cache.last_seen(name).and_then(|object| Some((object.tombstone()?, object.etag)));
        for _ in 0..CREATE_TRIES_MAX {
            let number = grave.as_ref().map_or(1, |(number, _)| number.saturating_add(1));
            let bytes = encode(number, key, value)?;
            let condition = match &grave {
                Some((_, etag)) => Condition::Etag(etag),
                None => {
                    // The condition would hold in a bucket that was emptied, too.
                    self.marker.check().await?;
                    Condition::Absent
                }
            };
            let written = self.bucket.put(name, &bytes, condition).await?;
            if matches!(written, Written::Done(_) | Written::Unknown(_)) {
                return Ok(self.told(key, name, written, bytes, |etag| value.revision(engine(number, &value.nonce, etag))));
            }
            grave = match self.object(name).await? {
                None => None,
                Some(object) => match object.tombstone() {
                    Some(number) => Some((number, object.etag)),
                    None => return Ok(Put::Conflict),
                },
            };
        }
        Err(away(self.bucket.host(), &format!("`{key}` is created and deleted by others all the time"), "try again"))
    }

    /// As the contract says it. This handle's watchers need not wait for the next look.
    fn told(&self, key: &Key, name: &str, written: Written, bytes: Bytes, revision: impl Fn(&str) -> Revision) -> Put {
        match written {
            Written::Done(etag) => {
                let revision = revision(&etag);
                self.watching.wrote(key, name, &etag);
                self.cache.set(name, Some(Object { etag, length: bytes.len() as u64, bytes }));
                Put::Done(revision)
            }
            Written::Mismatch | Written::Missing => Put::Conflict,
            Written::Unknown(why) => Put::Unknown(why),
        }
    }
}
