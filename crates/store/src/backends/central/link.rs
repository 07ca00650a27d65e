//! The connections of a handle: kept alive while nothing is asked, made anew by themselves, never shared by two questions.
//!
//! Always holds: a question is sent again only if it is certain that it never arrived, or if it only reads.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use certfleet_core::key::Key;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{Connection, Unanswered};
use super::lines::whole;
use super::tls::Tls;
use super::url::CentralUrl;
use crate::Credentials;
use crate::error::StoreError;
use crate::wire::{Ask, Explanation};

/// How long the server may take until it begins to answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 20;
/// How long it may be silent in the middle of an answer, in seconds.
pub(super) const SILENCE_SECONDS_MAX: u64 = 20;
/// Questions at one time; more wait.
const CALLS_MAX: usize = 16;
/// Connections that are kept while nothing is asked.
const IDLE_MAX: usize = 4;
/// Longest explanation that is read, in bytes.
const EXPLANATION_BYTES_MAX: usize = 64 * 1024;

/// The way to a server.
pub(super) struct Link {
    url: CentralUrl,
    server: String,
    tls: Tls,
    idle: Mutex<Vec<Connection>>,
    calls: Semaphore,
}

/// An answer that has begun; the connection goes back when it was read to its end.
pub(super) struct Begun {
    pub(super) response: Response<Incoming>,
    pub(super) connection: Connection,
}

/// Why there is no answer.
pub(super) enum Failed {
    /// The server did nothing.
    NotDone(StoreError),
    /// It may have.
    Lost(String),
}

impl From<Failed> for StoreError {
    /// For what only reads.
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotDone(error) => error,
            Failed::Lost(why) => Self::Away { why },
        }
    }
}

impl Link {
    pub(super) fn new(url: CentralUrl, credentials: &Credentials) -> Result<Self, StoreError> {
        let tls = Tls::new(&credentials.key, credentials.servers.clone());
        let tls = tls.map_err(|error| StoreError::NeedsOperator {
            what: format!("this node's key cannot be used for TLS: {error}"),
            remedy: "see that identity.json in the state directory is as `certfleet join` wrote it".into(),
        })?;
        Ok(Self { server: url.to_string(), url, tls, idle: Mutex::default(), calls: Semaphore::new(CALLS_MAX) })
    }

    /// Where it is, for messages.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Connects once.
    pub(super) async fn try_out(&self) -> Result<(), StoreError> {
        let connection = self.connect().await?;
        self.give_back(connection);
        Ok(())
    }

    /// A new connection, for whoever keeps it for long.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        Connection::open(&self.url, &self.tls).await
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_over());
        idle.pop()
    }

    /// For the next question.
    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && !connection.is_over() {
            idle.push(connection);
        }
    }

    /// Asks, and gives the whole answer of at most `bytes_max`. `key` is what it is about, for errors.
    pub(super) async fn call(&self, ask: &Ask, key: &Key, bytes_max: usize) -> Result<Bytes, Failed> {
        let is_read = matches!(ask, Ask::Get { .. } | Ask::List { .. });
        let _one_of_few = self.calls.acquire().await.map_err(|_| self.lost("it is closed"))?;
        let mut again = is_read;
        loop {
            let answer = async {
                let begun = self.begin(ask, key.as_str(), None).await?;
                let body = whole(begun.response.into_body(), bytes_max, Duration::from_secs(SILENCE_SECONDS_MAX)).await;
                let body = body.map_err(|why| self.lost(&why))?;
                self.give_back(begun.connection);
                Ok(body)
            };
            match answer.await {
                // A connection that had been idle may have been closed by the server at that very moment.
                Err(Failed::Lost(_)) if std::mem::take(&mut again) => {}
                answer => return answer,
            }
        }
    }

    /// Asks, and gives the answer that begins, if it is one. Without a connection, one that is idle is taken, or a new one.
    pub(super) async fn begin(&self, ask: &Ask, about: &str, connection: Option<Connection>) -> Result<Begun, Failed> {
        let question = Bytes::from(serde_json::to_vec(ask).expect("keys, envelopes and text serialise"));
        let mut mine = connection;
        loop {
            let (mut connection, is_fresh) = match mine.take().or_else(|| self.take_idle()) {
                Some(connection) => (connection, false),
                None => (self.connect().await.map_err(Failed::NotDone)?, true),
            };
            let answer = timeout(Duration::from_secs(ANSWER_SECONDS_MAX), connection.ask(&self.server, question.clone())).await;
            return match answer {
                Ok(Ok(response)) if response.status() == StatusCode::OK => Ok(Begun { response, connection }),
                Ok(Ok(response)) => Err(self.refused(about, response).await),
                Ok(Err(Unanswered::Unsent)) if !is_fresh => continue,
                Ok(Err(Unanswered::Unsent)) => Err(Failed::NotDone(self.away("it hung up"))),
                Ok(Err(Unanswered::Lost(why))) => Err(self.lost(&why)),
                Err(_) => Err(self.lost(&format!("no answer within {ANSWER_SECONDS_MAX} s"))),
            };
        }
    }

    /// What a status other than 200 means. The server has done nothing then.
    async fn refused(&self, about: &str, response: Response<Incoming>) -> Failed {
        let (server, status) = (&self.server, response.status());
        let body = whole(response.into_body(), EXPLANATION_BYTES_MAX, Duration::from_secs(SILENCE_SECONDS_MAX)).await;
        let explained = body.ok().and_then(|body| serde_json::from_slice::<Explanation>(&body).ok());
        let reason = explained.map_or_else(|| format!("it answers {status}"), |explained| explained.reason);
        let what = format!("{server} refuses {}: {reason}", if about.is_empty() { "everything" } else { about });
        Failed::NotDone(match status {
            StatusCode::FORBIDDEN => StoreError::NeedsOperator {
                what,
                remedy: "`certfleet node ls` on the node that serves the store says who is in and as what".into(),
            },
            StatusCode::SERVICE_UNAVAILABLE => self.away(&reason),
            _ => StoreError::NeedsOperator { what, remedy: "see that both nodes run the same version of certfleet".into() },
        })
    }

    pub(super) fn away(&self, why: &str) -> StoreError {
        StoreError::Away { why: format!("{}: {why}", self.server) }
    }

    /// An answer that cannot be read says nothing.
    pub(super) fn lost(&self, why: &str) -> Failed {
        Failed::Lost(format!("{}: {why}", self.server))
    }
}
