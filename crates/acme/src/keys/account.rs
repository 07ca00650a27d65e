//! The key of an ACME account: ECDSA on P-256, kept as PKCS#8.

use std::fmt;

use certfleet_core::encoding::base64url;
use certfleet_core::secret::Secret;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KeyError;

/// Bytes of an uncompressed P-256 point: 4, x, y.
const POINT_BYTES: usize = 65;

/// The key of an ACME account.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountKey {
    pkcs8: Secret,
    thumbprint: String,
}

impl AccountKey {
    /// Draws a new key.
    pub fn generate() -> Result<Self, KeyError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| KeyError::Failed(e.to_string()))?;
        Self::from_pkcs8(&Secret::new(Zeroizing::new(key).serialize_der()))
    }

    /// Reads PKCS#8 DER.
    pub fn from_pkcs8(pkcs8: &Secret) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from(pkcs8.expose());
        let key = Zeroizing::new(KeyPair::try_from(&der).map_err(|e| KeyError::Unreadable(e.to_string()))?);
        kind_is_p256(&key)?;
        Ok(Self { pkcs8: pkcs8.clone(), thumbprint: base64url(&Sha256::digest(jwk(key.der_bytes())?)) })
    }

    /// Reads the first private key of a PEM text: PKCS#8, or SEC 1 as `openssl ecparam` and many ACME clients write it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        // The usual form, by the reader that leaves no copy behind.
        if let Ok(der) = super::pem::decode(pem) {
            return Self::from_pkcs8(&Secret::new(der.to_vec()));
        }
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| KeyError::Unreadable(e.to_string()))?;
        match &*Zeroizing::new(key) {
            PrivateKeyDer::Pkcs8(der) => Self::from_pkcs8(&Secret::new(der.secret_pkcs8_der().to_vec())),
            PrivateKeyDer::Sec1(der) => Self::from_sec1(der.secret_sec1_der()),
            _ => Err(KeyError::WrongKind("RSA")),
        }
    }

    fn from_sec1(sec1: &[u8]) -> Result<Self, KeyError> {
        let key = KeyPair::try_from(&PrivateKeyDer::Sec1(sec1.into())).map_err(|e| KeyError::Unreadable(e.to_string()))?;
        let key = Zeroizing::new(key);
        kind_is_p256(&key)?;
        Self::from_pkcs8(&Secret::new(pkcs8_around(sec1)?))
    }

    /// The key as PKCS#8 PEM.
    pub fn to_pem(&self) -> Secret {
        super::pem::encode(self.pkcs8.expose())
    }

    /// The key as PKCS#8 DER.
    pub fn pkcs8(&self) -> &Secret {
        &self.pkcs8
    }

    /// The JWK thumbprint (RFC 7638), which key authorizations end with.
    pub fn thumbprint(&self) -> String {
        self.thumbprint.clone()
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({}, [secret])", self.thumbprint)
    }
}

fn kind_is_p256(key: &KeyPair) -> Result<(), KeyError> {
    let kinds = [(&PKCS_RSA_SHA256, "RSA"), (&PKCS_ECDSA_P384_SHA384, "ECDSA P-384"), (&PKCS_ED25519, "Ed25519")];
    if key.algorithm() == &PKCS_ECDSA_P256_SHA256 {
        return Ok(());
    }
    let known = kinds.iter().find(|(algorithm, _)| key.algorithm() == *algorithm);
    Err(KeyError::WrongKind(known.map_or("other kind of", |(_, name)| name)))
}

/// The JWK of a point (RFC 7517) as its thumbprint is made of it (RFC 7638 section 3.2): members in the order of the alphabet, no spaces.
pub(crate) fn jwk(point: &[u8]) -> Result<String, KeyError> {
    let (Some((4, coordinates)), POINT_BYTES) = (point.split_first(), point.len()) else {
        return Err(KeyError::Unreadable("its public half is not an uncompressed point".into()));
    };
    let (x, y) = coordinates.split_at(POINT_BYTES / 2);
    Ok(format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, base64url(x), base64url(y)))
}

/// SEC 1 in PKCS#8 (RFC 5958, RFC 5915): version 0, `id-ecPublicKey` with `prime256v1`, the key.
fn pkcs8_around(sec1: &[u8]) -> Result<Vec<u8>, KeyError> {
    const VERSION_AND_ALGORITHM: &[u8] = &[
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
        0x01, 0x07,
    ];
    let octets = der(0x04, sec1)?;
    let content = Zeroizing::new([VERSION_AND_ALGORITHM, &octets].concat());
    der(0x30, &content).map(|outer| outer.to_vec())
}

/// Tag, length, content; as much as a P-256 key needs.
fn der(tag: u8, content: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let length = u8::try_from(content.len()).map_err(|_| KeyError::Unreadable("it is too long for a P-256 key".into()))?;
    let head: &[u8] = if length < 0x80 { &[tag, length] } else { &[tag, 0x81, length] };
    Ok(Zeroizing::new([head, content].concat()))
}

#[cfg(test)]
mod tests;
