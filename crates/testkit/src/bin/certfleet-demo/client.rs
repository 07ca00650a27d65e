//! A visitor of the site: a whole TLS handshake that trusts only the CA, then one request, then the connection is closed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use crate::failure::{During, Failure};
use crate::lab::NAME;

/// Longest visit, in seconds.
const VISIT_SECONDS_MAX: u64 = 10;
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
/// What the web servers' answers begin with.
pub const GREETING: &str = "hello from";

/// What a web server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Serial number of its certificate, lower-case hex without leading zeros.
    pub serial: String,
    /// End of validity, seconds since 1970.
    pub not_after: i64,
}

/// A visitor.
#[derive(Clone)]
pub struct Visitor {
    connector: TlsConnector,
}

impl Visitor {
    /// One that trusts this root alone.
    pub fn trusting(root_pem: &str) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(root_pem.as_bytes()).during("the CA's root cannot be read")?;
        roots.add(root).during("the CA's root cannot be used")?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.during("TLS cannot be set up")?.with_root_certificates(roots).with_no_client_auth();
        // A resumed session shows no certificate.
        config.resumption = Resumption::disabled();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Visits the site at `address`; the error says in words what a browser would complain about.
    pub async fn visit(&self, address: SocketAddr) -> Result<Served, String> {
        match tokio::time::timeout(Duration::from_secs(VISIT_SECONDS_MAX), self.connect_and_get(address)).await {
            Ok(served) => served,
            Err(_) => Err(format!("{address}: no answer within {VISIT_SECONDS_MAX} s")),
        }
    }

    async fn connect_and_get(&self, address: SocketAddr) -> Result<Served, String> {
        let failed = |doing: &'static str| move |error: std::io::Error| format!("{address}: {doing}: {error}");
        let tcp = TcpStream::connect(address).await.map_err(failed("connecting"))?;
        let name = ServerName::try_from(NAME).map_err(|e| e.to_string())?;
        let mut tls = self.connector.connect(name, tcp).await.map_err(failed("TLS handshake"))?;
        let served = served(tls.get_ref().1.peer_certificates().and_then(<[_]>::first)).map_err(|e| format!("{address}: {e}"))?;
        let request = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        tls.write_all(request.as_bytes()).await.map_err(failed("asking"))?;
        tls.flush().await.map_err(failed("asking"))?;
        let mut answer = String::new();
        tls.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await.map_err(failed("reading the answer"))?;
        match answer.starts_with("HTTP/1.1 200 ") && answer.contains(GREETING) {
            true => Ok(served),
            false => Err(format!("{address}: an unexpected answer: {answer:?}")),
        }
    }
}

fn served(leaf: Option<&CertificateDer<'_>>) -> Result<Served, String> {
    let leaf = leaf.ok_or("no certificate was shown")?;
    let (_, certificate) = parse_x509_certificate(leaf).map_err(|e| format!("the certificate cannot be read: {e}"))?;
    let hex: String = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Served { serial: bare_serial(&hex).to_owned(), not_after: certificate.validity().not_after.timestamp() })
}

/// Without leading zeros, since there are two opinions about them.
pub fn bare_serial(hex: &str) -> &str {
    hex.trim_start_matches('0')
}
