//! Certificates that the rest takes for good: signed by an intermediate, short and well-formed.

use std::sync::OnceLock;
use std::time::Duration;

use certfleet_core::names::Identifier;
use certfleet_core::time::{Timestamp, later};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber,
};

struct Intermediate {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// One for all worlds: nothing of it stands in a history.
fn intermediate() -> &'static Intermediate {
    static MADE: OnceLock<Intermediate> = OnceLock::new();
    MADE.get_or_init(|| {
        let (root_key, key) = (generate(), generate());
        let (root, params) = (ca_params("Simulated Root"), ca_params("Simulated Intermediate"));
        let root = Issuer::new(root, root_key);
        let certificate = params.signed_by(&key, &root).expect("the parameters are fixed");
        Intermediate { issuer: Issuer::new(params, key), pem: certificate.pem() }
    })
}

fn generate() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CommonName, name);
    full
}

/// The chain for a request, leaf first, PEM. The request was looked at before.
pub(super) fn chain(names: &[Identifier], csr: &[u8], serial: u64, now: Timestamp, lifetime: Duration) -> String {
    let intermediate = intermediate();
    let texts: Vec<String> = names.iter().map(|name| name.as_str().to_owned()).collect();
    let mut params = CertificateParams::new(texts).expect("names that were looked at");
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(serial));
    let moment = |stamp: Timestamp| std::time::SystemTime::from(stamp).into();
    (params.not_before, params.not_after) = (moment(now), moment(later(now, lifetime)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let request = CertificateSigningRequestParams::from_der(&csr.into()).expect("a request that was looked at");
    let leaf = params.signed_by(&request.public_key, &intermediate.issuer).expect("a key that was looked at");
    format!("{}{}", leaf.pem(), intermediate.pem)
}
