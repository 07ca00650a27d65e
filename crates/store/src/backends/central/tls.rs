//! TLS 1.3 by node keys alone: raw public keys (RFC 7250), Ed25519 both ways, no certificates, no resumption.
//!
//! Always holds: a server is one whose key is among those that this node knows, and that has signed this handshake with it; the name in the
//! URL proves nothing.

use std::sync::{Arc, Mutex, PoisonError};

use certfleet_core::trust::{SigningKey, VerifyingKey};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_eddsa_type};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::wire::ALPN;

/// Gives the keys that a server may have.
pub(super) type Servers = Arc<dyn Fn() -> Vec<VerifyingKey> + Send + Sync>;

/// This node's side of every connection.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    own: Arc<CertifiedKey>,
    servers: Servers,
}

impl Tls {
    pub(super) fn new(key: &SigningKey, servers: Servers) -> Result<Self, Error> {
        let provider = Arc::new(default_provider());
        let pkcs8 = key.expose_pkcs8();
        let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
        let own = CertifiedKey::new(vec![CertificateDer::from(key.verifying_key().to_spki())], signer);
        Ok(Self { provider, own: Arc::new(own), servers })
    }

    /// What one connection is made with, and what tells whom it met.
    pub(super) fn session(&self) -> Result<(Arc<ClientConfig>, Arc<Pinned>), Error> {
        let pinned = Arc::new(Pinned { servers: self.servers.clone(), provider: self.provider.clone(), refused: Mutex::default() });
        let config = ClientConfig::builder_with_provider(self.provider.clone()).with_protocol_versions(&[&TLS13])?;
        let config = config.dangerous().with_custom_certificate_verifier(pinned.clone());
        let mut config = config.with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(self.own.clone())));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok((Arc::new(config), pinned))
    }

    /// The fingerprints of the keys that a server may have.
    pub(super) fn known(&self) -> Vec<String> {
        (self.servers)().iter().map(VerifyingKey::fingerprint).collect()
    }
}

/// Takes a server for what it says it is if its key is known.
pub(super) struct Pinned {
    servers: Servers,
    provider: Arc<CryptoProvider>,
    refused: Mutex<Option<VerifyingKey>>,
}

impl Pinned {
    /// The key of a server that was turned down.
    pub(super) fn refused(&self) -> Option<VerifyingKey> {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = VerifyingKey::from_spki(shown).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if (self.servers)().contains(&key) {
            return Ok(ServerCertVerified::assertion());
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 is wanted".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(shown.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
