//! Writing: the server's own compare-and-swap.

use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use super::CentralStore;
use super::link::Failed;
use crate::contract::Put;
use crate::error::StoreError;
use crate::wire::{Answer, Ask, LINE_BYTES_MAX};

impl CentralStore {
    pub(super) async fn write(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        value.to_bytes().map_err(|error| StoreError::Unfit { key: key.clone(), why: error.to_string() })?;
        let expect = match expect {
            Expect::Absent => None,
            Expect::Revision(revision) => Some(revision.clone().into()),
        };
        self.change(&Ask::Put { key: key.clone(), envelope: Box::new(value.clone()), expect }, key).await
    }

    pub(super) async fn remove(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.change(&Ask::Delete { key: key.clone(), expect: expect.clone().into() }, key).await
    }

    async fn change(&self, ask: &Ask, key: &Key) -> Result<Put, StoreError> {
        let body = match self.link.call(ask, key, LINE_BYTES_MAX).await {
            Ok(body) => body,
            Err(Failed::NotDone(error)) => return Err(error),
            Err(Failed::Lost(why)) => return Ok(Put::Unknown(why)),
        };
        match serde_json::from_slice(&body) {
            Ok(Answer::Done(revision)) => Ok(Put::Done(revision.into())),
            Ok(Answer::Conflict) => Ok(Put::Conflict),
            Ok(Answer::Unknown(why)) => Ok(Put::Unknown(format!("{} says: {why}", self.link.server()))),
            Ok(Answer::Error(trouble)) => Err(trouble.error(key, self.link.server())),
            _ => Ok(Put::Unknown(format!("{}: its answer cannot be read", self.link.server()))),
        }
    }
}
