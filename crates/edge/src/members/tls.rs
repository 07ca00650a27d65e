//! The server's side of TLS: raw public keys (RFC 7250), Ed25519 both ways, TLS 1.3 alone, no resumption.

use std::sync::Arc;

use certfleet_core::trust::VerifyingKey;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_eddsa_type};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection, SignatureScheme};

use super::ServerIdentity;

pub(super) fn config(identity: &ServerIdentity) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(default_provider());
    let pkcs8 = identity.key.expose_pkcs8();
    let signer = any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice()))?;
    let own = CertifiedKey::new(vec![CertificateDer::from(identity.key.verifying_key().to_spki())], signer);
    let config = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
    let config = config.with_client_cert_verifier(Arc::new(AnyNode { provider }));
    let mut config = config.with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(own))));
    config.alpn_protocols = vec![identity.protocol.to_vec()];
    // Each handshake proves anew who is there.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The key that the client has signed the handshake with, if it speaks our protocol.
pub(super) fn peer(connection: &ServerConnection, protocol: &[u8]) -> Option<VerifyingKey> {
    let speaks = connection.alpn_protocol() == Some(protocol);
    connection.peer_certificates()?.first().filter(|_| speaks).and_then(|shown| VerifyingKey::from_spki(shown))
}

/// Takes every Ed25519 key that has signed: whose it is, is the service's question.
#[derive(Debug)]
struct AnyNode {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyNode {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(&self, shown: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        let is_key = VerifyingKey::from_spki(shown).is_some();
        is_key.then(ClientCertVerified::assertion).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
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
