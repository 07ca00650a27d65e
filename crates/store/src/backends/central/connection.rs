//! One connection to the server: made within a bound, one question at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls::{Pinned, Tls};
use super::url::CentralUrl;
use crate::error::StoreError;
use crate::wire::PATH;

/// How long it may take until a connection is there, in seconds; TCP, then TLS.
const CONNECT_SECONDS_MAX: u64 = 5;

/// A connection on which nothing is asked now.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

/// Why a question has no answer.
pub(super) enum Unanswered {
    /// It was never sent.
    Unsent,
    /// It may have arrived; what was seen.
    Lost(String),
}

impl Connection {
    /// Connects. An error says where, and what to do.
    pub(super) async fn open(url: &CentralUrl, tls: &Tls) -> Result<Self, StoreError> {
        let limit = Duration::from_secs(CONNECT_SECONDS_MAX);
        let away = |why: String| StoreError::Away {
            why: format!("{url}: {why}; see that certfleet runs there, with `serve`, and that no firewall stands between"),
        };
        let stream = timeout(limit, TcpStream::connect((url.host.as_str(), url.port))).await;
        let stream = stream.map_err(|_| away(format!("no connection within {CONNECT_SECONDS_MAX} s")))?.map_err(|e| away(e.to_string()))?;
        // Small questions are not kept back; where that cannot be had they are only slower.
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(url.host.clone()).map_err(|e| away(e.to_string()))?;
        let (config, pinned) = tls.session().map_err(|e| away(e.to_string()))?;
        let stream = timeout(limit, TlsConnector::from(config).connect(name, stream)).await;
        let stream = stream.map_err(|_| away(format!("no TLS within {CONNECT_SECONDS_MAX} s")))?;
        let stream = stream.map_err(|error| wrong_key(url, tls, &pinned).unwrap_or_else(|| away(format!("no TLS: {error}"))))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| away(e.to_string()))?;
        // It only moves bytes; what goes wrong is seen by who asks.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Whether it is known to be of no use any more.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed()
    }

    /// Asks; the answer's body has yet to come.
    pub(super) async fn ask(&mut self, host: &str, question: Bytes) -> Result<Response<Incoming>, Unanswered> {
        self.sender.ready().await.map_err(|_| Unanswered::Unsent)?;
        let request = Request::post(PATH).header(header::HOST, host).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(question)).map_err(|_| Unanswered::Unsent)?;
        self.sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(_) => Unanswered::Unsent,
            None => Unanswered::Lost(error.into_error().to_string()),
        })
    }
}

/// The server has a key that this node does not know.
fn wrong_key(url: &CentralUrl, tls: &Tls, pinned: &Arc<Pinned>) -> Option<StoreError> {
    let shown = pinned.refused()?.fingerprint();
    let known = tls.known();
    let known = if known.is_empty() { "no key".to_owned() } else { format!("key {}", known.join(" or ")) };
    Some(StoreError::NeedsOperator {
        what: format!("{url} has key {shown}, and this node knows it by {known}"),
        remedy: "if that node was rebuilt, or another serves the store now, get a new token there (`certfleet invite`) and give it to \
                 `certfleet join` here; if not, somebody stands between: see where the name leads"
            .into(),
    })
}
