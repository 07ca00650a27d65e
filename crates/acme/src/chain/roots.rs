//! The roots that a chain may lead to.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;

/// Largest PEM text of roots that is read, in bytes; those of a whole system are a quarter of a megabyte.
pub const ROOTS_BYTES_MAX: usize = 4 << 20;

/// What to trust.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `None`: no root is known.
    anchors: Option<Vec<TrustAnchor<'static>>>,
    /// Whose roots they are, to be read after their number.
    whose: String,
}

/// Why there are no roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// The text has none.
    #[error("not a PEM of root certificates: {0}")]
    Unreadable(String),
    /// The system has none.
    #[error("this system has no root certificates{0}: install the package `ca-certificates`, or give `root`")]
    NoneInSystem(String),
}

impl Roots {
    /// Those in a PEM text, all of which must be usable.
    pub fn from_pem(text: &str) -> Result<Self, RootsError> {
        let mut anchors = Vec::new();
        for certificate in certificates(text)? {
            let anchor = anchor_from_trusted_cert(&certificate).map_err(|error| RootsError::Unreadable(error.to_string()))?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self { anchors: Some(anchors), whose: "that were given".into() })
    }

    /// The operating system's. Reads files: not on a thread that others wait for.
    pub fn system() -> Result<Self, RootsError> {
        // A system's store may hold certificates that are not understood.
        let certificates = system_certificates()?;
        let anchors =
            certificates.iter().filter_map(|certificate| anchor_from_trusted_cert(certificate).ok()).map(|anchor| anchor.to_owned());
        Ok(Self { anchors: Some(anchors.collect()), whose: "of this system".into() })
    }

    /// No root is known: a chain is only checked in itself, up to its last certificate.
    pub fn none() -> Self {
        Self { anchors: None, whose: String::new() }
    }

    /// The same roots, called those of `place` (a file) in messages.
    pub fn of(self, place: &str) -> Self {
        Self { whose: format!("of {place}"), ..self }
    }

    pub(super) fn anchors(&self) -> Option<&[TrustAnchor<'static>]> {
        self.anchors.as_deref()
    }
}

/// For example "the 3 roots of /etc/roots.pem".
impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.anchors.as_ref().map(Vec::len) {
            None => f.write_str("no roots"),
            Some(1) => write!(f, "the 1 root {}", self.whose),
            Some(count) => write!(f, "the {count} roots {}", self.whose),
        }
    }
}

/// The certificates of a PEM text, at least one.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    if text.len() > ROOTS_BYTES_MAX {
        return Err(RootsError::Unreadable(format!("it has {} bytes, more than {ROOTS_BYTES_MAX}", text.len())));
    }
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match found.map_err(|error| RootsError::Unreadable(error.to_string()))? {
        none if none.is_empty() => Err(RootsError::Unreadable("there is no CERTIFICATE block in it".into())),
        found => Ok(found),
    }
}

/// The certificates that this system trusts, at least one.
pub(crate) fn system_certificates() -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(RootsError::NoneInSystem(why));
    }
    Ok(found.certs)
}
