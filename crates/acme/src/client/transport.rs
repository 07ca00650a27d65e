//! HTTPS with bounds: time-outs, largest body, whom to trust. Connections and unused nonces are shared by all calls.
//!
//! Always holds: nothing goes out in clear text but to this very machine; the system's roots are read and connections are made only when the
//! first request is; connections that nobody used for a while are closed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use certfleet_core::ca::CaError;
use http::header::{HeaderName, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::BodyWrapper;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::answer::Answer;
use super::failure;
use crate::chain::roots;

/// How long a connection may take to be made.
pub(super) const CONNECT_SECONDS_MAX: u64 = 5;
/// How long a whole request may take, its answer's body included.
pub(super) const REQUEST_SECONDS_MAX: u64 = 30;
/// Largest body that is read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a connection is kept that nobody uses.
const IDLE_SECONDS_MAX: u64 = 30;
/// How many unused connections are kept (HTTP/1.1; over HTTP/2 there is one).
const IDLE_CONNECTIONS_MAX: usize = 4;
/// How many TLS sessions are kept to be resumed.
const SESSIONS_MAX: usize = 8;
/// How many unused nonces are kept.
const NONCES_MAX: usize = 16;
/// How long an unused nonce is kept: a CA may forget those it gave out.
const NONCE_SECONDS_MAX: u64 = 60;
/// Where a nonce comes in (RFC 8555 section 6.5.1).
pub(super) const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");
/// Who we say we are (RFC 8555 section 6.1).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("certfleet/", env!("CARGO_PKG_VERSION")));

type Http = Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>;

/// The way to one CA.
#[derive(Debug)]
pub(super) struct Transport {
    /// What to trust; the system's roots if not given.
    roots: Option<Vec<CertificateDer<'static>>>,
    http: OnceCell<Http>,
    nonces: Mutex<Vec<(Instant, HeaderValue)>>,
    /// What is answered, if this is no way to a CA at all.
    #[cfg(fuzzing)]
    script: Option<Mutex<std::collections::VecDeque<Answer>>>,
}

impl Transport {
    pub fn new(root_pem: Option<&str>) -> Result<Self, CaError> {
        let roots = root_pem.map(certificates).transpose()?;
        let (http, nonces) = Default::default();
        Ok(Self {
            roots,
            http,
            nonces,
            #[cfg(fuzzing)]
            script: None,
        })
    }

    /// A way on which these answers come, and nothing is sent.
    #[cfg(fuzzing)]
    pub fn scripted(answers: std::collections::VecDeque<Answer>) -> Self {
        Self { roots: None, http: OnceCell::new(), nonces: Mutex::default(), script: Some(Mutex::new(answers)) }
    }

    /// Sends a request and reads its answer, of whatever status. The answer's nonce is put aside for the next request.
    pub async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Answer, CaError> {
        let mut answer = self.exchange(request).await?;
        if let Some(nonce) = answer.headers.remove(REPLAY_NONCE) {
            self.keep_nonce(nonce);
        }
        Ok(answer)
    }

    /// A nonce that was put aside, or else one from the CA (RFC 8555 section 7.2).
    pub async fn nonce(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Answer, CaError> {
        let Some(nonce) = self.take_nonce() else { return self.exchange(request).await };
        Ok(Answer { headers: [(REPLAY_NONCE, nonce)].into_iter().collect(), ..Answer::default() })
    }

    async fn exchange(&self, mut request: Request<BodyWrapper<Bytes>>) -> Result<Answer, CaError> {
        let uri = request.uri().clone();
        permitted(&uri)?;
        request.headers_mut().insert(USER_AGENT, AGENT);
        #[cfg(fuzzing)]
        if let Some(script) = &self.script {
            let next = script.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
            return next.ok_or_else(|| CaError::Unreachable("the script is over".into()));
        }
        let http = self.http.get_or_try_init(|| self.connector()).await?;
        let limit = Duration::from_secs(REQUEST_SECONDS_MAX);
        let outcome = timeout(limit, answer(http.request(request), &uri)).await.unwrap_or_else(|_| Err(failure::timed_out(&uri)));
        match &outcome {
            Ok(answer) => tracing::debug!(%uri, status = answer.status.as_u16(), bytes = answer.body.len(), "the CA answered"),
            Err(error) => tracing::debug!(%uri, %error, "the CA did not answer"),
        }
        outcome
    }

    async fn connector(&self) -> Result<Http, CaError> {
        let roots = match &self.roots {
            Some(roots) => roots.clone(),
            None => tokio::task::spawn_blocking(system_roots).await.map_err(|e| CaError::Malformed(e.to_string()))??,
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(Duration::from_secs(CONNECT_SECONDS_MAX)));
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls(roots)?).https_or_http();
        Ok(Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(IDLE_SECONDS_MAX))
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(builder.enable_http1().wrap_connector(tcp)))
    }

    fn keep_nonce(&self, nonce: HeaderValue) {
        let mut nonces = self.nonces.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if nonces.len() == NONCES_MAX {
            nonces.remove(0);
        }
        nonces.push((Instant::now(), nonce));
    }

    /// The newest: after a rejected one, that is the nonce which came with the rejection.
    fn take_nonce(&self) -> Option<HeaderValue> {
        let mut nonces = self.nonces.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        nonces.retain(|(since, _)| since.elapsed() < Duration::from_secs(NONCE_SECONDS_MAX));
        nonces.pop().map(|(_, nonce)| nonce)
    }
}

/// Refuses everything but `https://`, and `http://` on a loopback address.
pub(super) fn permitted(uri: &Uri) -> Result<(), CaError> {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if host == "localhost" || address.is_ok_and(|address| address.is_loopback()) => Ok(()),
        _ => Err(CaError::Malformed(format!("`{uri}` is not an address to speak ACME with: `https://` is wanted (RFC 8555 section 6.1)"))),
    }
}

async fn answer(response: ResponseFuture, uri: &Uri) -> Result<Answer, CaError> {
    let response: Response<_> = response.await.map_err(|error| failure::of_request(uri, &error))?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| match error.is::<LengthLimitError>() {
        true => CaError::Malformed(format!("{uri} answered with more than {BODY_BYTES_MAX} bytes")),
        false => failure::of_body(uri, &*error),
    })?;
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CaError> {
    let unusable = |what: String| CaError::Malformed(format!("`root` cannot be used: {what}"));
    let found = roots::certificates(pem).map_err(|e| unusable(e.to_string()))?;
    for certificate in &found {
        RootCertStore::empty().add(certificate.clone()).map_err(|e| unusable(e.to_string()))?;
    }
    Ok(found)
}

fn system_roots() -> Result<Vec<CertificateDer<'static>>, CaError> {
    roots::system_certificates().map_err(|error| CaError::Unreachable(error.to_string()))
}

fn tls(trusted: Vec<CertificateDer<'static>>) -> Result<ClientConfig, CaError> {
    let mut roots = RootCertStore::empty();
    // A system's store may hold certificates that are not understood; those of `root` were looked at before.
    roots.add_parsable_certificates(trusted);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| CaError::Malformed(e.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    Ok(config)
}
