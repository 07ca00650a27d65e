//! The admin listener (status, health, metrics; a Unix socket by default) and the metrics listener.
//!
//! Always holds: both only read; an admin socket is closed to others from its first moment on.
//!
//! Deliberately not here: what is said (an [`AdminSource`] says it), and authentication: who may open the socket may ask. A TCP address for
//! the admin listener is the operator's choice.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::address::ListenAddress;
use crate::bind::{BindError, bind};
use crate::limits::Limits;
use crate::serve::{ListenerHandle, Site, serve};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Only the daemon's own user.
const PRIVATE_SOCKET_MODE: u32 = 0o600;
/// The group too.
const GROUP_SOCKET_MODE: u32 = 0o660;

/// Whether all is well, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// 200 or 503.
    pub ok: bool,
    /// For people: the reasons, a line each.
    pub text: String,
}

/// What the admin and metrics listeners say. Called for each request: must not wait for anything.
pub trait AdminSource: Send + Sync {
    /// The body of `/status`, JSON.
    fn status(&self) -> String;
    /// `/healthz`: whether the process does its work.
    fn healthy(&self) -> Health;
    /// `/readyz`: whether it may be relied on now.
    fn ready(&self) -> Health;
    /// `/metrics`, in the OpenMetrics text format.
    fn metrics(&self) -> String;
}

/// Starts the admin listener: `/status`, `/healthz`, `/readyz`, `/metrics`. A Unix socket is 0660 and `group`'s if there is one, else 0600;
/// a socket file that a dead process left is replaced, a live one is an error.
pub async fn listen_admin(
    address: ListenAddress,
    group: Option<String>,
    source: Arc<dyn AdminSource>,
) -> Result<ListenerHandle, BindError> {
    let mode = if group.is_some() { GROUP_SOCKET_MODE } else { PRIVATE_SOCKET_MODE };
    let bound = bind(address, mode, group).await?;
    Ok(serve(bound, Arc::new(Admin { source, scope: Scope::All }), Limits::of_admin()))
}

/// Starts the metrics listener: `/metrics` and nothing else. A Unix socket is 0600.
pub async fn listen_metrics(address: ListenAddress, source: Arc<dyn AdminSource>) -> Result<ListenerHandle, BindError> {
    let bound = bind(address, PRIVATE_SOCKET_MODE, None).await?;
    Ok(serve(bound, Arc::new(Admin { source, scope: Scope::Metrics }), Limits::of_admin()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Metrics,
}

struct Admin {
    source: Arc<dyn AdminSource>,
    scope: Scope,
}

impl Site for Admin {
    fn reply(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD, please\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match (request.uri().path(), self.scope) {
            ("/metrics", _) => text(StatusCode::OK, OPEN_METRICS, self.source.metrics()),
            ("/status", Scope::All) => text(StatusCode::OK, JSON, self.source.status()),
            ("/healthz", Scope::All) => health(self.source.healthy()),
            ("/readyz", Scope::All) => health(self.source.ready()),
            (_, Scope::All) => text(StatusCode::NOT_FOUND, TEXT, "not here; there are /status, /healthz, /readyz and /metrics\n"),
            (_, Scope::Metrics) => text(StatusCode::NOT_FOUND, TEXT, "not here; there is /metrics\n"),
        }
    }
}

fn health(health: Health) -> Response<Full<Bytes>> {
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, TEXT, health.text)
}

fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
