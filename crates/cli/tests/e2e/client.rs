//! Clients of the fleet: plain HTTP on TCP and on the admin socket, TLS that trusts the test's CA only, and one that keeps connecting.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use certfleet_core::x509::Leaf;
use certfleet_testkit::eventually;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::LIMIT;

/// How long one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, lower case names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// GET over TCP, as `host`.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Answer> {
    bounded(async { ask(TcpStream::connect(address).await?, host, path).await }).await
}

/// GET over a Unix socket.
pub async fn get_unix(socket: &Path, path: &str) -> io::Result<Answer> {
    bounded(async { ask(UnixStream::connect(socket).await?, "localhost", path).await }).await
}

async fn bounded<T>(request: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(REQUEST_LIMIT, request).await?
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str) -> io::Result<Answer> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    // Servers may close TLS without close_notify; what counts is the answer.
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| io::Error::other(format!("no answer: {bytes:?}, {read:?}")))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Some(Answer { status, headers: headers.collect(), body: body.to_owned() })
}

/// Trusts the CA with this root only.
pub fn trusting(root_pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).expect("pebble's root is PEM")).expect("and a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let mut config = builder.expect("protocol versions").with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// The leaf that a server shows for `name`, if the CA vouches for it and the server answers a request.
pub async fn served(connector: &TlsConnector, address: SocketAddr, name: &str) -> io::Result<Leaf> {
    bounded(async {
        let stream = TcpStream::connect(address).await?;
        let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let stream = connector.connect(server, stream).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| Leaf::from_der(der));
        let leaf = leaf.ok_or_else(|| io::Error::other("no certificate"))?.map_err(io::Error::other)?;
        match ask(stream, name, "/").await?.status {
            200 => Ok(leaf),
            status => Err(io::Error::other(format!("status {status}"))),
        }
    })
    .await
}

/// A client that opens one connection after the other to each address in turn.
pub struct Traffic {
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    client: JoinHandle<Result<Vec<String>, String>>,
}

impl Traffic {
    /// Begins.
    pub fn start(connector: TlsConnector, addresses: Vec<SocketAddr>, name: &str) -> Self {
        let (done, stop, name) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), name.to_owned());
        let (counter, flag) = (done.clone(), stop.clone());
        let client = tokio::spawn(async move {
            let mut serials: Vec<String> = Vec::new();
            for address in addresses.iter().cycle() {
                if flag.load(Ordering::Relaxed) {
                    break;
                }
                let leaf = served(&connector, *address, &name).await.map_err(|error| format!("{address}: {error}"))?;
                if !serials.contains(&leaf.serial) {
                    serials.push(leaf.serial);
                }
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok(serials)
        });
        Self { done, stop, client }
    }

    /// Waits until it made so many more requests, or failed.
    pub async fn more(&self, requests: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + requests;
        eventually("the client gets its answers", LIMIT, || async {
            (self.client.is_finished() || self.done.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Ends it: the serials it saw, in order; or what failed.
    pub async fn end(self) -> Result<Vec<String>, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.client.await.expect("the client does not panic")
    }
}
