//! What the rest of certfleet knows of a CA.

use std::fmt::Debug;

use async_trait::async_trait;
use certfleet_core::ca::{CaError, OrderView};
use certfleet_core::names::Identifier;
use certfleet_core::time::Timestamp;

use crate::keys::AccountKey;

/// An account as a call needs it.
#[derive(Debug, Clone)]
pub struct AccountRef {
    /// Its URL, as [`CertificateAuthority::register`] gave it.
    pub url: String,
    /// Its key.
    pub key: AccountKey,
}

/// An ACME CA (RFC 8555).
///
/// All methods can be called at the same time and from many nodes for the same order. None remembers anything between calls that another
/// node would need.
#[async_trait]
pub trait CertificateAuthority: Send + Sync + Debug {
    /// The CA's clock, asked anew each time: the `Date` of its directory.
    async fn date(&self) -> Result<Timestamp, CaError>;

    /// The URL of this key's account, which is made if there is none (RFC 8555 section 7.3); doing it again gives the same.
    async fn register(&self, key: &AccountKey, contact: &[String], agree_tos: bool) -> Result<String, CaError>;

    /// The URL of this key's account, if there is one (RFC 8555 section 7.3.1).
    async fn find_account(&self, key: &AccountKey) -> Result<Option<String>, CaError>;

    /// Makes `new` the key of the account, in place of the one in `account` (RFC 8555 section 7.3.5). `Ok` also where the CA knows the account
    /// by `new` already, so it can be repeated after a crash at any point, by any node. A key that another account has is refused.
    async fn roll_key(&self, account: &AccountRef, new: &AccountKey) -> Result<(), CaError>;

    /// Places an order (RFC 8555 section 7.4). The CA may return one it has already, in any state.
    async fn new_order(&self, account: &AccountRef, names: &[Identifier], profile: Option<&str>) -> Result<OrderView, CaError>;

    /// The order as it is now, with its authorizations while it is pending or invalid.
    async fn order(&self, account: &AccountRef, url: &str) -> Result<OrderView, CaError>;

    /// Tells the CA that a challenge can be validated (RFC 8555 section 7.5.1). `Ok` also where it was told before: look at the order.
    async fn challenge_ready(&self, account: &AccountRef, challenge_url: &str) -> Result<(), CaError>;

    /// Hands in the CSR (RFC 8555 section 7.4). `Ok` also where the order was finalized before or is not ready: look at the order.
    async fn finalize(&self, account: &AccountRef, order_url: &str, csr_der: &[u8]) -> Result<(), CaError>;

    /// The chain of a valid order, PEM, leaf first (RFC 8555 section 7.4.2).
    async fn certificate(&self, account: &AccountRef, order_url: &str) -> Result<String, CaError>;
}
