//! Why no answer came, in words that help: which host, and what to do.

use std::error::Error as StdError;
use std::io;

use certfleet_core::ca::CaError;
use http::Uri;
use rustls::CertificateError;

use super::call::chain;
use super::transport::{CONNECT_SECONDS_MAX, REQUEST_SECONDS_MAX};

/// The request did not get through.
pub(super) fn of_request(uri: &Uri, error: &hyper_util::client::legacy::Error) -> CaError {
    let place = place(uri);
    CaError::Unreachable(match (tls_error(error), error.is_connect()) {
        (Some(rustls::Error::InvalidCertificate(why)), _) => distrust(&place, why),
        (Some(other), _) => format!("TLS with {place} failed: {other}"),
        (None, true) if is_timeout(error) => format!("{place} could not be connected to within {CONNECT_SECONDS_MAX} s"),
        (None, true) => format!("{place} cannot be connected to: {}", innermost(error)),
        (None, false) if is_broken(error) => format!("{place} closed the connection without an answer"),
        (None, false) => format!("{place} did not answer: {}", chain(error)),
    })
}

/// The answer broke off.
pub(super) fn of_body(uri: &Uri, error: &(dyn StdError + 'static)) -> CaError {
    CaError::Unreachable(format!("the answer of {} broke off: {}", place(uri), chain(error)))
}

/// The whole request took too long.
pub(super) fn timed_out(uri: &Uri) -> CaError {
    CaError::Unreachable(format!("{} did not answer within {REQUEST_SECONDS_MAX} s", place(uri)))
}

fn place(uri: &Uri) -> String {
    uri.authority().map_or_else(|| uri.to_string(), |authority| authority.host().to_owned() + &port(uri))
}

fn port(uri: &Uri) -> String {
    uri.port().map(|port| format!(":{port}")).unwrap_or_default()
}

fn distrust(place: &str, why: &CertificateError) -> String {
    let untrusted = matches!(why, CertificateError::UnknownIssuer | CertificateError::BadSignature);
    let remedy = match untrusted {
        true => "set `root` of the issuer to the PEM file of the root that this CA's own server uses",
        false => "check the address in `directory`, and this machine's clock",
    };
    format!("the certificate of {place} is not trusted ({why}): {remedy}")
}

/// The errors behind `error`, also those that an I/O error hides.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>())
}

fn is_timeout(error: &(dyn StdError + 'static)) -> bool {
    kinds(error).any(|kind| kind == io::ErrorKind::TimedOut)
}

fn is_broken(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    kinds(error).any(|kind| matches!(kind, BrokenPipe | ConnectionReset | UnexpectedEof))
}

fn kinds(error: &(dyn StdError + 'static)) -> impl Iterator<Item = io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>().map(io::Error::kind))
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}
