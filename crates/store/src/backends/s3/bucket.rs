//! The bucket: one call for each thing that is asked of S3.
//!
//! Always holds: a read is repeated a few times where that may help; a write is sent again only after S3 said that it was not carried out because
//! another was under way.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderValue, IF_MATCH};
use http::{Method, Request};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{ClientOptions, GetOptions, ObjectStore, PutMode, PutOptions, RetryConfig, UpdateVersion};

use super::credentials::with_credentials;
use super::fault::{Fault, away};
use super::http::{Connector, Exchange, Outcome};
use super::list::{Page, QUERY, unquoted};
use super::url::S3Url;
use super::value::{OBJECT_BYTES_MAX, Object};
use crate::error::StoreError;

/// How often a read is tried, while this much time has not passed since the first try; and the pause after the first, doubled after each.
const READ_TRIES_MAX: u32 = 3;
const READ_MS_MAX: u64 = 8_000;
const READ_PAUSE_MS: u64 = 100;
/// How often a write is sent that S3 put off because another was under way, and the pause after the first, doubled after each.
const BUSY_TRIES_MAX: u32 = 6;
const BUSY_PAUSE_MS: u64 = 20;
/// How long a signature counts.
const SIGNED_SECONDS: u64 = 60;
/// AWS' oldest region, which compatible servers without regions are content with.
const REGION: &str = "us-east-1";
/// Where the AWS tools look for the region.
const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// What must be there for a write to take place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition<'a> {
    Absent,
    Etag(&'a str),
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// It took place; the ETag of what is there now.
    Done(String),
    /// Something else is there …
    Mismatch,
    /// … or nothing is, where something was to be.
    Missing,
    /// Not known.
    Unknown(String),
}

/// The bucket that a URL names.
#[derive(Debug)]
pub(super) struct Bucket {
    s3: AmazonS3,
    http: HttpClient,
    host: String,
    name: String,
}

impl Bucket {
    pub(super) fn new(url: &S3Url) -> Result<Self, StoreError> {
        let connector = Connector::new(url.ca.as_deref())?;
        let region = REGION_VARIABLES.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let region = url.region.clone().or(region).unwrap_or_else(|| REGION.to_owned());
        // Requests go out once; what is repeated is repeated here.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new().with_bucket_name(&url.bucket).with_region(region).with_retry(retry);
        builder = builder.with_virtual_hosted_style_request(url.is_virtual_hosted);
        if let Some(endpoint) = &url.endpoint {
            let scheme = if endpoint.is_tls { "https" } else { "http" };
            let bucket = if url.is_virtual_hosted { format!("{}.", url.bucket) } else { String::new() };
            builder = builder.with_endpoint(format!("{scheme}://{bucket}{}", endpoint.host));
        }
        // What the connections may do is said by the connector; these options are for other ones.
        builder = builder.with_client_options(ClientOptions::new().with_allow_http(true)).with_http_connector(connector.clone());
        let s3 = with_credentials(builder, url.login.as_ref()).build();
        let s3 = s3.map_err(|e| StoreError::NeedsOperator {
            what: format!("the s3 store cannot be set up: {e}"),
            remedy: "check the store's URL, and what AWS_… variables say".into(),
        })?;
        Ok(Self { s3, http: connector.client(), host: url.host().to_owned(), name: url.bucket.clone() })
    }

    /// Where it is, for messages.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The object of this name.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let path = path(name)?;
        self.patiently(|| async {
            let exchange = Exchange::default();
            let options = GetOptions { extensions: with(&exchange), ..GetOptions::default() };
            let read = async {
                let answer = self.s3.get_opts(&path, options).await?;
                let (etag, length) = (answer.meta.e_tag.clone().unwrap_or_default(), answer.meta.size);
                Ok((etag, length, answer.bytes().await?))
            };
            match read.await {
                Ok((etag, ..)) if unquoted(&etag).is_empty() => Err(self.odd("it gives no ETag")),
                Ok((etag, length, bytes)) => {
                    let kept = if bytes.len() > OBJECT_BYTES_MAX { Bytes::copy_from_slice(&bytes[..OBJECT_BYTES_MAX]) } else { bytes };
                    Ok(Some(Object { etag: unquoted(&etag).to_owned(), length, bytes: kept }))
                }
                Err(error) => match exchange.outcome() {
                    Outcome::Refused(refusal) if refusal.is_missing() => Ok(None),
                    outcome => Err(self.fault(outcome, error)),
                },
            }
        })
        .await
    }

    /// Writes an object if what is there is as it should be.
    pub(super) async fn put(&self, name: &str, bytes: &Bytes, condition: Condition<'_>) -> Result<Written, StoreError> {
        let path = path(name)?;
        for tries in 0..BUSY_TRIES_MAX {
            let exchange = Exchange::default();
            let mode = match condition {
                Condition::Absent => PutMode::Create,
                Condition::Etag(etag) => PutMode::Update(UpdateVersion { e_tag: Some(format!("\"{etag}\"")), version: None }),
            };
            let options = PutOptions { mode, extensions: with(&exchange), ..PutOptions::default() };
            let error = match self.s3.put_opts(&path, bytes.clone().into(), options).await.map(|put| put.e_tag) {
                Ok(Some(etag)) => return Ok(Written::Done(unquoted(&etag).to_owned())),
                Ok(None) => return Ok(Written::Unknown(self.odd("it gives no ETag").error().to_string())),
                Err(error) => error,
            };
            if let Some(written) = self.refused(exchange.outcome(), error)? {
                return Ok(written);
            }
            pause(BUSY_PAUSE_MS, tries).await;
        }
        Err(away(&self.host, &format!("`{name}` is written by others all the time"), "try again"))
    }

    /// Removes the object if its ETag is this one. Some servers remove it whatever its ETag is: [`super::clean`] looks for that first.
    pub(super) async fn delete(&self, name: &str, etag: &str) -> Result<Written, StoreError> {
        let value = HeaderValue::from_str(&format!("\"{etag}\"")).map_err(|_| self.odd("its ETags are no header's value").error())?;
        let options = SignedUrlOptions::new().with_signed_header(IF_MATCH, value);
        let (exchange, answer) = self.signed(Method::DELETE, &path(name)?, &options).await;
        let outcome = exchange.outcome();
        if outcome == Outcome::Done {
            return Ok(Written::Done(String::new()));
        }
        let error = answer.err().unwrap_or_else(|| generic("refused"));
        Ok(self.refused(outcome, error)?.unwrap_or_else(|| Written::Unknown("another write is under way".into())))
    }

    /// A page of what has names that begin so.
    pub(super) async fn page(&self, prefix: &str, token: Option<&str>) -> Result<Page, StoreError> {
        let options = SignedUrlOptions::new().with_query(QUERY).with_query([("prefix", prefix)]);
        let options = options.with_query(token.map(|token| ("continuation-token", token)));
        self.patiently(|| async {
            let (exchange, answer) = self.signed(Method::GET, &Path::ROOT, &options).await;
            match (exchange.outcome(), answer) {
                (Outcome::Done, Ok(body)) => Page::parse(&body).map_err(|why| self.odd(&why)),
                (outcome, answer) => Err(self.fault(outcome, answer.err().unwrap_or_else(|| generic("refused")))),
            }
        })
        .await
    }

    /// A request that S3's library signs and does not know.
    async fn signed(&self, method: Method, path: &Path, options: &SignedUrlOptions) -> (Exchange, object_store::Result<Bytes>) {
        let exchange = Exchange::default();
        let call = async {
            let url = self.s3.signed_url_opts(method.clone(), path, Duration::from_secs(SIGNED_SECONDS), options).await?;
            let request = Request::builder().method(method).uri(url.as_str()).body(HttpRequestBody::empty());
            let mut request = request.map_err(|e| generic(e.to_string()))?;
            request.headers_mut().extend(options.signed_headers.clone());
            request.extensions_mut().extend(with(&exchange));
            let answer = self.http.execute(request).await.map_err(|e| generic(e.to_string()))?;
            answer.into_body().bytes().await.map_err(|e| generic(e.to_string()))
        };
        let answer = call.await;
        (exchange, answer)
    }

    /// What became of a write that was not done; `None`: it may be sent again.
    fn refused(&self, outcome: Outcome, error: object_store::Error) -> Result<Option<Written>, StoreError> {
        match outcome {
            Outcome::Refused(refusal) if refusal.is_mismatch() => Ok(Some(Written::Mismatch)),
            Outcome::Refused(refusal) if refusal.is_missing() => Ok(Some(Written::Missing)),
            Outcome::Refused(refusal) if refusal.is_busy() => Ok(None),
            outcome => match self.fault(outcome, error) {
                Fault::Undone(error) => Err(error),
                Fault::Open(why) => Ok(Some(Written::Unknown(why.to_string()))),
            },
        }
    }

    async fn patiently<T, F: Future<Output = Result<T, Fault>>>(&self, read: impl Fn() -> F) -> Result<T, StoreError> {
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            match read().await {
                Ok(answer) => return Ok(answer),
                Err(fault) => {
                    tries += 1;
                    if !fault.passes() || tries == READ_TRIES_MAX || begun.elapsed() > Duration::from_millis(READ_MS_MAX) {
                        return Err(fault.error());
                    }
                    pause(READ_PAUSE_MS, tries - 1).await;
                }
            }
        }
    }

    /// What it means that a call failed.
    fn fault(&self, outcome: Outcome, error: object_store::Error) -> Fault {
        let text = error.to_string();
        // Our own word about the credentials, on its way through the library.
        if let object_store::Error::Generic { source, .. } = error
            && let Ok(ours) = source.downcast::<StoreError>()
        {
            return Fault::Undone(*ours);
        }
        Fault::of(outcome, &text, &self.host, &self.name)
    }

    fn odd(&self, why: &str) -> Fault {
        Fault::of(Outcome::Done, why, &self.host, &self.name)
    }
}

fn with(exchange: &Exchange) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    extensions.insert(exchange.clone());
    extensions
}

fn path(name: &str) -> Result<Path, StoreError> {
    Path::parse(name).map_err(|e| StoreError::Away { why: format!("`{name}` is no name for an object: {e}") })
}

fn generic(why: impl Into<String>) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: why.into().into() }
}

async fn pause(first_ms: u64, doublings: u32) {
    tokio::time::sleep(Duration::from_millis(first_ms << doublings)).await;
}
