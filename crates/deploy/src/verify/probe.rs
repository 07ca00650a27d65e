//! One handshake with one address for one name.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use certfleet_core::x509::Leaf;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Signature of a version 2 header and the command LOCAL with no addresses (PROXY protocol section 2.2).
const PROXY_V2_LOCAL: [u8; 16] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x20, 0x00, 0x00, 0x00];
/// A version 1 header that names no addresses (section 2.1).
const PROXY_V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// What was seen, from best to worst.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// The wanted certificate, its key proved.
    Served,
    /// Nothing was looked at; says why.
    NotAsked(String),
    /// Nobody listens.
    NotRunning(String),
    /// Somebody listens, but no handshake came about.
    Trouble(String),
    /// Another certificate.
    Other(String),
}

/// A name to ask for; an IP address gives a handshake without a name.
pub(super) fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

pub(super) async fn look(address: SocketAddr, name: Option<String>, proxy: Option<u8>, wanted: &Leaf, limit: Duration) -> Seen {
    let place = match &name {
        Some(name) => format!("{address} ({name})"),
        None => address.to_string(),
    };
    let witness = Arc::new(Witness::new());
    let handshake = shake(address, name, proxy, witness.clone());
    let ended = tokio::time::timeout(limit, handshake).await.unwrap_or_else(|_| Err(io::Error::from(ErrorKind::TimedOut)));
    match (witness.leaf(), ended) {
        (Some(Ok(leaf)), Ok(())) if leaf.fingerprint == wanted.fingerprint => Seen::Served,
        (Some(Ok(leaf)), _) if leaf.fingerprint != wanted.fingerprint => Seen::Other(other(&place, &leaf, wanted)),
        (Some(Err(e)), _) => Seen::Other(format!("{place} serves something else: {e}")),
        (_, Err(e)) if e.kind() == ErrorKind::ConnectionRefused => Seen::NotRunning(format!("{address} refuses connections")),
        (_, Err(e)) => Seen::Trouble(format!("no handshake with {place}: {}", told(&e, limit))),
        (_, Ok(())) => Seen::Trouble(format!("{place} showed no certificate")),
    }
}

fn other(place: &str, leaf: &Leaf, wanted: &Leaf) -> String {
    let what = if leaf.self_signed { "a self-signed certificate, serial" } else { "serial" };
    format!("{place} serves {what} {} until {}, wanted {} until {}", leaf.serial, leaf.not_after, wanted.serial, wanted.not_after)
}

fn told(error: &io::Error, limit: Duration) -> String {
    if error.kind() == ErrorKind::TimedOut { format!("no answer within {limit:?}") } else { error.to_string() }
}

async fn shake(address: SocketAddr, name: Option<String>, proxy: Option<u8>, witness: Arc<Witness>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match proxy {
        Some(1) => stream.write_all(PROXY_V1_UNKNOWN).await?,
        Some(_) => stream.write_all(&PROXY_V2_LOCAL).await?,
        None => {}
    }
    let name = match name {
        Some(name) => server_name(&name).ok_or_else(|| io::Error::other("it is not a host name"))?,
        None => ServerName::IpAddress(address.ip().into()),
    };
    TlsConnector::from(Arc::new(client(witness)?)).connect(name, stream).await.map(drop)
}

fn client(witness: Arc<Witness>) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(witness.provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.dangerous().with_custom_certificate_verifier(witness);
    let mut config = builder.with_no_client_auth();
    // A resumed session would show no certificate, or an old one.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Trusts any certificate, remembers the leaf, and insists that the server has its key.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    leaf: Mutex<Option<Vec<u8>>>,
}

impl Witness {
    fn new() -> Self {
        Self { provider: Arc::new(aws_lc_rs::default_provider()), leaf: Mutex::new(None) }
    }

    fn leaf(&self) -> Option<Result<Leaf, certfleet_core::x509::ChainError>> {
        self.leaf.lock().unwrap_or_else(PoisonError::into_inner).as_deref().map(Leaf::from_der)
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
