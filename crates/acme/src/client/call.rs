//! One call of the trait: its requests, and what the CA answered last.
//!
//! The ACME library tells neither headers nor the status, and takes every failure for JSON. So each call has an HTTP client of its own, which
//! keeps the last answer: after a failure, that is what counts.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use certfleet_core::ca::CaError;
use http::{Method, Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::answer::Answer;
use super::transport::{REPLAY_NONCE, Transport};

/// How often a message is sent again, each time with up to three nonces, while the CA rejects them (RFC 8555 section 6.5). Even where every
/// second nonce is rejected, one message in sixteen million fails.
pub(super) const NONCE_ROUNDS_MAX: usize = 8;

/// Awaits a library call, and again while the CA rejects its nonces. A macro, since the compiler cannot see that the future of an async
/// closure with borrowed values is `Send`.
macro_rules! persist {
    ($call:expr, $attempt:expr) => {{
        let mut round = 0;
        loop {
            round += 1;
            match $attempt.await {
                Err(_) if $call.rejected_nonce() && round < $crate::client::call::NONCE_ROUNDS_MAX => {}
                outcome => break outcome.map_err(|error| $call.error(error)),
            }
        }
    }};
}
pub(super) use persist;

/// What was said in one call.
#[derive(Debug, Default)]
pub(super) struct Call {
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// Answers that are known already: given, in turn, instead of making requests.
    rehearsed: VecDeque<Bytes>,
    /// The last answer.
    answer: Answer,
    /// Why there was none.
    failure: Option<CaError>,
}

impl Call {
    /// Answers the next requests with these documents, and makes none.
    pub fn rehearse(&self, documents: impl IntoIterator<Item = Bytes>) {
        self.said().rehearsed.extend(documents);
    }

    /// The last answer.
    pub fn answer(&self) -> Answer {
        self.said().answer.clone()
    }

    /// Whether the last answer was that the nonce is not good (any more).
    pub fn rejected_nonce(&self) -> bool {
        matches!(self.failure(), Some(CaError::Refused(problem)) if problem.kind == "badNonce")
    }

    /// What the failure of a library call means.
    pub fn error(&self, error: Error) -> CaError {
        self.failure().unwrap_or_else(|| match error {
            Error::KeyRejected => CaError::Malformed("the account key is not an ECDSA P-256 key in PKCS#8".into()),
            other => CaError::Malformed(chain(&other)),
        })
    }

    /// Why the last answer is none, or what kind of refusal it is.
    pub fn failure(&self) -> Option<CaError> {
        let said = self.said();
        said.failure.clone().or_else(|| said.answer.failure())
    }

    fn heard(&self, outcome: Result<Answer, CaError>) -> Result<Answer, CaError> {
        let mut said = self.said();
        said.failure = outcome.as_ref().err().cloned();
        said.answer = outcome.as_ref().ok().cloned().unwrap_or_default();
        outcome
    }

    /// The answer to `request`, if it is known already.
    fn rehearsed(&self, request: &Request<BodyWrapper<Bytes>>) -> Option<Response<Bytes>> {
        let mut said = self.said();
        if request.method() != Method::HEAD {
            return said.rehearsed.pop_front().map(Response::new);
        }
        let response = Response::builder().header(REPLAY_NONCE, "rehearsed").body(Bytes::new());
        response.ok().filter(|_| !said.rehearsed.is_empty())
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The HTTP client of one call.
pub(super) struct Wire {
    pub transport: Arc<Transport>,
    pub call: Arc<Call>,
}

impl HttpClient for Wire {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (transport, call) = (Arc::clone(&self.transport), Arc::clone(&self.call));
        Box::pin(async move {
            if let Some(response) = call.rehearsed(&request) {
                return Ok(bytes_response(response));
            }
            let outcome = match request.method() {
                &Method::HEAD => transport.nonce(request).await,
                _ => transport.send(request).await,
            };
            let answer = call.heard(outcome).map_err(|error| Error::Other(Box::new(error)))?;
            let mut response = Response::new(answer.body);
            (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
            Ok(bytes_response(response))
        })
    }
}

fn bytes_response(response: Response<Bytes>) -> BytesResponse {
    let (parts, body) = response.into_parts();
    BytesResponse { parts, body: Box::new(body) }
}

/// An error and what is behind it, in one line.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}
