//! Private keys from a seed.

use std::sync::Mutex;

use async_trait::async_trait;
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use certfleet_acme::{KeyError, KeySource};
use certfleet_core::secret::Secret;
use certfleet_core::spec::KeyType;
use rcgen::KeyPair;

use crate::draw::Draw;

/// PKCS#8 (RFC 5958) of a P-256 key: what stands before its private half, and between its halves (RFC 5915).
const BEFORE_PRIVATE: &[u8] = b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
const BEFORE_PUBLIC: &[u8] = b"\xa1\x44\x03\x42\x00";

/// Draws P-256 keys, whatever kind is asked for: what a key can do makes no difference to a fleet.
#[derive(Debug)]
pub struct DrawnKeys(Mutex<Draw>);

impl DrawnKeys {
    /// From this sequence.
    pub fn new(draw: Draw) -> Self {
        Self(Mutex::new(draw))
    }
}

#[async_trait]
impl KeySource for DrawnKeys {
    async fn draw(&self, _: KeyType) -> Result<Secret, KeyError> {
        let mut private = [0; 32];
        self.0.lock().expect("nobody panics while drawing").fill(&mut private);
        // Below the order of the curve.
        private[0] &= 0x7f;
        pem(&private).map_err(KeyError::Failed)
    }
}

fn pem(private: &[u8; 32]) -> Result<Secret, String> {
    let key = PrivateKey::from_private_key(&ECDH_P256, private).map_err(|error| error.to_string())?;
    let public = key.compute_public_key().map_err(|error| error.to_string())?;
    let der = [BEFORE_PRIVATE, private, BEFORE_PUBLIC, public.as_ref()].concat();
    let key = KeyPair::try_from(der.as_slice()).map_err(|error| error.to_string())?;
    Ok(Secret::new(key.serialize_pem().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_sequence_gives_the_same_keys() {
        let hash = async |seed| {
            let key = DrawnKeys::new(Draw::new(seed)).draw(KeyType::Rsa4096).await.expect("a key");
            certfleet_acme::spki_of_key(&key).expect("a key that can be used")
        };
        assert_eq!(hash(1).await, hash(1).await);
        assert_ne!(hash(1).await, hash(2).await);
    }
}
