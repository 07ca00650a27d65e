//! The one place where secrets are sealed and opened, and envelopes are made.
//!
//! In this version nothing is sealed and nothing is signed: whoever can read the store can read the keys, and access to the store is
//! membership. What is sealed or signed later, is here.

use certfleet_core::envelope::{Envelope, EnvelopeError};
use certfleet_core::names::NodeName;
use certfleet_core::secret::{SealScheme, Sealed, Secret};
use certfleet_store::{StoreError, fresh_nonce};
use serde::Serialize;

/// Why a record could not be wrapped.
#[derive(Debug, thiserror::Error)]
pub enum WrapError {
    /// No nonce.
    #[error(transparent)]
    Nonce(#[from] StoreError),
    /// The record does not fit.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}

/// Seals a secret for those who are meant to read it.
pub fn seal(secret: &Secret) -> Sealed {
    Sealed { scheme: SealScheme::None, bytes: secret.clone() }
}

/// Opens what [`seal`] made.
pub fn open(sealed: &Sealed) -> Secret {
    match sealed.scheme {
        SealScheme::None => sealed.bytes.clone(),
    }
}

/// Wraps a record that `writer` is about to write.
pub fn wrap<T: Serialize>(writer: &NodeName, record: &T) -> Result<Envelope, WrapError> {
    Ok(Envelope::new(writer.clone(), fresh_nonce()?, record)?)
}
