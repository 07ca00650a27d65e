//! Certificate signing requests, as other nodes make them (DER).
//!
//! Also holds: one that is taken asks for at least one name.

use certfleet_acme::inspect_csr;

/// Takes it for a request.
pub fn read(data: &[u8]) -> bool {
    let facts = inspect_csr(data);
    assert!(facts.as_ref().is_ok_and(|facts| !facts.names.is_empty()) || facts.is_err(), "a request for nothing");
    facts.is_ok()
}
