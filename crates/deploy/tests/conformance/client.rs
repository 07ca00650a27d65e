//! Clients that keep connecting, and trust only the test's CA.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use certfleet_core::names::Fingerprint;
use certfleet_testkit::eventually;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// How long any one step may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What the clients met.
pub struct Traffic {
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Vec<Fingerprint>, String>>>,
}

impl Traffic {
    /// `clients` clients, each opening one connection after the other.
    pub fn start(clients: usize, address: SocketAddr, name: &str, roots: RootCertStore) -> Self {
        let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let connector = connector(roots);
        let start = |_| {
            let (done, stop, connector, name) = (done.clone(), stop.clone(), connector.clone(), name.to_owned());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let leaf = request(&connector, address, &name).await?;
                    if seen.last() != Some(&leaf) {
                        seen.push(leaf);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(seen)
            })
        };
        Self { clients: (0..clients).map(start).collect(), done, stop }
    }

    /// Waits for so many more requests; a client that failed ends the test at once.
    pub async fn more(&self, requests: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + requests;
        let enough = || async {
            let over = self.clients.iter().any(JoinHandle::is_finished);
            (over || self.done.load(Ordering::Relaxed) >= wanted).then_some(())
        };
        eventually("clients get answers", LIMIT, enough).await;
    }

    /// Stops; gives how many requests there were and which certificates each client saw, in order.
    pub async fn end(self) -> (usize, Vec<Vec<Fingerprint>>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Vec::new();
        for client in self.clients {
            seen.push(client.await.expect("a client does not panic").expect("no request fails"));
        }
        (self.done.load(Ordering::Relaxed), seen)
    }
}

fn connector(roots: RootCertStore) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions();
    let mut config = builder.expect("protocol versions").with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

async fn request(connector: &TlsConnector, address: SocketAddr, name: &str) -> Result<Fingerprint, String> {
    let told = |step: &'static str| move |e: std::io::Error| format!("{step}: {e}");
    let stream = TcpStream::connect(address).await.map_err(told("connect"))?;
    let server = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
    let mut stream = connector.connect(server, stream).await.map_err(told("handshake"))?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| Fingerprint::of(der)).ok_or("no certificate")?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").as_bytes()).await.map_err(told("request"))?;
    let mut answer = String::new();
    // Servers may close without close_notify; what counts is the answer.
    let read = stream.read_to_string(&mut answer).await;
    if answer.starts_with("HTTP/1.1 200") { Ok(leaf) } else { Err(format!("answer {answer:?}, {read:?}")) }
}

/// The certificate that is served for this name, if the CA vouches for it.
pub async fn served(address: SocketAddr, name: &str, roots: RootCertStore) -> Result<Fingerprint, String> {
    request(&connector(roots), address, name).await
}
