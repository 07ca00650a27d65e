//! What PostgreSQL's errors mean: whether something was certainly not done, and what to do about it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::StoreError;

/// Why a statement gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It certainly did not take place.
    Refused(StoreError),
    /// Nobody knows.
    Lost(String),
}

impl Failure {
    /// For what changes nothing.
    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Refused(error) => error,
            Self::Lost(why) => StoreError::Away { why },
        }
    }
}

/// What `error` says of a statement that was sent to `place`.
pub(super) fn failure(place: &str, error: &Error) -> Failure {
    match error.as_db_error() {
        Some(refused) if is_certain(refused) => Failure::Refused(meaning(place, refused)),
        _ => Failure::Lost(format!("{place}: {}; whatever broke the connection, certfleet makes a new one", told(error))),
    }
}

/// The server rolls back what it answers with an `ERROR`. What ends the session (`FATAL`, `PANIC`, a pooler that lost the server) may come
/// after the commit.
fn is_certain(error: &DbError) -> bool {
    let about_the_session = ["08", "57P"].iter().any(|class| error.code().code().starts_with(class));
    error.parsed_severity() == Some(Severity::Error) && !about_the_session
}

/// Why there is no connection to `place`.
pub(super) fn unconnected(place: &str, error: &Error) -> StoreError {
    if let Some(refused) = error.as_db_error() {
        return meaning(place, refused);
    }
    let why = format!("{place}: {}", told(error));
    match untrusted(error) {
        Some(remedy) => StoreError::NeedsOperator { what: why, remedy: remedy.into() },
        None => StoreError::Away { why: format!("{why}; see that PostgreSQL runs there and lets this machine in") },
    }
}

/// What to do where it is TLS that does not come about.
fn untrusted(error: &Error) -> Option<&'static str> {
    let cause = error.source()?;
    if cause.to_string() == "server does not support TLS" {
        return Some("set `ssl = on` on the server, or write `tls=off` into the store's URL");
    }
    let tls = cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()?;
    let told = "give the CA of the server's certificate as `ca` in the store's URL, and name the server there as the certificate does";
    matches!(tls, rustls::Error::InvalidCertificate(_)).then_some(told)
}

/// Whether the server has no connection left.
pub(super) fn is_crowded(error: &StoreError) -> bool {
    matches!(error, StoreError::Away { why } if why.contains(CROWDED))
}

const CROWDED: &str = "the server has no connection left";

/// The server's own words, and what they ask for.
fn meaning(place: &str, error: &DbError) -> StoreError {
    let what = format!("{place}: {} ({})", error.message(), error.code().code());
    let remedy = match error.code() {
        &SqlState::TOO_MANY_CONNECTIONS => {
            return StoreError::Away {
                why: format!("{what}: {CROWDED}; raise `max_connections`, or the role's CONNECTION LIMIT (a node needs up to 5)"),
            };
        }
        &SqlState::CANNOT_CONNECT_NOW => return StoreError::Away { why: format!("{what}; it is starting or stopping, wait for it") },
        &SqlState::LOCK_NOT_AVAILABLE => {
            return StoreError::Away { why: format!("{what}; another session holds the row, see pg_stat_activity") };
        }
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "see that user and password of the store's URL and the server's pg_hba.conf agree"
        }
        &SqlState::INVALID_CATALOG_NAME => "create the database, or name the right one in the store's URL",
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            "name the primary in the store's URL (or all servers, `host1,host2`), and see that `default_transaction_read_only` is off"
        }
        &SqlState::DISK_FULL => "free space on the database server's disk",
        &SqlState::INSUFFICIENT_PRIVILEGE => "grant the role what docs/store-postgres.md lists",
        &SqlState::UNDEFINED_TABLE | &SqlState::INVALID_SCHEMA_NAME | &SqlState::UNDEFINED_FUNCTION | &SqlState::UNDEFINED_COLUMN => {
            "the store's tables are gone or were changed: restore the database, or fill a new store with `certfleet store recover`"
        }
        _ => return StoreError::Away { why: what },
    };
    StoreError::NeedsOperator { what, remedy: remedy.into() }
}

/// The error and what caused it.
fn told(error: &Error) -> String {
    if let Some(refused) = error.as_db_error() {
        return format!("{} ({})", refused.message(), refused.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}
