//! Reading: linearizable, so no handle is ever behind.

use certfleet_core::key::Key;
use etcd_client::{GetOptions, KeyValue, Txn, TxnOp, TxnResponse};

use super::EtcdStore;
use super::answers::{Failure, first_found, found, has_more, txn};
use super::value::decode;
use crate::contract::{Listing, Stored, Unreadable};
use crate::error::StoreError;

/// How many values are asked for at once; less, if they are large.
const PAGE_KEYS_MAX: i64 = 512;
/// By how much a page is made smaller.
const PAGE_PART: i64 = 8;

impl EtcdStore {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let ask = self.look(TxnOp::get(self.names.of(key), None));
        let answer = self.connections.ask(|client| txn(client, ask.clone())).await?;
        self.stands(&answer)?;
        first_found(&answer).map(|found| decode(key, &found)).transpose()
    }

    pub(super) async fn read_all(&self, prefix: &str) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let (first, behind) = self.names.range(prefix);
        let mut first = first.into_bytes();
        loop {
            let (page, more) = self.page(&first, behind.as_bytes()).await?;
            let last = page.last().map(|found| found.key().to_vec());
            for found in page {
                self.add(&mut listing, prefix, &found)?;
            }
            match last {
                // The next name in the order of bytes.
                Some(last) if more => first = [last, vec![0]].concat(),
                _ => break,
            }
        }
        Ok(listing)
    }

    /// The values from `first` on, and whether there are more.
    async fn page(&self, first: &[u8], behind: &[u8]) -> Result<(Vec<KeyValue>, bool), StoreError> {
        let mut keys_max = PAGE_KEYS_MAX;
        loop {
            let options = GetOptions::new().with_range(behind).with_limit(keys_max);
            let ask = self.look(TxnOp::get(first, Some(options)));
            match self.connections.try_ask(|client| txn(client, ask.clone())).await {
                Ok(answer) => {
                    self.stands(&answer)?;
                    return Ok((found(&answer, 0), has_more(&answer)));
                }
                Err(Failure::TooLarge) if keys_max > 1 => keys_max = (keys_max / PAGE_PART).max(1),
                Err(failure) => return Err(self.connections.error(failure)),
            }
        }
    }

    fn add(&self, listing: &mut Listing, prefix: &str, found: &KeyValue) -> Result<(), StoreError> {
        match self.names.key(found.key()) {
            Ok(key) if key.is_under(prefix) => listing.add(&key, decode(&key, found).map(Some)),
            Ok(_) => Ok(()),
            Err(key) => {
                listing.unreadable.push(Unreadable { key, why: "it is no key of certfleet's".into(), revision: None });
                Ok(())
            }
        }
    }

    /// Looks, in the store that was opened.
    fn look(&self, operation: TxnOp) -> Txn {
        Txn::new().when([self.marker.stands()]).and_then([operation]).or_else([self.marker.look()])
    }

    /// Fails if what was looked at is another store.
    fn stands(&self, answer: &TxnResponse) -> Result<(), StoreError> {
        if answer.succeeded() {
            return Ok(());
        }
        self.marker.check(first_found(answer).as_ref().map(KeyValue::value), &self.connections.place())
    }
}
