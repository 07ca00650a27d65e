//! The challenge listener: http-01 (RFC 8555 section 8.3) and the redirect to https, over [`Answers::respond`].
//!
//! Always holds: HTTP's own rules are checked before the table is asked (one `Host` with HTTP/1.1, RFC 9112 section 3.2; an absolute
//! target's host goes before it); every request ends in exactly one event.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::address::ListenAddress;
use crate::answers::{AnswerTable, Reply};
use crate::bind::{BindError, bind};
use crate::host::Host;
use crate::limits::Limits;
use crate::serve::{ListenerHandle, Lost, Site, serve};

/// A challenge socket says what port 80 says to everybody, so everybody on the machine may connect.
const CHALLENGE_SOCKET_MODE: u32 = 0o666;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answered {
    /// With a challenge's answer.
    Challenge,
    /// With a redirect to https.
    Redirect,
    /// A challenge for a managed name that could not be answered (malformed token, account not known yet).
    NoAnswer,
    /// The name is not managed, or there is nothing to be had.
    NotManaged,
    /// Not HTTP, or not as it should be.
    BadRequest,
    /// The client took too long.
    TooSlow,
    /// The oldest connection made room for a new one.
    TooMany,
}

impl Answered {
    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Redirect => "redirect",
            Self::NoAnswer => "no_answer",
            Self::NotManaged => "not_managed",
            Self::BadRequest => "bad_request",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
        }
    }
}

/// Is told about every request. Called between request and reply: must be quick.
pub trait EdgeEvents: Send + Sync {
    /// `host` is lower case, without port, and safe to print; empty when there was none or it was malformed. With `NotManaged` it is the
    /// client's choice: no label for a metric.
    fn answered(&self, host: &str, outcome: Answered);
}

/// Starts to answer challenges on `address`; `[::]:PORT` is IPv4 too.
pub async fn listen_challenges(
    address: ListenAddress,
    table: AnswerTable,
    events: Arc<dyn EdgeEvents>,
    limits: Limits,
) -> Result<ListenerHandle, BindError> {
    let bound = bind(address, CHALLENGE_SOCKET_MODE, None).await?;
    Ok(serve(bound, Arc::new(Challenges { table, events }), limits))
}

pub(crate) struct Challenges {
    pub(crate) table: AnswerTable,
    pub(crate) events: Arc<dyn EdgeEvents>,
}

impl Challenges {
    fn look_up(&self, request: &Request<Incoming>) -> Reply {
        match host_of(request) {
            Ok(host) => self.table.load().respond(host, request.method(), &target_of(request)),
            Err(BadHost) => Reply::BadRequest,
        }
    }
}

impl Site for Challenges {
    fn is_early(&self, request: &Request<Incoming>) -> bool {
        self.look_up(request) == Reply::NotYet
    }

    fn reply(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (host, reply) = (host_of(request), self.look_up(request));
        let name = host.ok().flatten().and_then(Host::parse);
        self.events.answered(name.as_ref().map_or("", Host::name), outcome(&reply));
        response(reply)
    }

    fn lost(&self, why: Lost) {
        let outcome = match why {
            Lost::Malformed => Answered::BadRequest,
            Lost::TooSlow => Answered::TooSlow,
            Lost::PushedOut => Answered::TooMany,
        };
        self.events.answered("", outcome);
    }
}

/// `Host` is missing, doubled or not text.
#[derive(Debug, Clone, Copy)]
struct BadHost;

fn host_of<B>(request: &Request<B>) -> Result<Option<&str>, BadHost> {
    let mut headers = request.headers().get_all(HOST).iter();
    let header = headers.next().map(|value| value.to_str().map_err(|_| BadHost)).transpose()?;
    if headers.next().is_some() || (header.is_none() && request.version() == Version::HTTP_11) {
        return Err(BadHost);
    }
    Ok(request.uri().authority().map(|authority| authority.as_str()).or(header))
}

/// The path and query as they came; of an absolute target without a path, `/`.
fn target_of<B>(request: &Request<B>) -> String {
    match request.uri().path_and_query().map(|target| target.as_str()) {
        Some(target) if target.starts_with('?') => format!("/{target}"),
        Some(target) => target.to_owned(),
        None => String::new(),
    }
}

fn outcome(reply: &Reply) -> Answered {
    match reply {
        Reply::Challenge { .. } => Answered::Challenge,
        Reply::Redirect { .. } => Answered::Redirect,
        Reply::NoAnswer | Reply::NotYet => Answered::NoAnswer,
        Reply::NotManaged => Answered::NotManaged,
        Reply::MethodNotAllowed | Reply::BadRequest => Answered::BadRequest,
    }
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    match reply {
        Reply::Challenge { key_authorization } => plain(StatusCode::OK, "application/octet-stream", key_authorization),
        Reply::Redirect { location } => {
            with(plain(StatusCode::PERMANENT_REDIRECT, "text/plain", "over https, please\n"), LOCATION, location)
        }
        Reply::NoAnswer | Reply::NotYet => plain(StatusCode::NOT_FOUND, "text/plain", "no answer to this challenge here\n"),
        Reply::NotManaged => plain(StatusCode::NOT_FOUND, "text/plain", "not here\n"),
        Reply::MethodNotAllowed => {
            let refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD, please\n");
            with(refusal, ALLOW, HeaderValue::from_static("GET, HEAD"))
        }
        Reply::BadRequest => plain(StatusCode::BAD_REQUEST, "text/plain", "malformed request\n"),
    }
}

fn with(mut response: Response<Full<Bytes>>, name: http::HeaderName, value: HeaderValue) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name, value);
    response
}

/// A short reply. Only redirects may be cached: they stay true, answers do not.
fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let body = body.into();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status != StatusCode::PERMANENT_REDIRECT {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
