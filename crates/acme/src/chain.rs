//! Path validation (RFC 5280 section 6): whether a chain that somebody hands over is one that clients will accept.
//!
//! Always holds: the chain is looked at in the order in which a server sends it, each certificate signed by the next; then rustls-webpki, which
//! clients with rustls use, has the last word on the path to a root. Errors name the certificate.
//!
//! Deliberately not here: whether its names and key are those wanted, revocation.

mod link;
pub(crate) mod roots;

use std::fmt;
use std::time::Duration;

use certfleet_core::time::Timestamp;
use certfleet_core::x509;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use link::Link;
pub use roots::{ROOTS_BYTES_MAX, Roots, RootsError};

/// Most certificates of a chain. Public CAs send two to four.
pub const CHAIN_CERTIFICATES_MAX: usize = 10;

/// Why a chain is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// One certificate cannot stand where it does.
    #[error("certificate {position} of the chain, {subject}, {why}")]
    Certificate {
        /// Its place; the leaf is 1.
        position: usize,
        /// Its subject, or the first of its names.
        subject: String,
        /// What is wrong with it, to be read after its name.
        why: String,
    },
    /// It is a chain, but not to a root that is known.
    #[error("the chain does not lead to a root of the issuer: its last certificate is issued by {issuer}, which {why}")]
    NoRoot {
        /// Who issued the last certificate.
        issuer: String,
        /// What is known about that.
        why: String,
    },
    /// Every certificate is sound, but the path as a whole is not.
    #[error("the chain to the root is not accepted: {0}")]
    Path(String),
}

/// Whether the chain (PEM, leaf first, with or without the root) is that of a TLS server at `at`, up to one of `roots`.
pub fn verify_chain(chain_pem: &str, roots: &Roots, at: Timestamp) -> Result<(), ChainError> {
    let ders = read(chain_pem)?;
    let mut links = Vec::with_capacity(ders.len());
    for (index, der) in ders.iter().enumerate() {
        links.push(Link::read(index + 1, der)?);
    }
    for (index, link) in links.iter().enumerate() {
        link.check(at)?;
        if let Some(issuer) = links.get(index + 1) {
            link.check_issuer(issuer)?;
        }
    }
    match roots.anchors() {
        Some(anchors) => verify_path(&ders, &ders[1..], anchors, at).map_err(|error| unrooted(error, &links, roots)),
        None => verify_alone(&ders, &links, at),
    }
}

/// Without a root: the last certificate is taken for one, unless it is the leaf.
fn verify_alone(ders: &[CertificateDer<'_>], links: &[Link<'_>], at: Timestamp) -> Result<(), ChainError> {
    let [_, intermediates @ .., last] = ders else {
        return match links.iter().find(|leaf| leaf.is_self_issued()) {
            Some(leaf) => Err(leaf.fault("is issued by itself: no CA vouches for it")),
            None => Ok(()),
        };
    };
    let anchor = anchor_from_trusted_cert(last).map_err(|error| ChainError::Path(error.to_string()))?;
    verify_path(ders, intermediates, &[anchor], at).map_err(|error| ChainError::Path(error.to_string()))
}

fn verify_path(
    ders: &[CertificateDer<'_>],
    others: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    at: Timestamp,
) -> Result<(), Error> {
    let leaf = EndEntityCert::try_from(&ders[0])?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)));
    leaf.verify_for_usage(ALL_VERIFICATION_ALGS, anchors, others, at, KeyUsage::server_auth(), None, None).map(|_| ())
}

/// Each certificate was found to be signed by the next, so what is missing is the way to a root.
fn unrooted(error: Error, links: &[Link<'_>], roots: &Roots) -> ChainError {
    let Some(last) = links.last() else { return ChainError::Path(error.to_string()) };
    let why = match error {
        Error::UnknownIssuer => format!("is not among {roots}"),
        Error::InvalidSignatureForPublicKey | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            format!("did not sign it with the key that it has among {roots}")
        }
        other => return ChainError::Path(other.to_string()),
    };
    ChainError::NoRoot { issuer: last.issuer(), why }
}

fn read(chain_pem: &str) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    let found = x509::certificates(chain_pem).map_err(|error| ChainError::Unreadable(error.to_string()))?;
    match found.len() {
        0 => Err(ChainError::Unreadable("not a certificate chain: there is no CERTIFICATE block in it".into())),
        1..=CHAIN_CERTIFICATES_MAX => Ok(found.into_iter().map(CertificateDer::from).collect()),
        many => Err(ChainError::Unreadable(format!("the chain has {many} certificates, more than {CHAIN_CERTIFICATES_MAX}"))),
    }
}

/// A name as it stands in messages.
struct Quoted<T>(T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "“{}”", self.0)
    }
}

#[cfg(test)]
mod tests;
