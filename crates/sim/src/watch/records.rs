//! Every compare-and-swap of a certificate's record is a step that the design allows, and a number is used once.

use std::collections::BTreeMap;

use certfleet_core::envelope::Envelope;
use certfleet_core::invariants::{Books, Violation, record_step};
use certfleet_core::names::CertName;
use certfleet_core::records::CertRecord;

/// What has been written so far.
#[derive(Debug, Default)]
pub struct Records {
    books: BTreeMap<CertName, Books>,
    /// What a member wrote last.
    counted: BTreeMap<CertName, CertRecord>,
}

impl Records {
    /// A member wrote. What stood there before it may be by somebody who was removed, and does not count. `is_over`: whether the CA has said its
    /// last word about an order.
    pub fn wrote(
        &mut self,
        cert: &CertName,
        (before, counts): (Option<&Envelope>, bool),
        after: &CertRecord,
        is_over: impl FnMut(&str) -> bool,
    ) -> Result<(), Violation> {
        let counted = self.counted.insert(cert.clone(), after.clone());
        let before = if counts { before.and_then(|envelope| envelope.record::<CertRecord>().ok()) } else { counted };
        record_step(before.as_ref(), after, is_over)?;
        let books = self.books.entry(cert.clone()).or_default();
        after.attempt.iter().try_for_each(|attempt| books.attempt(cert, attempt))
    }

    /// The engine lost a write of this record: a number that only that write said may come again. Those before it are still in the record.
    pub fn lost(&mut self, cert: &CertName) {
        self.books.remove(cert);
        self.counted.remove(cert);
    }
}
