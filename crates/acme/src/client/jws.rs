//! Signed messages (RFC 7515, flattened JSON; RFC 8555 section 6.2) that the ACME library cannot make: ES256 by an account key.
//!
//! Deliberately not here: nonces, sending.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use certfleet_core::ca::CaError;
use certfleet_core::encoding::base64url;
use serde_json::{Value, json};

use crate::keys::{AccountKey, jwk};

/// An account key that is ready to sign.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl Signer {
    pub fn new(key: &AccountKey) -> Result<Self, CaError> {
        let unusable = |what: String| CaError::Malformed(format!("the account key cannot sign: {what}"));
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.pkcs8().expose()).map_err(|e| unusable(e.to_string()))?;
        let jwk = jwk(pair.public_key().as_ref()).map_err(|e| unusable(e.to_string()))?;
        Ok(Self { jwk: serde_json::from_str(&jwk).map_err(|e| unusable(e.to_string()))?, pair })
    }

    /// The public half (RFC 7517).
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Signs `payload` under `protected`, which gets its `alg` here.
    pub fn sign(&self, mut protected: Value, payload: &Value) -> Result<Value, CaError> {
        protected["alg"] = "ES256".into();
        let (protected, payload) = (base64url(protected.to_string().as_bytes()), base64url(payload.to_string().as_bytes()));
        let signature = self.pair.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes());
        let signature = signature.map_err(|_| CaError::Malformed("the account key cannot sign".into()))?;
        Ok(json!({ "protected": protected, "payload": payload, "signature": base64url(signature.as_ref()) }))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use certfleet_core::encoding::from_base64url;

    use super::*;

    #[test]
    fn a_message_verifies_by_the_jwk_and_by_no_other() {
        let [signer, other] = [(); 2].map(|()| Signer::new(&AccountKey::generate().expect("key")).expect("signer"));
        let message = signer.sign(json!({ "url": "https://ca.example/x" }), &json!({ "a": 1 })).expect("signs");
        let part = |name: &str| message[name].as_str().expect("text").to_owned();
        let decoded = |name: &str| from_base64url(&part(name)).expect("base64url");
        let header: Value = serde_json::from_slice(&decoded("protected")).expect("JSON");
        assert_eq!(header, json!({ "alg": "ES256", "url": "https://ca.example/x" }));
        assert_eq!(decoded("payload"), br#"{"a":1}"#);
        let signed = format!("{}.{}", part("protected"), part("payload"));
        let verifies = |jwk: &Value| {
            let coordinate = |name: &str| from_base64url(jwk[name].as_str().expect("text")).expect("base64url");
            let point = [vec![4], coordinate("x"), coordinate("y")].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &decoded("signature")).is_ok()
        };
        assert!(verifies(signer.jwk()) && !verifies(other.jwk()));
        assert_eq!((&signer.jwk()["kty"], &signer.jwk()["crv"]), (&json!("EC"), &json!("P-256")));
    }
}
