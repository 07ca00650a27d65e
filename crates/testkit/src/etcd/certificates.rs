//! The certificates of a cluster with TLS: a root, one server certificate for all members, one for a client.

use std::fs::Permissions;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Makes and writes all of them.
pub(super) fn write(dir: &Path, members: &[IpAddr]) -> io::Result<()> {
    let root = root().map_err(io::Error::other)?;
    std::fs::write(dir.join("ca.pem"), &root.1)?;
    let names = members.iter().map(IpAddr::to_string).collect();
    for (name, names) in [("server", names), ("client", Vec::new())] {
        let (certificate, key) = signed(&root.0, name, names).map_err(io::Error::other)?;
        std::fs::write(dir.join(format!("{name}.pem")), certificate)?;
        let file = dir.join(format!("{name}.key"));
        std::fs::write(&file, key)?;
        std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn root() -> Result<(Issuer<'static, KeyPair>, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "etcd's own root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn signed(root: &Issuer<'static, KeyPair>, name: &str, names: Vec<String>) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok((params.signed_by(&key, root)?.pem(), key.serialize_pem()))
}
