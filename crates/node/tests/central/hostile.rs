//! Clients that are none, slow, greedy or many; the fleet's own go on meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use certfleet_store::Expect;
use certfleet_store::wire::{ALPN, ASK_BYTES_MAX, PATH};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{LIMIT, SERVER, Server, done, key, signing, value};

/// Connections of one machine at the most that the server keeps before it knows who is there.
const STRANGERS_PER_ADDRESS: usize = 64;

/// Speaks TLS with a node key and then whatever it likes.
async fn tls(address: SocketAddr, seed: u8, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pkcs8 = signing(seed).expose_pkcs8();
    let signer = rustls::crypto::aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_slice())).expect("a key");
    let own = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(signing(seed).verifying_key().to_spki())], signer);
    let config = rustls::ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.expect("TLS 1.3").dangerous().with_custom_certificate_verifier(std::sync::Arc::new(Believer(provider)));
    let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(std::sync::Arc::new(own));
    let mut config = config.with_client_cert_resolver(std::sync::Arc::new(resolver));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(std::sync::Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// Takes every server.
#[derive(Debug)]
struct Believer(std::sync::Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        assert_eq!(shown.as_ref(), signing(SERVER).verifying_key().to_spki(), "it shows its node key");
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let spki = rustls::pki_types::SubjectPublicKeyInfoDer::from(shown.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

async fn answer(stream: &mut TlsStream<TcpStream>, request: &[u8]) -> String {
    // Who is refused before the end of a long question may see the connection end.
    let _ = stream.write_all(request).await;
    let mut answer = vec![0; 16 * 1024];
    let read = tokio::time::timeout(LIMIT, stream.read(&mut answer)).await.expect("answered in time");
    String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The fleet's own are answered.
async fn is_well(server: &Server) {
    let (store, at) = (server.open(2).await, key("certs/a"));
    let expect = store.get(&at).await.expect("read").map_or(Expect::Absent, |stored| Expect::Revision(stored.revision));
    done(&*store, &at, &value(1), &expect).await;
}

#[tokio::test]
async fn garbage_is_answered_with_a_reason_and_harms_nobody() {
    let server = Server::start().await;
    for (request, status) in [
        (post(PATH, "{"), "400"),
        (post(PATH, "{\"get\":{\"key\":\"../etc\"}}"), "400"),
        (post(PATH, "{\"get\":{\"key\":\"a\",\"more\":1}}"), "400"),
        (post(PATH, "{\"drop\":{\"key\":\"a\"}}"), "400"),
        (post("/else", "{}"), "404"),
        (format!("GET {PATH} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes(), "405"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n".to_vec(), "400"),
        (format!("POST {PATH} HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000)).into_bytes(), "431"),
        (post(PATH, &" ".repeat(ASK_BYTES_MAX + 1)), "413"),
    ] {
        let mut stream = tls(server.address, 5, &[ALPN]).await.expect("TLS");
        let said = answer(&mut stream, &request).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {said}");
    }
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"\x16\x03\x01\xff\xff"] {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(bytes).await.expect("sent");
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("it is closed in time");
        assert!(!String::from_utf8_lossy(&rest).contains("HTTP"), "nothing is said outside of TLS");
    }
    is_well(&server).await;
}

/// Whoever speaks another protocol, or none, gets no answer: a node's key signs for this one alone.
#[tokio::test]
async fn other_protocols_get_no_answer() {
    let server = Server::start().await;
    assert!(tls(server.address, 5, &[b"http/1.1"]).await.is_err(), "refused in the handshake");
    let mut stream = tls(server.address, 5, &[]).await.expect("TLS");
    assert_eq!(answer(&mut stream, &post(PATH, "{\"get\":{\"key\":\"fleet\"}}")).await, "");
}

/// A question that comes byte by byte, or never to its end, costs one connection for a while.
#[tokio::test]
async fn slow_clients_keep_nobody_waiting() {
    let server = Server::start().await;
    let mut slow = Vec::new();
    for part in ["", "POST ", "POST /store/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"] {
        let mut stream = tls(server.address, 5, &[ALPN]).await.expect("TLS");
        stream.write_all(part.as_bytes()).await.expect("sent");
        slow.push(stream);
        // And one that does not even begin its handshake.
        let silent = TcpStream::connect(server.address).await.expect("connected");
        is_well(&server).await;
        let mut silent = silent;
        let closed = tokio::time::timeout(LIMIT, silent.read(&mut [0; 1])).await.expect("it is closed in time");
        assert_eq!(closed.unwrap_or(0), 0);
    }
    let said = answer(&mut slow[2], b"").await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
}

/// A thousand connections from one machine: the oldest go, and those of members stay.
#[tokio::test]
async fn a_crowd_does_not_push_out_members() {
    let server = Server::start().await;
    let store = server.open(2).await;
    let mut watch = store.watch("").await.expect("watched");
    let mut crowd = Vec::new();
    for _ in 0..1_000 {
        crowd.push(TcpStream::connect(server.address).await.expect("connected"));
    }
    done(&*store, &key("certs/a"), &value(1), &Expect::Absent).await;
    assert_eq!(
        super::next(&mut watch).await,
        Some(certfleet_store::Change::Keys(vec![key("certs/a")])),
        "no reset: its connection was kept"
    );
    let mut open = 0;
    for stream in &mut crowd {
        let read = tokio::time::timeout(Duration::from_millis(5), stream.read(&mut [0; 1])).await;
        open += usize::from(read.is_err());
    }
    assert!(open <= STRANGERS_PER_ADDRESS, "{open}");
    is_well(&server).await;
}
