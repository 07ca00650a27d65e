//! The self-signed certificate that lets a web server start before there is a real one.
//!
//! It names itself in issuer and subject, and is never reported as anything: `verified` compares fingerprints with the real one.

use std::time::{Duration, SystemTime};

use certfleet_core::names::{CertName, Identifier};
use certfleet_core::secret::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::material::DeployError;

/// What stands as organization in issuer and subject.
pub(crate) const STAND_IN: &str = "certfleet stand-in";
/// How long it is valid, in days.
const VALID_DAYS: u64 = 7;
const DAY: Duration = Duration::from_secs(86_400);

/// A chain of one, and its key (PKCS#8), both PEM.
pub(crate) fn make(cert: &CertName, names: &[Identifier]) -> Result<(String, Secret), DeployError> {
    sign(names).map_err(|e| DeployError::StandIn(cert.clone(), e.to_string()))
}

fn sign(names: &[Identifier]) -> Result<(String, Secret), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, STAND_IN);
    let now = SystemTime::now();
    // A day back: clocks of machines that have just started are off.
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * VALID_DAYS as u32).into();
    let pem = params.self_signed(&key)?.pem();
    Ok((pem, Secret::from(key.serialize_pem())))
}

#[cfg(test)]
mod tests {
    use certfleet_core::x509::Leaf;

    use super::*;

    #[test]
    fn it_is_for_all_names_and_known_as_what_it_is() {
        let names: Vec<Identifier> = ["*.example.com", "example.com", "192.0.2.7"].map(|name| name.parse().expect(name)).into();
        let (chain, key) = make(&"example.com".parse().expect("name"), &names).expect("made");
        let leaf = Leaf::from_pem(&chain).expect("a certificate");
        assert_eq!((leaf.names, leaf.self_signed), (names, true));
        assert!(key.expose_text().expect("text").contains("BEGIN PRIVATE KEY"));
    }
}
