//! One write: a value takes the place of the one that was named, or it does not.

use certfleet_core::envelope::{Envelope, Expect, Nonce, Revision};
use certfleet_core::key::Key;
use redis::Value;

use super::link::Session;
use super::scripts::SWAP;
use super::value::{READ_BYTES_MAX, engine, parts};
use super::{RedisStore, fault};
use crate::contract::Put;
use crate::error::StoreError;
use crate::nonce::fresh_nonce;

/// How long the replicas may take that `wait` asks for.
const WAIT_MS_MAX: u64 = 1_000;

/// What became of a swap.
enum Swapped {
    Done(String),
    Conflict,
    Unknown(String),
}

impl RedisStore {
    pub(super) async fn write(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let bytes = value.to_bytes().map_err(|e| StoreError::Unfit { key: key.clone(), why: e.to_string() })?;
        Ok(match self.swap(key, expect, Some(&bytes)).await? {
            Swapped::Done(number) => Put::Done(value.revision(engine(&number, &value.nonce, bytes.len() as u64, &bytes))),
            Swapped::Conflict => Put::Conflict,
            Swapped::Unknown(why) => Put::Unknown(why),
        })
    }

    pub(super) async fn remove(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        let nonce: Nonce = fresh_nonce()?;
        Ok(match self.swap(key, &Expect::Revision(expect.clone()), None).await? {
            Swapped::Done(number) => Put::Done(Revision { engine: number, nonce, change: 0 }),
            Swapped::Conflict => Put::Conflict,
            Swapped::Unknown(why) => Put::Unknown(why),
        })
    }

    async fn swap(&self, key: &Key, expect: &Expect, value: Option<&[u8]>) -> Result<Swapped, StoreError> {
        let (kind, number, digest, nonce) = match expect {
            Expect::Absent => ("absent", "", "", ""),
            Expect::Revision(revision) => {
                let (number, digest) = parts(&revision.engine);
                ("revision", number, digest, revision.nonce.as_str())
            }
        };
        let length = READ_BYTES_MAX.to_string();
        let texts = [&self.id, &self.link.channel, key.as_str(), kind, number, digest, nonce, &length];
        let values: Vec<&[u8]> = texts.into_iter().map(str::as_bytes).chain(value).collect();
        let mut session = self.link.session().await?;
        let keys = [self.meta().into_bytes(), self.data(key)];
        match SWAP.run(&mut session.connection, &keys, &values).await {
            Ok(answer) => self.swapped(key, &mut session, answer).await,
            Err(error) => {
                let fault = self.link.fault(&session, &error);
                if fault.is_silent { Ok(Swapped::Unknown(fault.error.to_string())) } else { Err(fault.error) }
            }
        }
    }

    async fn swapped(&self, key: &Key, session: &mut Session, answer: Value) -> Result<Swapped, StoreError> {
        let Value::Array(answer) = answer else { return Ok(odd(session)) };
        match &answer[..] {
            [Value::BulkString(word), Value::Int(number)] if word == b"done" => {
                self.wait_for_replicas(key, session).await?;
                Ok(Swapped::Done(number.to_string()))
            }
            [Value::BulkString(word)] => match &word[..] {
                b"conflict" => Ok(Swapped::Conflict),
                b"other" => Err(self.other(session)),
                b"gone" => Err(self.gone(session)),
                _ => Ok(odd(session)),
            },
            _ => Ok(odd(session)),
        }
    }

    /// Waits until the write that was just done on this connection is on as many replicas as the URL says.
    async fn wait_for_replicas(&self, key: &Key, session: &mut Session) -> Result<(), StoreError> {
        let wanted = self.link.url.wait;
        if wanted == 0 {
            return Ok(());
        }
        let answer = redis::cmd("WAIT").arg(wanted).arg(WAIT_MS_MAX).query_async::<u32>(&mut session.connection).await;
        let why = match answer {
            Ok(there) if there >= wanted => return Ok(()),
            Ok(there) => format!("{there} of {wanted} replicas of Redis at {} had it within {WAIT_MS_MAX} ms", session.address),
            Err(error) => self.link.fault(session, &error).error.to_string(),
        };
        Err(StoreError::NotDurable { key: key.clone(), why })
    }
}

/// It answered, and what it did is not known.
fn odd(session: &Session) -> Swapped {
    Swapped::Unknown(fault::away(&session.address, "its answer makes no sense", "see that it is Redis 6 or Valkey").to_string())
}
