//! Reading certificates (RFC 5280): what a leaf says, as values.

use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::names::{Fingerprint, Identifier, SpkiHash};
use crate::time::Timestamp;

/// Longest chain that is read, in bytes.
pub const CHAIN_BYTES_MAX: usize = 256 * 1024;

/// What a leaf certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Subject alternative names; those that are no DNS name or IP address are left out.
    pub names: Vec<Identifier>,
    /// The serial number, lower-case hex.
    pub serial: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Hash of the public key.
    pub key: SpkiHash,
    /// Hash of the whole certificate.
    pub fingerprint: Fingerprint,
    /// Whether it names itself as its issuer.
    pub self_signed: bool,
}

/// Bytes that are not a certificate chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate chain: {0}")]
pub struct ChainError(String);

impl Leaf {
    /// Reads the first certificate of a PEM chain.
    pub fn from_pem(chain: &str) -> Result<Self, ChainError> {
        let first = certificates(chain)?.into_iter().next().ok_or_else(|| ChainError("no CERTIFICATE block in it".into()))?;
        Self::from_der(&first)
    }

    /// Reads one certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, ChainError> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|e| ChainError(e.to_string()))?;
        if !rest.is_empty() {
            return Err(ChainError("bytes follow the certificate".into()));
        }
        Ok(Self {
            names: names(&certificate),
            serial: serial(&certificate),
            not_before: timestamp(certificate.validity().not_before.timestamp())?,
            not_after: timestamp(certificate.validity().not_after.timestamp())?,
            key: SpkiHash::of(certificate.public_key().raw),
            fingerprint: Fingerprint::of(der),
            self_signed: certificate.issuer() == certificate.subject() && certificate.verify_self_key(),
        })
    }
}

trait SelfKey {
    fn verify_self_key(&self) -> bool;
}

impl SelfKey for X509Certificate<'_> {
    /// A self-signed leaf has no authority key identifier, or its own key's.
    fn verify_self_key(&self) -> bool {
        use x509_parser::extensions::ParsedExtension;
        let mut authority = None;
        let mut subject = None;
        for extension in self.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::AuthorityKeyIdentifier(id) => authority = id.key_identifier.as_ref().map(|k| k.0),
                ParsedExtension::SubjectKeyIdentifier(id) => subject = Some(id.0),
                _ => {}
            }
        }
        authority.is_none() || authority == subject
    }
}

/// The DER certificates of a PEM text, in order. Other blocks are passed over.
pub fn certificates(chain: &str) -> Result<Vec<Vec<u8>>, ChainError> {
    if chain.len() > CHAIN_BYTES_MAX {
        return Err(ChainError(format!("{} bytes, more than {CHAIN_BYTES_MAX}", chain.len())));
    }
    let mut found = Vec::new();
    for block in Pem::iter_from_buffer(chain.as_bytes()) {
        let block = block.map_err(|e| ChainError(e.to_string()))?;
        if block.label == "CERTIFICATE" {
            found.push(block.contents);
        }
    }
    Ok(found)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Identifier> {
    let Ok(Some(san)) = certificate.subject_alternative_name() else { return Vec::new() };
    san.value.general_names.iter().filter_map(identifier).collect()
}

fn identifier(name: &GeneralName<'_>) -> Option<Identifier> {
    match name {
        GeneralName::DNSName(name) => name.parse().ok(),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string().parse().ok(),
            16 => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

fn serial(certificate: &X509Certificate<'_>) -> String {
    let bytes = certificate.raw_serial();
    let start = if bytes.len() > 1 && bytes[0] == 0 { 1 } else { 0 };
    crate::hash::hex(&bytes[start..])
}

fn timestamp(seconds: i64) -> Result<Timestamp, ChainError> {
    Timestamp::from_second(seconds).map_err(|e| ChainError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A leaf under a test CA, and the CA; made with `openssl x509 -req -set_serial 0x80ab01`.
    const CHAIN: &str = include_str!("fixtures/chain.pem");
    /// Made with `openssl req -x509`, same key as the leaf.
    const SELF_SIGNED: &str = include_str!("fixtures/self_signed.pem");

    #[test]
    fn a_leaf_says_what_openssl_says() {
        let leaf = Leaf::from_pem(CHAIN).expect("reads");
        let names: Vec<&str> = leaf.names.iter().map(Identifier::as_str).collect();
        assert_eq!(names, ["example.com", "*.example.com", "192.0.2.7", "2001:db8::7"]);
        assert_eq!(leaf.serial, "80ab01");
        assert_eq!(leaf.not_before.to_string(), "2026-11-21T00:51:42Z");
        assert_eq!(leaf.not_after.to_string(), "2126-10-28T00:51:42Z");
        assert_eq!(leaf.key.as_str(), "1920626c6df9eb23b14c8c9e472ce3f0b46781db124ac2dca99d4001212d1254");
        assert_eq!(leaf.fingerprint.as_str(), "d78871a146d838afa50622daf7daab50586c5a068ff8428a71bf22abefa56245");
        assert!(!leaf.self_signed);
        assert_eq!(certificates(CHAIN).expect("reads").len(), 2);
    }

    #[test]
    fn a_self_signed_certificate_is_known_by_its_key() {
        let own = Leaf::from_pem(SELF_SIGNED).expect("reads");
        assert!(own.self_signed);
        assert_eq!(own.key, Leaf::from_pem(CHAIN).expect("reads").key);
    }

    #[test]
    fn garbage_is_no_chain() {
        let cut = &CHAIN[..CHAIN.len() / 4];
        let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        let other = CHAIN.replace("CERTIFICATE", "PRIVATE KEY");
        for bad in ["", "hello", cut, &block(""), &block("AAAA"), &block("!!"), &other, &" ".repeat(CHAIN_BYTES_MAX + 1)] {
            assert!(Leaf::from_pem(bad).is_err(), "{:.60}", bad);
        }
        let mut der = certificates(CHAIN).expect("reads").remove(0);
        der.push(0);
        assert!(Leaf::from_der(&der).is_err(), "bytes follow it");
    }

    #[test]
    fn no_cut_or_flipped_byte_panics() {
        let der = certificates(CHAIN).expect("reads").remove(0);
        for index in 0..der.len() {
            let mut flipped = der.clone();
            flipped[index] ^= 0x55;
            let _ = Leaf::from_der(&flipped);
            assert!(Leaf::from_der(&der[..index]).is_err(), "cut at {index}");
        }
    }
}
