//! At most one certificate comes of an attempt; none is asked for that no record announces; and a certificate's key is kept.

use std::collections::BTreeMap;

use certfleet_core::invariants::{Books, Violation, may_be_issued};
use certfleet_core::names::{CertName, Generation, SpkiHash};
use certfleet_core::records::CertRecord;

/// Which orders belong to which attempts, and what came of them.
#[derive(Debug, Default)]
pub struct Issuance {
    orders: BTreeMap<(String, SpkiHash), (CertName, Generation)>,
    books: Books,
    /// Certificates that the CA issued.
    pub count: usize,
}

impl Issuance {
    /// A record was written.
    pub fn wrote(&mut self, cert: &CertName, record: &CertRecord) {
        for attempt in record.attempt.iter().chain(&record.set_aside) {
            if let Some(order) = attempt.step.order() {
                self.orders.insert((order.to_owned(), attempt.key.clone()), (cert.clone(), attempt.number));
            }
        }
    }

    /// Whose attempt it is.
    pub fn attempt(&self, order: &str, key: &SpkiHash) -> Result<(CertName, Generation), String> {
        let found = self.orders.get(&(order.to_owned(), key.clone())).cloned();
        found.ok_or_else(|| format!("{order} is finalized with a key that no attempt with this order has"))
    }

    /// The CA took a request; `record` is the certificate's record at this moment.
    pub fn taken(&self, record: Option<&CertRecord>, key: &SpkiHash) -> Result<(), Violation> {
        may_be_issued(record, key)
    }

    /// The CA issued a certificate.
    pub fn issued(&mut self, (cert, number): &(CertName, Generation), serial: u64, key_is_kept: bool) -> Result<(), Violation> {
        self.count += 1;
        self.books.issued(cert, *number, &serial.to_string(), key_is_kept)
    }
}
