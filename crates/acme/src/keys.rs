//! Account keys and certificate keys.
//!
//! Always holds: a private key is in a [`Secret`](certfleet_core::secret::Secret) and never prints; what the libraries take and give is wiped
//! after use. What they keep inside is theirs: aws-lc wipes all that it frees.

mod account;
mod certificate;
mod csr;
mod pem;
mod source;

pub use account::AccountKey;
pub(crate) use account::jwk;
pub use certificate::{KeyAndCsr, make_key_and_csr, spki_of_key, with_csr};
pub use csr::{CSR_BYTES_MAX, CsrError, CsrFacts, csr_with_key, inspect_csr};
pub use source::{KeySource, SystemKeys};

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key could be read from what was given.
    #[error("not a private key: {0}; a PEM block `PRIVATE KEY` (PKCS#8) or `EC PRIVATE KEY` is wanted")]
    Unreadable(String),
    /// A key of a kind that ACME allows, but not this client.
    #[error("this is an {0} key; account keys are ECDSA P-256 here: make a new account, or roll the old account's key over to P-256 first")]
    WrongKind(&'static str),
    /// The key or the CSR could not be made.
    #[error("the key cannot be made: {0}")]
    Failed(String),
}
