//! A CA of the test's own.

use certfleet_core::names::Generation;
use certfleet_core::secret::Secret;
use certfleet_deploy::Material;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;

pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("self-signed");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate called after its only name, placed on node `lb0`.
    pub fn issue(&self, name: &str, generation: u64) -> Material {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let leaf = params.signed_by(&key, &self.issuer).expect("signed");
        let chain = format!("{}\n{}", leaf.pem(), self.certificate.pem());
        let cert = certfleet_core::names::CertName::from_identifier(&name.parse().expect("an identifier"));
        let key = Secret::from(key.serialize_pem());
        Material::new(cert, "lb0".parse().expect("a node"), Generation(generation), chain, key).expect("a chain")
    }

    /// One that no server can take: its key is another's.
    pub fn issue_with_wrong_key(&self, name: &str, generation: u64) -> Material {
        let key_pem = Secret::from(KeyPair::generate().expect("a key").serialize_pem());
        Material { key_pem, ..self.issue(name, generation) }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a root");
        roots
    }
}
