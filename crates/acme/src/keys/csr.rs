//! Requests that travel: made where the key is, looked at where the order is driven (RFC 2986).
//!
//! Always holds: whoever takes a CSR for what [`inspect_csr`] says of it hands the CA nothing else: names in one place only, no other wish.
//!
//! Deliberately not here: which names and which key are right.

use certfleet_core::names::{Identifier, SpkiHash};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::der_parser::asn1_rs::Header;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::prelude::{FromDer, X509Version};
use zeroize::Zeroizing;

use super::pem;

/// Largest CSR that is looked at, in bytes: a hundred names of full length and an RSA key.
pub const CSR_BYTES_MAX: usize = 32 * 1024;

/// What a CSR says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsrFacts {
    /// The subject alternative names, in the order in which they stand there.
    pub names: Vec<Identifier>,
    /// Hash of the public key, whose private half signed the CSR.
    pub key: SpkiHash,
}

/// Why there is no CSR, or none that is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// No request can be signed with this key.
    #[error("no CSR can be made: {0}; a key in PKCS#8 PEM is wanted, ECDSA P-256, ECDSA P-384 or RSA")]
    Unsignable(String),
    /// Larger than [`CSR_BYTES_MAX`].
    #[error("a CSR of {0} bytes is too large: {CSR_BYTES_MAX} are enough for any certificate")]
    TooLarge(usize),
    /// Not the DER of a request.
    #[error("not a CSR (RFC 2986): {0}")]
    Unreadable(String),
    /// Whoever made it does not have the private key.
    #[error("the CSR is not signed with its own key: {0}")]
    NotSigned(String),
    /// It asks for something that no certificate here has.
    #[error("the CSR asks for what is not given here: {0}; make one for DNS names and IP addresses alone")]
    Unwanted(String),
}

/// Makes the CSR for exactly `names`, as subject alternative names under an empty subject, with a key that exists already (PKCS#8 PEM).
pub fn csr_with_key(key_pem: &str, names: &[Identifier]) -> Result<Vec<u8>, CsrError> {
    let key = read(key_pem).map_err(CsrError::Unsignable)?;
    if ![&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256].contains(&key.algorithm()) {
        return Err(CsrError::Unsignable("the key is of another kind".into()));
    }
    sign(&key, names).map_err(|e| CsrError::Unsignable(e.to_string()))
}

/// Reads a private key in PKCS#8 PEM.
pub(super) fn read(key_pem: &str) -> Result<Zeroizing<KeyPair>, String> {
    let der = pem::decode(key_pem).map_err(|why| format!("the private key cannot be read: {why}"))?;
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(der.as_slice()));
    key.map(Zeroizing::new).map_err(|e| format!("the private key cannot be read: {e}"))
}

pub(super) fn sign(key: &KeyPair, names: &[Identifier]) -> Result<Vec<u8>, rcgen::Error> {
    let texts: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let mut params = CertificateParams::new(texts)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// Looks at a CSR that somebody else made: that its key signed it, and that it asks for names alone.
pub fn inspect_csr(der: &[u8]) -> Result<CsrFacts, CsrError> {
    if der.len() > CSR_BYTES_MAX {
        return Err(CsrError::TooLarge(der.len()));
    }
    let (rest, csr) = X509CertificationRequest::from_der(der).map_err(|e| CsrError::Unreadable(e.to_string()))?;
    let info = &csr.certification_request_info;
    if !rest.is_empty() || info.version != X509Version::V1 {
        return Err(CsrError::Unreadable("it is of another version, or bytes follow it".into()));
    }
    let spki = info.subject_pki.raw;
    crate::signature::verify(spki, &csr.signature_algorithm, info.raw, &csr.signature_value.data).map_err(CsrError::NotSigned)?;
    let names = names(extensions(&csr)?)?;
    for subject in info.subject.iter_common_name() {
        let text = subject.as_str().map_err(|e| CsrError::Unreadable(e.to_string()))?;
        if !text.is_empty() && !text.parse().is_ok_and(|name| names.contains(&name)) {
            return Err(CsrError::Unwanted(format!("the common name {text:?}, which is none of its names")));
        }
    }
    Ok(CsrFacts { names, key: SpkiHash::of(spki) })
}

/// The requested extensions: in the one attribute, which has one value, and nothing beside it where another reader might find more.
fn extensions<'a>(csr: &'a X509CertificationRequest<'_>) -> Result<&'a [X509Extension<'a>], CsrError> {
    let info = &csr.certification_request_info;
    let [attribute] = info.attributes() else {
        return Err(CsrError::Unwanted(format!("{} attributes instead of the one with the names", info.attributes().len())));
    };
    let ParsedCriAttribute::ExtensionRequest(request) = attribute.parsed_attribute() else {
        return Err(CsrError::Unwanted(format!("the attribute {}", attribute.oid)));
    };
    let (content, set) = Header::from_der(attribute.value).map_err(|e| CsrError::Unreadable(e.to_string()))?;
    let is_last = attribute.value.as_ptr_range().end == info.raw.as_ptr_range().end;
    match is_last && set.length().definite().is_ok_and(|length| length == content.len()) {
        true => Ok(&request.extensions),
        false => Err(CsrError::Unreadable("something follows its extensions".into())),
    }
}

fn names(extensions: &[X509Extension<'_>]) -> Result<Vec<Identifier>, CsrError> {
    let mut found = None;
    for extension in extensions {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) if found.is_none() => {
                found = Some(san.general_names.iter().map(identifier).collect::<Result<Vec<_>, _>>()?);
            }
            ParsedExtension::BasicConstraints(constraints) if !constraints.ca => {}
            ParsedExtension::BasicConstraints(_) => return Err(CsrError::Unwanted("to be a CA".into())),
            ParsedExtension::KeyUsage(usage) if !usage.key_cert_sign() && !usage.crl_sign() => {}
            ParsedExtension::ExtendedKeyUsage(_) => {}
            _ => return Err(CsrError::Unwanted(format!("the extension {}", extension.oid))),
        }
    }
    let found = found.filter(|names| !names.is_empty());
    found.ok_or_else(|| CsrError::Unwanted("no subject alternative name at all".into()))
}

/// A name that can be read in one way only: nothing is corrected but the case.
fn identifier(name: &GeneralName<'_>) -> Result<Identifier, CsrError> {
    let unwanted = || CsrError::Unwanted(format!("the name {name}"));
    match name {
        GeneralName::DNSName(text) => {
            let name: Identifier = text.parse().map_err(|_| unwanted())?;
            Some(name).filter(|name| name.ip().is_none() && name.as_str().eq_ignore_ascii_case(text)).ok_or_else(unwanted)
        }
        GeneralName::IPAddress(bytes) => address(bytes).and_then(|ip| ip.to_string().parse().ok()).ok_or_else(unwanted),
        _ => Err(unwanted()),
    }
}

fn address(bytes: &[u8]) -> Option<std::net::IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(Into::into);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(Into::into)).ok()
}

#[cfg(test)]
mod tests;
