//! One certificate in its place: what it must be to stand there, and to be signed by the next.

use certfleet_core::time::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{ChainError, Quoted};
use crate::signature;

/// Longest subject in a message, in characters.
const SUBJECT_CHARS_MAX: usize = 200;

/// A certificate of the chain.
pub(super) struct Link<'a> {
    /// The leaf is 1.
    position: usize,
    certificate: X509Certificate<'a>,
}

impl<'a> Link<'a> {
    pub fn read(position: usize, der: &'a [u8]) -> Result<Self, ChainError> {
        let unreadable = |what: &str| ChainError::Unreadable(format!("certificate {position} of the chain cannot be read: {what}"));
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| unreadable(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("bytes follow it"));
        }
        Ok(Self { position, certificate })
    }

    /// Validity, and the extensions that its place asks for.
    pub fn check(&self, at: Timestamp) -> Result<(), ChainError> {
        let (from, to) = (self.certificate.validity().not_before.timestamp(), self.certificate.validity().not_after.timestamp());
        if at.as_second() < from {
            return Err(self.fault(&format!("is not valid before {}", moment(from))));
        }
        if at.as_second() > to {
            return Err(self.fault(&format!("expired at {}", moment(to))));
        }
        let extensions = match self.position {
            1 => self.check_leaf(),
            _ => self.check_ca(),
        };
        extensions.map_err(|error| self.fault(&format!("has an extension that cannot be read: {error}")))?.map_or(Ok(()), Err)?;
        self.check_usage()
    }

    /// That `issuer`, the next in the chain, signed this one.
    pub fn check_issuer(&self, issuer: &Link<'_>) -> Result<(), ChainError> {
        if self.certificate.issuer().as_raw() != issuer.certificate.subject().as_raw() {
            return Err(self.fault(&format!("is issued by {}, but {} follows it", self.issuer(), issuer.subject())));
        }
        let (certificate, spki) = (&self.certificate, issuer.certificate.public_key().raw);
        let signed = certificate.tbs_certificate.as_ref();
        let outcome = signature::verify(spki, &certificate.signature_algorithm, signed, &certificate.signature_value.data);
        outcome.map_err(|why| self.fault(&format!("is not signed by {}, which follows it: {why}", issuer.subject())))
    }

    pub fn is_self_issued(&self) -> bool {
        self.certificate.issuer().as_raw() == self.certificate.subject().as_raw()
    }

    pub fn issuer(&self) -> String {
        quoted(&self.certificate.issuer().to_string())
    }

    /// What is wrong with it.
    pub fn fault(&self, why: &str) -> ChainError {
        ChainError::Certificate { position: self.position, subject: self.subject(), why: why.to_owned() }
    }

    /// Its subject; the first of its names where that is empty, as in most leaves.
    fn subject(&self) -> String {
        let subject = self.certificate.subject().to_string();
        let san = self.certificate.subject_alternative_name().ok().flatten();
        match san.and_then(|san| san.value.general_names.first()) {
            Some(GeneralName::DNSName(name)) if subject.is_empty() => quoted(name),
            Some(name) if subject.is_empty() => quoted(&name.to_string()),
            _ => quoted(&subject),
        }
    }

    fn check_leaf(&self) -> Result<Option<ChainError>, X509Error> {
        let is_ca = self.certificate.basic_constraints()?.is_some_and(|constraints| constraints.value.ca);
        let usage = self.certificate.key_usage()?.map(|usage| usage.value);
        let fits = usage.is_none_or(|usage| usage.digital_signature() || usage.key_encipherment() || usage.key_agreement());
        Ok(match (is_ca, fits) {
            (true, _) => Some(self.fault("is a CA's: the server's own certificate comes first")),
            (_, false) => Some(self.fault("may not be used for TLS by its key usage")),
            _ => None,
        })
    }

    /// RFC 5280 section 6.1.4, (k) to (n).
    fn check_ca(&self) -> Result<Option<ChainError>, X509Error> {
        let constraints = self.certificate.basic_constraints()?.map(|constraints| constraints.value);
        let signs = self.certificate.key_usage()?.is_none_or(|usage| usage.value.key_cert_sign());
        let length = constraints.and_then(|constraints| constraints.path_len_constraint);
        // Between the leaf and this one.
        let between = self.position - 2;
        Ok(match constraints {
            Some(constraints) if !constraints.ca => Some(self.fault("is no CA: its basic constraints say so")),
            None => Some(self.fault("is no CA: it has no basic constraints")),
            _ if !signs => Some(self.fault("may not sign certificates by its key usage")),
            _ if length.is_some_and(|length| usize::try_from(length).is_ok_and(|length| length < between)) => {
                Some(self.fault(&format!("allows fewer CAs below it than the {between} that there are")))
            }
            _ => None,
        })
    }

    fn check_usage(&self) -> Result<(), ChainError> {
        let usage = self.certificate.extended_key_usage();
        let usage = usage.map_err(|error| self.fault(&format!("has an extended key usage that cannot be read: {error}")))?;
        match usage.is_none_or(|usage| usage.value.server_auth) {
            true => Ok(()),
            false => Err(self.fault("may not be used for TLS servers by its extended key usage")),
        }
    }
}

fn quoted(name: &str) -> String {
    let printable: String = name.chars().take(SUBJECT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Quoted(printable).to_string()
}

fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |moment| moment.to_string())
}
