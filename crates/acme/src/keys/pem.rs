//! Private keys as PEM (RFC 7468 section 10): in constant time, and without a copy that nobody wipes.
//!
//! Deliberately not here: other private keys than PKCS#8, and texts that only resemble PEM; who takes those reads them by himself.

use certfleet_core::secret::Secret;
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

const LABEL: &str = "PRIVATE KEY";

/// PKCS#8 DER as PEM.
pub(super) fn encode(der: &[u8]) -> Secret {
    let text = pem_rfc7468::encode_string(LABEL, LineEnding::LF, der);
    Secret::from(text.expect("the label is a good one, and what is in memory is not too long to be encoded"))
}

/// The DER of the one PKCS#8 block in `text`, or why there is none.
pub(super) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let (label, der) = pem_rfc7468::decode_vec(text.as_bytes()).map_err(|e| e.to_string())?;
    let der = Zeroizing::new(der);
    if label != LABEL {
        return Err(format!("its PEM block is `{label}`"));
    }
    Ok(der)
}
