//! The key of a certificate, and the request that is handed to the CA with it (RFC 2986).

use certfleet_core::names::{Identifier, SpkiHash};
use certfleet_core::secret::Secret;
use certfleet_core::spec::KeyType;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};
use zeroize::Zeroizing;

use super::{KeyError, csr, pem};

/// A private key and a CSR made with it.
#[derive(Debug)]
pub struct KeyAndCsr {
    /// The private key, PKCS#8 PEM.
    pub key_pem: Secret,
    /// The CSR for exactly the names asked for, as subject alternative names; its subject is empty.
    pub csr_der: Vec<u8>,
    /// Hash of the public key.
    pub spki: SpkiHash,
}

/// Draws a key and makes the CSR for `names`. An RSA key may take seconds of computing: not on a thread that others wait for.
pub fn make_key_and_csr(kind: KeyType, names: &[Identifier]) -> Result<KeyAndCsr, KeyError> {
    with_csr(draw(kind)?, names)
}

/// Makes the CSR for `names` with a key that was drawn, PKCS#8 PEM.
pub fn with_csr(key_pem: Secret, names: &[Identifier]) -> Result<KeyAndCsr, KeyError> {
    let key = readable(&key_pem)?;
    let csr_der = csr::sign(&key, names).map_err(|e| KeyError::Failed(e.to_string()))?;
    let spki = SpkiHash::of(&key.subject_public_key_info());
    Ok(KeyAndCsr { key_pem, csr_der, spki })
}

/// A new key as PKCS#8 PEM.
pub(super) fn draw(kind: KeyType) -> Result<Secret, KeyError> {
    let key = Zeroizing::new(generate(kind).map_err(|e| KeyError::Failed(e.to_string()))?);
    Ok(pem::encode(key.serialized_der()))
}

/// The hash of the public half of a PKCS#8 PEM.
pub fn spki_of_key(key_pem: &Secret) -> Result<SpkiHash, KeyError> {
    Ok(SpkiHash::of(&readable(key_pem)?.subject_public_key_info()))
}

fn readable(key_pem: &Secret) -> Result<Zeroizing<KeyPair>, KeyError> {
    let text = key_pem.expose_text().ok_or_else(|| KeyError::Failed("the private key is not PEM".into()))?;
    csr::read(text).map_err(KeyError::Failed)
}

fn generate(kind: KeyType) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyType::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CsrFacts, inspect_csr};

    fn names(texts: &[&str]) -> Vec<Identifier> {
        texts.iter().map(|text| text.parse().expect("identifier")).collect()
    }

    #[test]
    fn the_csr_has_the_names_and_the_key() {
        let names = names(&["example.com", "*.example.com", "192.0.2.7", "2001:db8::7"]);
        for kind in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
            let made = make_key_and_csr(kind, &names).expect("made");
            let key = KeyPair::from_pem(made.key_pem.expose_text().expect("text")).expect("PKCS#8 PEM");
            assert_eq!(SpkiHash::of(&key.subject_public_key_info()), made.spki, "{kind:?}");
            let facts = CsrFacts { names: names.clone(), key: made.spki };
            assert_eq!(inspect_csr(&made.csr_der), Ok(facts), "{kind:?}");
        }
    }
}
