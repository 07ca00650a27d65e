//! An answer as it came, and what it means by its status, headers and problem document.

use std::time::Duration;

use bytes::Bytes;
use certfleet_core::ca::{CaError, Problem};
use certfleet_core::time::Timestamp;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use super::retry_after;

/// What error types begin with (RFC 8555 section 6.7).
const KIND_PREFIX: &str = "urn:ietf:params:acme:error:";

/// Status, headers and body of one answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The server's clock.
    pub fn date(&self) -> Option<Timestamp> {
        retry_after::http_date(self.header(header::DATE)?)
    }

    /// When to come back. Dates are measured from the answer's own, so that this node's clock does not matter.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::span(self.header(header::RETRY_AFTER)?, self.date())
    }

    /// What it means if it is no success.
    pub fn failure(&self) -> Option<CaError> {
        if self.status.is_success() {
            return None;
        }
        if self.status.is_redirection() {
            let to = self.header(header::LOCATION).unwrap_or("elsewhere");
            return Some(CaError::Malformed(format!("it redirects to {to}; ACME has no redirects: give the final address")));
        }
        let problem = self.problem();
        let busy = self.status.is_server_error()
            || matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            || problem.kind == "rateLimited";
        Some(match self.status {
            _ if busy => CaError::Busy { problem, retry_after: self.retry_after() },
            StatusCode::NOT_FOUND => CaError::NotFound(problem),
            _ => CaError::Refused(problem),
        })
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn problem(&self) -> Problem {
        let status = Some(self.status.as_u16());
        match serde_json::from_slice::<Document>(&self.body) {
            Ok(document) if document.says_something() => document.problem(status),
            _ => Problem::new("", &format!("HTTP status {} without a problem document", self.status), status),
        }
    }
}

/// A problem document (RFC 7807, RFC 8555 section 6.7.1).
#[derive(Deserialize)]
struct Document {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    subproblems: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    detail: String,
    identifier: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    value: String,
}

impl Document {
    fn says_something(&self) -> bool {
        !self.kind.is_empty() || !self.detail.is_empty()
    }

    fn problem(&self, status: Option<u16>) -> Problem {
        let parts = self.subproblems.iter().map(|part| (part.identifier.as_ref().map(|named| named.value.as_str()), part.detail.as_str()));
        problem(&self.kind, &self.detail, parts, status)
    }
}

/// A problem with its parts in one text.
pub(super) fn problem<'a>(
    kind: &str,
    detail: &str,
    parts: impl Iterator<Item = (Option<&'a str>, &'a str)>,
    status: Option<u16>,
) -> Problem {
    let mut text = detail.to_owned();
    for (name, part) in parts {
        text.push_str("; ");
        if let Some(name) = name {
            text.push_str(name);
            text.push_str(": ");
        }
        text.push_str(part);
    }
    Problem::new(kind.strip_prefix(KIND_PREFIX).unwrap_or(kind), &text, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(header::HeaderName, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("header"))).collect();
        Answer { status: StatusCode::from_u16(status).expect("status"), headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_problem_document_loses_nothing() {
        let body = r#"{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no",
            "subproblems":[{"type":"x","detail":"forbidden","identifier":{"type":"dns","value":"a.example"}},{"detail":"also"}]}"#;
        let wanted = Problem::new("rejectedIdentifier", "no; a.example: forbidden; also", Some(403));
        assert_eq!(answer(403, &[], body).failure(), Some(CaError::Refused(wanted)));
    }

    #[test]
    fn the_status_decides() {
        let kind = |status, body: &str| answer(status, &[], body).failure();
        assert_eq!(kind(200, ""), None);
        assert!(matches!(kind(404, ""), Some(CaError::NotFound(_))));
        assert!(matches!(kind(400, "{}"), Some(CaError::Refused(_))));
        for busy in [429, 500, 502, 503, 408] {
            assert!(matches!(kind(busy, "<html>"), Some(CaError::Busy { retry_after: None, .. })), "{busy}");
        }
        assert!(matches!(kind(403, r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#), Some(CaError::Busy { .. })));
        let moved = answer(301, &[(header::LOCATION, "https://new.example/dir")], "").failure();
        assert!(moved.is_some_and(|error| error.to_string().contains("https://new.example/dir")));
    }

    #[test]
    fn retry_after_is_measured_by_the_answers_own_clock() {
        let date = (header::DATE, "Fri, 31 Dec 1999 23:59:00 GMT");
        let later = (header::RETRY_AFTER, "Sat, 01 Jan 2000 00:00:30 GMT");
        assert_eq!(answer(503, &[date, later], "").retry_after(), Some(Duration::from_secs(90)));
        let seconds = (header::RETRY_AFTER, "120");
        let said = answer(429, &[seconds], "slow down").failure();
        let problem = Problem::new("", "HTTP status 429 Too Many Requests without a problem document", Some(429));
        assert_eq!(said, Some(CaError::Busy { problem, retry_after: Some(Duration::from_secs(120)) }));
    }
}
