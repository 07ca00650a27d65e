//! Writing: one transaction each, with the revision, the nonce and the store's identity as its conditions.

use certfleet_core::envelope::{Expect, Revision};
use certfleet_core::key::Key;
use etcd_client::{Compare, KeyValue, Txn, TxnOp};

use super::EtcdStore;
use super::answers::{Failure, first_found, found, txn};
use super::value::{conditions, decode, garbage_conditions};
use crate::contract::Put;
use crate::error::StoreError;
use crate::revision::same_value;

/// Up to this length, in bytes, garbage that is replaced is compared as a whole. A request with more beside a large new value might be too
/// large for etcd; the revision that was seen a moment ago has to do then.
const COMPARED_BYTES_MAX: usize = 256 << 10;

/// What a transaction found.
enum Written {
    /// It took place, as this revision of etcd.
    Done(i64),
    /// The conditions did not hold; this is there.
    Not(Option<KeyValue>),
}

impl EtcdStore {
    /// Carries `operation` out if the key is as expected; `revision` makes the new value's from etcd's.
    pub(super) async fn write(
        &self,
        key: &Key,
        operation: TxnOp,
        expect: &Expect,
        revision: impl Fn(String) -> Revision,
    ) -> Result<Put, StoreError> {
        let name = self.names.of(key);
        let Some(all) = conditions(&name, expect) else { return Ok(Put::Conflict) };
        let there = match self.transact(&name, all, &operation).await {
            Ok(Written::Done(number)) => return Ok(Put::Done(revision(number.to_string()))),
            Ok(Written::Not(there)) => there,
            Err(failure) => return self.failed(failure),
        };
        let Some(garbage) = there.filter(|there| is_expected_garbage(key, there, expect)) else { return Ok(Put::Conflict) };
        let all = garbage_conditions(&name, &garbage, COMPARED_BYTES_MAX);
        match self.transact(&name, all, &operation).await {
            Ok(Written::Done(number)) => Ok(Put::Done(revision(number.to_string()))),
            Ok(Written::Not(_)) => Ok(Put::Conflict),
            Err(failure) => self.failed(failure),
        }
    }

    async fn transact(&self, name: &str, mut all: Vec<Compare>, operation: &TxnOp) -> Result<Written, Failure> {
        all.push(self.marker.stands());
        let ask = Txn::new().when(all).and_then([operation.clone()]).or_else([TxnOp::get(name, None), self.marker.look()]);
        let answer = self.connections.tell(|client| txn(client, ask.clone())).await?;
        if !answer.succeeded() {
            let marker = found(&answer, 1);
            let checked = self.marker.check(marker.first().map(KeyValue::value), &self.connections.place());
            return checked.map(|()| Written::Not(first_found(&answer))).map_err(Failure::Refused);
        }
        match answer.header() {
            Some(header) => Ok(Written::Done(header.revision())),
            None => Err(Failure::Lost("the answer has no header".into())),
        }
    }

    fn failed(&self, failure: Failure) -> Result<Put, StoreError> {
        match failure {
            Failure::Lost(why) => Ok(Put::Unknown(why)),
            Failure::TooLarge => Ok(Put::Unknown("the answer is too large".into())),
            certain => Err(self.connections.error(certain)),
        }
    }
}

fn is_expected_garbage(key: &Key, there: &KeyValue, expect: &Expect) -> bool {
    let Expect::Revision(expected) = expect else { return false };
    matches!(decode(key, there), Err(StoreError::Corrupt { revision, .. }) if same_value(&revision, expected))
}
