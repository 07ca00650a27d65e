//! TLS to the server: always verified, by the system's roots or a CA of one's own, with the name or address that the URL has.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Tls;
use crate::error::StoreError;

/// What makes the connections; without TLS it is not asked.
pub(super) fn connector(tls: &Tls) -> Result<MakeRustlsConnect, StoreError> {
    let (ca, identity) = match tls {
        Tls::Off => (None, None),
        Tls::Verified { ca, identity } => (Some(ca), identity.as_ref()),
    };
    let roots = match ca {
        None => RootCertStore::empty(),
        Some(None) => system_roots()?,
        Some(Some(file)) => roots_of(file)?,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| unfit("the TLS versions", &e.to_string()))?.with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let pair = PrivateKeyDer::from_pem_file(key).map_err(|e| unfit(&key.display().to_string(), &e.to_string()))?;
            config.with_client_auth_cert(certificates(cert)?, pair).map_err(|e| unfit(&cert.display().to_string(), &e.to_string()))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn system_roots() -> Result<RootCertStore, StoreError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(unfit(
            "the system's CA certificates",
            "there are none; install them (ca-certificates) or give `ca` in the store's URL",
        ));
    }
    Ok(roots)
}

fn roots_of(file: &Path) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| unfit(&file.display().to_string(), &e.to_string()))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let shown = file.display().to_string();
    let read = CertificateDer::pem_file_iter(file).and_then(|items| items.collect::<Result<Vec<_>, _>>());
    let found = read.map_err(|e| unfit(&shown, &e.to_string()))?;
    if found.is_empty() { Err(unfit(&shown, "it holds no certificate (PEM)")) } else { Ok(found) }
}

fn unfit(what: &str, why: &str) -> StoreError {
    StoreError::NeedsOperator {
        what: format!("the postgres store's TLS cannot be set up: {what}: {why}"),
        remedy: "mend the file that the store's URL names".into(),
    }
}
