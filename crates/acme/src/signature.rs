//! Signatures on X.509 structures (RFC 5280 section 4.1.1.2, RFC 2986 section 4.2), by the algorithms that rustls takes too.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use webpki::{ALL_VERIFICATION_ALGS, RawPublicKeyEntity};
use x509_parser::x509::AlgorithmIdentifier;

/// Whether `signature` over `message` is one by the key `spki`; if not, why.
pub(crate) fn verify(spki: &[u8], algorithm: &AlgorithmIdentifier<'_>, message: &[u8], signature: &[u8]) -> Result<(), String> {
    let spki = SubjectPublicKeyInfoDer::from(spki);
    let key = RawPublicKeyEntity::try_from(&spki).map_err(|e| format!("its public key cannot be read: {e}"))?;
    let mut known = ALL_VERIFICATION_ALGS.iter().filter(|known| is_named(known.signature_alg_id().as_ref(), algorithm)).peekable();
    if known.peek().is_none() {
        return Err(format!("its signature algorithm {} is not supported", algorithm.algorithm));
    }
    // One name stands for several algorithms where the key's kind decides.
    match known.any(|known| key.verify_signature(*known, message, signature).is_ok()) {
        true => Ok(()),
        false => Err("the signature does not fit the key".into()),
    }
}

/// Whether `known`, the content of an AlgorithmIdentifier, begins with the name of `algorithm`.
fn is_named(known: &[u8], algorithm: &AlgorithmIdentifier<'_>) -> bool {
    let name = algorithm.algorithm.as_bytes();
    matches!(known, [6, length, rest @ ..] if usize::from(*length) == name.len() && rest.starts_with(name))
}
