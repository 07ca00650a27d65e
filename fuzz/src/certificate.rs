//! Chains, as CAs, the store and old files have them: PEM, or one certificate in DER.
//!
//! Also holds: a chain that leads to a root has a leaf that can be read.

use certfleet_acme::{Roots, verify_chain};
use certfleet_core::time::Timestamp;
use certfleet_core::x509::Leaf;

/// The chain that the tests of core read; its last certificate is a root.
const KNOWN: &str = include_str!("../../crates/core/src/fixtures/chain.pem");
/// While it is valid: 2027-01-15.
const AT_SECONDS: i64 = 1_800_000_000;

/// Takes it for a chain.
pub fn read(data: &[u8]) -> bool {
    let der = Leaf::from_der(data).is_ok();
    let Ok(text) = std::str::from_utf8(data) else { return der };
    let at = Timestamp::from_second(AT_SECONDS).expect("2027");
    let leaf = Leaf::from_pem(text);
    let known = Roots::from_pem(KNOWN).expect("certificates that the tests of core read");
    for roots in [Roots::none(), known].into_iter().chain(Roots::from_pem(text)) {
        assert!(verify_chain(text, &roots, at).is_err() || leaf.is_ok(), "a chain without a leaf");
    }
    der || leaf.is_ok()
}
