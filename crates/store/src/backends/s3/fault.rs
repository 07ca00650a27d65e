//! What an answer of S3 that is no success means, and what no answer means.
//!
//! Always holds: a write is said to be undone only where that is certain: it was never sent, or S3 refused it for what it is. What servers
//! answer with 500 to 599 is not: some that are compatible say 503 (`SlowDown`, too) where a write reached a part of their disks, and what stands
//! between us and S3 says 502 to 504 where it lost the answer.

use http::{HeaderMap, StatusCode};

use super::http::Outcome;
use crate::error::StoreError;

/// What others say is shown up to this length.
const TEXT_CHARS_MAX: usize = 300;
/// AWS says by it where a bucket is, if it is elsewhere.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    /// S3's own word, as `NoSuchKey`; empty if there is none.
    code: String,
    message: String,
    region: Option<String>,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It was certainly not carried out.
    Undone(StoreError),
    /// Whether it was carried out is not known; as an error of a read.
    Open(StoreError),
}

impl Fault {
    pub(super) fn error(self) -> StoreError {
        match self {
            Self::Undone(error) | Self::Open(error) => error,
        }
    }

    /// Whether the same once more may do better.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Undone(StoreError::Away { .. }) | Self::Open(StoreError::Away { .. }))
    }

    /// Of a call to `host` about `bucket`; `error` is what S3's library says.
    pub(super) fn of(outcome: Outcome, error: &str, host: &str, bucket: &str) -> Self {
        match outcome {
            Outcome::Unsent => Self::Undone(away(host, error, "see that this node can get credentials")),
            Outcome::Unreached(why) => Self::Undone(away(host, &why, "see that it runs and that this node can reach it")),
            Outcome::Lost(why) => Self::Open(away(host, &why, "see that it runs and that this node can reach it")),
            Outcome::Done => Self::Open(away(host, &format!("its answer makes no sense: {error}"), "see that it is an S3 server")),
            Outcome::Refused(refusal) => refusal.fault(host, bucket),
        }
    }
}

/// S3's words that need a person, with what to do. `{bucket}` stands for the bucket.
const REMEDIES: [(&str, &str); 14] = [
    ("NoSuchBucket", "make it (`aws s3api create-bucket --bucket {bucket}`), or name another one in the store's URL"),
    ("InvalidAccessKeyId", "check the access key: `user=` in the store's URL, or what stands in the environment"),
    ("SignatureDoesNotMatch", "check the secret key (`password_file=` in the store's URL) and `region=`"),
    ("AuthorizationHeaderMalformed", "name the bucket's region in the store's URL: `region=`"),
    ("IllegalLocationConstraintException", "name the bucket's region in the store's URL: `region=`"),
    ("PermanentRedirect", "name the bucket's region in the store's URL: `region=`"),
    ("RequestTimeTooSkewed", "set this machine's clock (NTP)"),
    ("ExpiredToken", "renew the credentials"),
    ("InvalidToken", "renew the credentials"),
    ("AccessDenied", "give the key the rights that docs/store-s3.md lists; without s3:ListBucket, what is absent reads as denied"),
    ("NotImplemented", "this server knows no conditional writes; take one that does (docs/store-s3.md)"),
    ("KeyTooLongError", "give the store a shorter prefix"),
    ("XMinioInvalidObjectName", "give the store a shorter prefix"),
    ("QuotaExceeded", "give the bucket more room"),
];

impl Refusal {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let part = |name: &str| between(&text, name).chars().take(TEXT_CHARS_MAX).collect::<String>().escape_default().to_string();
        let region = headers.get(REGION_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { status, code: part("Code"), message: part("Message"), region }
    }

    /// There is no such object.
    pub(super) fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && matches!(self.code.as_str(), "NoSuchKey" | "NoSuchVersion")
    }

    /// What is there is not what the condition wants. (304: some servers, for `If-None-Match`.)
    pub(super) fn is_mismatch(&self) -> bool {
        matches!(self.status, StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED)
    }

    /// Another conditional write was under way; nothing was written.
    pub(super) fn is_busy(&self) -> bool {
        self.status == StatusCode::CONFLICT && matches!(self.code.as_str(), "ConditionalRequestConflict" | "OperationAborted")
    }

    fn fault(self, host: &str, bucket: &str) -> Fault {
        let shown = format!("{} {} {}", self.status.as_u16(), self.code, self.message);
        let what = format!("S3 at {host} refuses what is asked about bucket `{bucket}`: {}", shown.trim_end());
        let known = REMEDIES.iter().find(|(code, _)| *code == self.code).map(|(_, remedy)| *remedy);
        let needs = |remedy: &str| StoreError::NeedsOperator { what: what.clone(), remedy: remedy.replace("{bucket}", bucket) };
        if let Some(region) = self.region.as_ref().filter(|_| self.status.is_redirection() || self.code == "AuthorizationHeaderMalformed") {
            return Fault::Undone(needs(&format!("write `region={region}` in the store's URL")));
        }
        match self.status.as_u16() {
            _ if self.code == "RequestTimeout" => Fault::Open(away(host, &shown, "see that this node can reach it")),
            408 => Fault::Open(away(host, &shown, "see that this node can reach it")),
            429 => Fault::Undone(away(host, &shown, "it is asked too much; a longer `poll=` asks less")),
            501 => Fault::Undone(needs(known.unwrap_or("take a server with conditional writes (docs/store-s3.md)"))),
            500.. if known.is_some() => Fault::Open(needs(known.unwrap_or_default())),
            500.. => Fault::Open(away(host, shown.trim_end(), "it has trouble of its own; see its log or status page")),
            301 | 307 | 308 => Fault::Undone(needs(known.unwrap_or("name the bucket's region in the store's URL: `region=`"))),
            401 | 403 => Fault::Undone(needs(known.unwrap_or("check the key, and that it has the rights that docs/store-s3.md lists"))),
            404 => Fault::Undone(needs(known.unwrap_or("check bucket and endpoint in the store's URL"))),
            _ => Fault::Undone(needs(known.unwrap_or("check endpoint, `style=` and `region=` in the store's URL"))),
        }
    }
}

/// It does not answer as it should.
pub(super) fn away(host: &str, why: &str, remedy: &str) -> StoreError {
    let why: String = why.chars().take(2 * TEXT_CHARS_MAX).collect();
    StoreError::Away { why: format!("S3 at {host}: {why}; {remedy}") }
}

/// What stands in the first element of this name.
fn between<'a>(xml: &'a str, name: &str) -> &'a str {
    let inside = xml.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    inside.map_or("", |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn refusal(status: u16, code: &str) -> Refusal {
        let body = format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>It says so</Message></Error>");
        Refusal::of(StatusCode::from_u16(status).expect("a status"), &HeaderMap::new(), body.as_bytes())
    }

    fn fault(status: u16, code: &str) -> Fault {
        Fault::of(Outcome::Refused(refusal(status, code)), "", "s3.example.com", "fleet")
    }

    #[test]
    fn only_what_is_certain_is_undone() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (503, ""),
            (502, ""),
            (504, ""),
            (408, ""),
            (400, "RequestTimeout"),
            (507, "QuotaExceeded"),
        ] {
            assert!(matches!(fault(status, code), Fault::Open(_)), "{status} {code}");
        }
        assert!(matches!(Fault::of(Outcome::Lost("reset".into()), "", "h", "b"), Fault::Open(_)));
        for (status, code) in
            [(403, "AccessDenied"), (400, "InvalidArgument"), (404, "NoSuchBucket"), (429, ""), (501, "NotImplemented"), (301, "")]
        {
            assert!(matches!(fault(status, code), Fault::Undone(_)), "{status} {code}");
        }
        for outcome in [Outcome::Unsent, Outcome::Unreached("refused".into())] {
            assert!(matches!(Fault::of(outcome, "no credentials", "h", "b"), Fault::Undone(StoreError::Away { .. })));
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        for (status, code, kind, remedy) in [
            (404, "NoSuchBucket", ErrorKind::NeedsOperator, "create-bucket --bucket fleet"),
            (403, "InvalidAccessKeyId", ErrorKind::NeedsOperator, "`user=`"),
            (403, "SignatureDoesNotMatch", ErrorKind::NeedsOperator, "`password_file="),
            (403, "RequestTimeTooSkewed", ErrorKind::NeedsOperator, "clock"),
            (403, "", ErrorKind::NeedsOperator, "docs/store-s3.md"),
            (501, "NotImplemented", ErrorKind::NeedsOperator, "conditional writes"),
            (503, "SlowDown", ErrorKind::Retry, "status page"),
            (429, "", ErrorKind::Retry, "poll="),
        ] {
            let error = fault(status, code).error();
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.contains("S3 at s3.example.com") && text.contains(remedy) && text.contains(code), "{text}");
        }
        let elsewhere = HeaderMap::from_iter([(http::HeaderName::from_static(REGION_HEADER), http::HeaderValue::from_static("eu-west-3"))]);
        let moved = Refusal::of(StatusCode::MOVED_PERMANENTLY, &elsewhere, b"<Error><Code>PermanentRedirect</Code></Error>");
        assert!(moved.fault("AWS", "fleet").error().to_string().contains("`region=eu-west-3`"));
    }

    #[test]
    fn conditions_are_told_from_the_rest() {
        assert!(refusal(412, "PreconditionFailed").is_mismatch() && refusal(304, "").is_mismatch());
        assert!(refusal(409, "ConditionalRequestConflict").is_busy() && !refusal(409, "BucketAlreadyExists").is_busy());
        assert!(refusal(404, "NoSuchKey").is_missing() && !refusal(404, "NoSuchBucket").is_missing() && !refusal(404, "").is_missing());
    }
}
