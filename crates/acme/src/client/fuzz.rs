//! A client whose CA says what it is told to, for the fuzzing workspace alone (`--cfg fuzzing`).

use std::collections::VecDeque;

use bytes::Bytes;
use certfleet_core::ca::CaError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Client;
use super::answer::Answer;
use super::directory::Directory;
use super::transport::{REPLAY_NONCE, Transport};

/// Where this CA is.
const DIRECTORY: &str = "https://ca.test/directory";
/// Where its resources are.
const DOCUMENT: &str = r#"{"newNonce":"https://ca.test/nonce","newAccount":"https://ca.test/account","newOrder":"https://ca.test/order","keyChange":"https://ca.test/key"}"#;

/// What the CA says to one request.
#[derive(Debug, Clone, Default)]
pub struct ScriptedAnswer {
    /// The status; what is none is 200.
    pub status: u16,
    /// Names and values; what cannot be a header is left out.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl From<ScriptedAnswer> for Answer {
    /// With a nonce, so that the next request can be made.
    fn from(scripted: ScriptedAnswer) -> Self {
        let header = |(name, value): (String, Vec<u8>)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
        let mut headers: HeaderMap = scripted.headers.into_iter().filter_map(header).collect();
        headers.entry(REPLAY_NONCE).or_insert(HeaderValue::from_static("nonce"));
        Self { status: StatusCode::from_u16(scripted.status).unwrap_or(StatusCode::OK), headers, body: Bytes::from(scripted.body) }
    }
}

impl Client {
    /// A client that gets these answers, one for each request, whatever it asks, and none when there are no more. Its directory is known unless
    /// `knows_directory` is false.
    pub fn scripted(answers: impl IntoIterator<Item = ScriptedAnswer>, knows_directory: bool) -> Result<Self, CaError> {
        let answers: VecDeque<Answer> = answers.into_iter().map(Answer::from).collect();
        let directory = match knows_directory {
            true => Directory::known(DIRECTORY, Bytes::from_static(DOCUMENT.as_bytes()))?,
            false => Directory::new(DIRECTORY)?,
        };
        Ok(Self { directory, transport: Transport::scripted(answers).into() })
    }
}
