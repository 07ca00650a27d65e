//! The key of a certificate, and the request that is handed to the CA with it (RFC 2986).

use certfleet_core::names::{Identifier, SpkiHash};
use certfleet_core::secret::Secret;
use certfleet_core::spec::KeyType;
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData,
    RsaKeySize,
};
use zeroize::Zeroizing;

use super::KeyError;

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
    let failed = |e: rcgen::Error| KeyError::Failed(e.to_string());
    let key = generate(kind).map_err(failed)?;
    let texts: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let mut params = CertificateParams::new(texts).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).map_err(failed)?;
    let der = Zeroizing::new(key.serialize_der());
    Ok(KeyAndCsr { key_pem: pkcs8_pem(&der), csr_der: csr.der().to_vec(), spki: SpkiHash::of(&key.subject_public_key_info()) })
}

/// The hash of the public half of a PKCS#8 PEM.
pub fn spki_of_key(key_pem: &Secret) -> Result<SpkiHash, KeyError> {
    let text = key_pem.expose_text().ok_or_else(|| KeyError::Failed("the private key is not PEM".into()))?;
    let key = KeyPair::from_pem(text).map_err(|e| KeyError::Failed(format!("the private key cannot be read: {e}")))?;
    Ok(SpkiHash::of(&key.subject_public_key_info()))
}

fn generate(kind: KeyType) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyType::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    }
}

/// PKCS#8 DER as PEM (RFC 7468 section 10).
pub(super) fn pkcs8_pem(der: &[u8]) -> Secret {
    const LINE_CHARS: usize = 64;
    let text = Zeroizing::new(certfleet_core::encoding::base64(der));
    // Room for all of it from the start, so that growing leaves no copy behind.
    let mut pem = String::with_capacity(text.len() + text.len() / LINE_CHARS + 64);
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(LINE_CHARS) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Secret::from(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let (asked, spki, subject) = read(&made.csr_der);
            assert_eq!((asked, spki, subject.as_str()), (names.clone(), made.spki, ""), "{kind:?}");
        }
    }

    /// Names, key and subject of a CSR.
    fn read(csr: &[u8]) -> (Vec<Identifier>, SpkiHash, String) {
        use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509CertificationRequest};
        let (_, csr) = X509CertificationRequest::from_der(csr).expect("CSR");
        let info = &csr.certification_request_info;
        let san = csr.requested_extensions().expect("extensions").find_map(|extension| match extension {
            ParsedExtension::SubjectAlternativeName(san) => Some(san.general_names.clone()),
            _ => None,
        });
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress(bytes) if bytes.len() == 4 => {
                std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).expect("4")).to_string()
            }
            GeneralName::IPAddress(bytes) => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).expect("16 bytes")).to_string(),
            other => panic!("unexpected {other:?}"),
        };
        let names = san.expect("names").iter().map(|name| text(name).parse().expect("identifier")).collect();
        (names, SpkiHash::of(info.subject_pki.raw), info.subject.to_string())
    }
}
