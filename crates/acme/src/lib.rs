//! The CA client and challenge solvers of certfleet.
//!
//! [`CertificateAuthority`] is what the rest of certfleet knows of a CA; [`Client`] is the one over HTTPS. The messages and their signatures
//! (RFC 8555) are instant-acme's, but for the change of an account key; here is what a fleet needs around them: time-outs, bounds, what a
//! refusal means, and that two nodes can go through the same order.
//!
//! What nodes hand to each other around that is looked at here too: CSRs ([`inspect_csr`]) and chains ([`verify_chain`]).
//!
//! Always holds: nothing is decided or repeated here, but for rejected nonces. A call that finds that another node was faster says `Ok`; its
//! caller looks at the order again.
//!
//! Deliberately not here: when to order, backing off, rate limits (core); serving answers (edge); storing anything.

mod authority;
mod chain;
mod client;
pub mod conformance;
mod keys;
mod signature;
pub mod solvers;

pub use authority::{AccountRef, CertificateAuthority};
pub use chain::{CHAIN_CERTIFICATES_MAX, ChainError, ROOTS_BYTES_MAX, Roots, RootsError, verify_chain};
pub use client::Client;
#[cfg(fuzzing)]
pub use client::ScriptedAnswer;
pub use keys::{
    AccountKey, CSR_BYTES_MAX, CsrError, CsrFacts, KeyAndCsr, KeyError, KeySource, SystemKeys, csr_with_key, inspect_csr, make_key_and_csr,
    spki_of_key, with_csr,
};
