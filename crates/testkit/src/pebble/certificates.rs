//! The certificates of pebble's own HTTPS: a root made for this one instance, and a server certificate for its address.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The root, in the instance's directory.
pub(super) const ROOT_FILE: &str = "https-root.pem";
/// The server's certificate.
pub(super) const SERVER_FILE: &str = "https.pem";
/// The server's key.
pub(super) const SERVER_KEY_FILE: &str = "https.key";

/// Makes and writes all three.
pub(super) fn write(dir: &Path, address: Ipv4Addr) -> io::Result<()> {
    let (root, server, key) = make(address).map_err(io::Error::other)?;
    std::fs::write(dir.join(ROOT_FILE), root)?;
    std::fs::write(dir.join(SERVER_FILE), server)?;
    std::fs::write(dir.join(SERVER_KEY_FILE), key)
}

fn make(address: Ipv4Addr) -> Result<(String, String, String), rcgen::Error> {
    let root_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "pebble's own HTTPS root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let root = params.self_signed(&root_key)?;
    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(vec![address.to_string()])?.signed_by(&server_key, &Issuer::new(params, root_key))?;
    Ok((root.pem(), server.pem(), server_key.serialize_pem()))
}
