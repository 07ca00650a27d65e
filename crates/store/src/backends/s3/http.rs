//! The connections that S3's library is given, so that it is known of each request whether it was sent and what was answered.
//!
//! Always holds: every call ends in bounded time, its answer's body included, and no more of a body is read than a bound says.
//!
//! Deliberately not here: repeating. A request goes out once.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{HeaderValue, USER_AGENT};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::fault::Refusal;
use crate::error::StoreError;

/// How long a connection may take to come about.
const CONNECT_MS_MAX: u64 = 3_000;
/// How long a whole call may take.
pub(super) const CALL_MS_MAX: u64 = 10_000;
/// How much of an answer's body is read, in bytes: a list of a thousand names, or a value.
const BODY_BYTES_MAX: usize = 8 << 20;
/// How long a connection is kept that nobody uses; servers close theirs after some more.
const IDLE_SECONDS_MAX: u64 = 15;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("certfleet/", env!("CARGO_PKG_VERSION")));

/// What became of one request. Goes with it as an extension.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchange(Arc<Mutex<Outcome>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing was sent; why not, if that is known here.
    #[default]
    Unsent,
    /// No connection came about.
    Unreached(String),
    /// It was sent, and no whole answer came.
    Lost(String),
    /// The server did it.
    Done,
    /// The server said something else.
    Refused(Refusal),
}

impl Exchange {
    pub(super) fn outcome(&self) -> Outcome {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, outcome: Outcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}

/// Makes the one service that all requests of a store go through.
#[derive(Debug, Clone)]
pub(super) struct Connector(Service);

impl Connector {
    /// Trusts the roots of `ca`, or else the system's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, StoreError> {
        let mut tcp = Tcp::new();
        tcp.set_connect_timeout(Some(Duration::from_millis(CONNECT_MS_MAX)));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(ca)?).https_or_http().enable_http1().wrap_connector(tcp);
        let mut builder = Client::builder(TokioExecutor::new());
        let client = builder.pool_timer(TokioTimer::new()).pool_idle_timeout(Duration::from_secs(IDLE_SECONDS_MAX)).build(https);
        Ok(Self(Service(client)))
    }

    pub(super) fn client(&self) -> HttpClient {
        HttpClient::new(self.0.clone())
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client())
    }
}

#[derive(Clone)]
struct Service(Client<HttpsConnector<Tcp>, HttpRequestBody>);

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = request.extensions().get::<Exchange>().cloned().unwrap_or_default();
        request.headers_mut().insert(USER_AGENT, AGENT);
        exchange.set(Outcome::Lost("the call was given up".into()));
        let called = tokio::time::timeout(Duration::from_millis(CALL_MS_MAX), self.exchange(request)).await;
        let called = called.unwrap_or_else(|_| Err((HttpErrorKind::Timeout, format!("no answer within {} s", CALL_MS_MAX / 1000))));
        match called {
            Ok((status, headers, body)) => {
                exchange.set(if status.is_success() { Outcome::Done } else { Outcome::Refused(Refusal::of(status, &headers, &body)) });
                let mut response = http::Response::new(HttpResponseBody::new(Full::new(body).map_err(|never: Infallible| match never {})));
                (*response.status_mut(), *response.headers_mut()) = (status, headers);
                Ok(response)
            }
            Err((kind, why)) => {
                exchange.set(if kind == HttpErrorKind::Connect { Outcome::Unreached(why.clone()) } else { Outcome::Lost(why.clone()) });
                Err(HttpError::new(kind, std::io::Error::other(why)))
            }
        }
    }
}

impl Service {
    async fn exchange(&self, request: HttpRequest) -> Result<(StatusCode, HeaderMap, Bytes), (HttpErrorKind, String)> {
        let failed = |e: hyper_util::client::legacy::Error| {
            (if e.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Interrupted }, whole(&e))
        };
        let (parts, mut body) = self.0.request(request).await.map_err(failed)?.into_parts();
        let mut bytes = BytesMut::new();
        while bytes.len() < BODY_BYTES_MAX
            && let Some(frame) = body.frame().await
        {
            let frame = frame.map_err(|e| (HttpErrorKind::Interrupted, whole(&e)))?;
            bytes.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new()));
        }
        bytes.truncate(BODY_BYTES_MAX);
        Ok((parts.status, parts.headers, bytes.freeze()))
    }
}

/// What went wrong, down to the cause.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let roots = match ca {
        Some(file) => roots_of(file)?,
        None => {
            let mut roots = RootCertStore::empty();
            // Where there are none, a server with a certificate is refused, and one on this machine needs none.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|e| unfit("the TLS versions", &e.to_string()))?.with_root_certificates(roots).with_no_client_auth())
}

fn roots_of(file: &Path) -> Result<RootCertStore, StoreError> {
    let unfit = |why: &str| unfit(&file.display().to_string(), why);
    let read = CertificateDer::pem_file_iter(file).and_then(|items| items.collect::<Result<Vec<_>, _>>());
    let mut roots = RootCertStore::empty();
    for certificate in read.map_err(|e| unfit(&e.to_string()))? {
        roots.add(certificate).map_err(|e| unfit(&e.to_string()))?;
    }
    if roots.is_empty() { Err(unfit("it holds no certificate (PEM)")) } else { Ok(roots) }
}

fn unfit(what: &str, why: &str) -> StoreError {
    StoreError::NeedsOperator {
        what: format!("the s3 store's TLS cannot be set up: {what}: {why}"),
        remedy: "mend the file that the store's URL names as `ca`".into(),
    }
}
