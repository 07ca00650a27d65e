//! Nonces from the operating system's randomness.

use certfleet_core::envelope::Nonce;

use crate::error::StoreError;

const NONCE_BYTES: usize = 16;

/// A nonce that no value ever had.
pub fn fresh_nonce() -> Result<Nonce, StoreError> {
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| StoreError::Away { why: format!("the operating system gives no random bytes: {e}") })?;
    Ok(Nonce::from_random(bytes))
}
