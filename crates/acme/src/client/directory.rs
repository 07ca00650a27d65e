//! The directory (RFC 8555 section 7.1.1): where the CA's other resources are. Read when first needed, and again when it is old.

use std::time::{Duration, Instant};

use bytes::Bytes;
use certfleet_core::ca::CaError;
use certfleet_core::time::Timestamp;
use http::{Method, Request, Uri};
use instant_acme::BodyWrapper;
use tokio::sync::Mutex;

use super::answer::Answer;
use super::transport::{Transport, permitted};

/// How old the directory may get before it is read again.
const AGE_SECONDS_MAX: u64 = 3600;

/// A CA's directory.
#[derive(Debug)]
pub(super) struct Directory {
    url: Uri,
    /// Held while it is read: many calls that start together make one request.
    document: Mutex<Option<(Instant, Bytes)>>,
}

impl Directory {
    pub fn new(url: &str) -> Result<Self, CaError> {
        let parsed = url.parse::<Uri>().map_err(|e| CaError::Malformed(format!("`{url}` is not the address of a directory: {e}")))?;
        permitted(&parsed)?;
        Ok(Self { url: parsed, document: Mutex::new(None) })
    }

    /// One that was read a moment ago.
    #[cfg(fuzzing)]
    pub fn known(url: &str, document: Bytes) -> Result<Self, CaError> {
        Ok(Self { document: Mutex::new(Some((Instant::now(), document))), ..Self::new(url)? })
    }

    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The document, as it came.
    pub async fn document(&self, transport: &Transport) -> Result<Bytes, CaError> {
        let mut document = self.document.lock().await;
        if let Some((read, known)) = &*document
            && read.elapsed() < Duration::from_secs(AGE_SECONDS_MAX)
        {
            return Ok(known.clone());
        }
        let body = self.read(transport).await?.body;
        *document = Some((Instant::now(), body.clone()));
        Ok(body)
    }

    /// The CA's clock.
    pub async fn date(&self, transport: &Transport) -> Result<Timestamp, CaError> {
        let answer = self.read(transport).await?;
        *self.document.lock().await = Some((Instant::now(), answer.body.clone()));
        answer.date().ok_or_else(|| CaError::Malformed(format!("the directory {} came without a usable `Date` header", self.url)))
    }

    async fn read(&self, transport: &Transport) -> Result<Answer, CaError> {
        let mut request = Request::new(BodyWrapper::default());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.url.clone();
        let answer = transport.send(request).await?;
        match answer.failure() {
            None if is_directory(&answer.body) => Ok(answer),
            None => Err(CaError::Malformed(format!("{} is not an ACME directory: check `directory`", self.url))),
            Some(CaError::NotFound(problem)) => Err(CaError::Malformed(format!("{}: {problem}; check `directory`", self.url))),
            Some(failure) => Err(failure),
        }
    }
}

fn is_directory(body: &[u8]) -> bool {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    ["newNonce", "newAccount", "newOrder"].iter().all(|resource| document[resource].is_string())
}
