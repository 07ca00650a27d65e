//! Every compare-and-swap of a certificate's record is a step that the design allows, and a number is used once.

use certfleet_core::envelope::Envelope;
use certfleet_core::invariants::{Books, Violation, record_step};
use certfleet_core::names::CertName;
use certfleet_core::records::CertRecord;

/// What has been written so far.
#[derive(Debug, Default)]
pub struct Records {
    books: Books,
}

impl Records {
    /// A write took place. `is_over`: whether the CA has said its last word about an order.
    pub fn wrote(
        &mut self,
        cert: &CertName,
        before: Option<&Envelope>,
        after: &CertRecord,
        is_over: impl FnMut(&str) -> bool,
    ) -> Result<(), Violation> {
        let before = before.and_then(|envelope| envelope.record::<CertRecord>().ok());
        record_step(before.as_ref(), after, is_over)?;
        after.attempt.iter().try_for_each(|attempt| self.books.attempt(cert, attempt))
    }
}
