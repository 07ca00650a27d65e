//! Where private keys come from.

use std::fmt::Debug;

use async_trait::async_trait;
use certfleet_core::secret::Secret;
use certfleet_core::spec::KeyType;

use super::{KeyError, certificate};

/// Draws private keys.
#[async_trait]
pub trait KeySource: Send + Sync + Debug {
    /// A new key, PKCS#8 PEM (RFC 5958).
    async fn draw(&self, kind: KeyType) -> Result<Secret, KeyError>;
}

/// Keys drawn by the system's randomness.
#[derive(Debug, Default)]
pub struct SystemKeys;

#[async_trait]
impl KeySource for SystemKeys {
    /// An RSA key may take seconds of computing, so it has a thread of its own.
    async fn draw(&self, kind: KeyType) -> Result<Secret, KeyError> {
        let drawn = tokio::task::spawn_blocking(move || certificate::draw(kind)).await;
        drawn.map_err(|e| KeyError::Failed(e.to_string()))?
    }
}
