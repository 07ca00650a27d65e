//! One connection to the primary, and the session that certfleet wants.
//!
//! Always holds: whoever is connected can be written to, as far as the server itself knows; a commit is on its disk before it is
//! acknowledged, whatever `synchronous_commit` says there; no statement waits for another session's lock for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{Failure, failure, unconnected};
use super::url::{Host, PostgresUrl, Tls};
use crate::error::StoreError;

/// How long one server may take to let us in.
const CONNECT_SECONDS_MAX: u64 = 8;
/// How long an answer may take. More than a statement may wait for a lock, so that the server's own refusal is heard.
pub(super) const CALL_SECONDS_MAX: u64 = 15;
/// A peer that vanished is noticed after idle + retries × interval.
const KEEPALIVE_IDLE_SECONDS: u64 = 15;
const KEEPALIVE_INTERVAL_SECONDS: u64 = 5;
const KEEPALIVE_RETRIES: u32 = 3;
/// PostgreSQL 14.
const SERVER_VERSION_MIN: i32 = 140_000;

/// `statement_timeout` is ours to keep (a server that gives up waiting for its standbys answers as if it had not), a lock is waited for
/// briefly, and what is acknowledged is on the disk.
const SESSION: &str = "SET statement_timeout = 0; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '60s'; \
    SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'warning'; \
    SELECT set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' \
        ELSE current_setting('synchronous_commit') END, false)";
const WHO: &str = "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int4, current_setting('fsync')";

/// Who is asked, and how.
pub(super) struct Target {
    pub(super) url: PostgresUrl,
    tls: MakeRustlsConnect,
    warned: AtomicBool,
}

/// A session; its end is the end of the TCP connection.
pub(super) struct Connection {
    client: Client,
    /// Drives the socket; ends when the connection does.
    driver: JoinHandle<()>,
    /// The server, for errors.
    place: String,
    unsynced: Arc<AtomicBool>,
}

/// What a session is told beside its answers: the channel and the payload.
pub(super) type OnNotification = Box<dyn FnMut(&str, &str) + Send>;

impl Target {
    pub(super) fn new(url: PostgresUrl) -> Result<Self, StoreError> {
        let tls = super::tls::connector(&url.tls)?;
        Ok(Self { url, tls, warned: AtomicBool::new(false) })
    }

    /// Connects to the first server that is a primary.
    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        self.connect_and(&|| Box::new(|_, _| {})).await
    }

    /// As [`Target::connect`], with what is to be done with notifications.
    pub(super) async fn connect_and(&self, on_notification: &(dyn Fn() -> OnNotification + Sync)) -> Result<Connection, StoreError> {
        let mut failures = Vec::new();
        for host in &self.url.hosts {
            match self.connect_to(host, on_notification()).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failures.push(error),
            }
        }
        Err(worst(failures))
    }

    async fn connect_to(&self, host: &Host, on_notification: OnNotification) -> Result<Connection, StoreError> {
        let place = host.shown();
        let config = self.config(host).await?;
        let limit = Duration::from_secs(CONNECT_SECONDS_MAX);
        let silent = || StoreError::Away {
            why: format!("{place} has not let us in within {CONNECT_SECONDS_MAX} s; see that PostgreSQL answers there"),
        };
        let connected = timeout(limit, config.connect(self.tls.clone())).await.map_err(|_| silent())?;
        let (client, socket) = connected.map_err(|error| unconnected(&place, &error))?;
        let unsynced = Arc::new(AtomicBool::new(false));
        let driver = tokio::spawn(drive(socket, on_notification, unsynced.clone()));
        let connection = Connection { client, driver, place: place.clone(), unsynced };
        timeout(limit, connection.prepare(&self.warned)).await.map_err(|_| silent())??;
        Ok(connection)
    }

    async fn config(&self, host: &Host) -> Result<Config, StoreError> {
        let mut config = Config::new();
        config.host(&host.name).port(host.port).user(&self.url.user).dbname(&self.url.database).application_name("certfleet");
        config.connect_timeout(Duration::from_secs(CONNECT_SECONDS_MAX));
        config.tcp_user_timeout(Duration::from_secs(KEEPALIVE_IDLE_SECONDS + CALL_SECONDS_MAX));
        config.keepalives_idle(Duration::from_secs(KEEPALIVE_IDLE_SECONDS));
        config.keepalives_interval(Duration::from_secs(KEEPALIVE_INTERVAL_SECONDS)).keepalives_retries(KEEPALIVE_RETRIES);
        let off = host.is_socket() || self.url.tls == Tls::Off;
        config.ssl_mode(if off { SslMode::Disable } else { SslMode::Require });
        if let Some(password) = &self.url.password {
            config.password(password.read().await?.expose());
        }
        Ok(config)
    }
}

/// Of several servers' answers: one that a person has to do something about only if all are such, since a standby may become the primary.
fn worst(mut failures: Vec<StoreError>) -> StoreError {
    let all_need = failures.iter().all(|error| matches!(error, StoreError::NeedsOperator { .. }));
    if failures.len() == 1 || all_need {
        return failures.swap_remove(0);
    }
    let each = failures.into_iter().map(|error| match error {
        StoreError::Away { why } => why,
        other => other.to_string(),
    });
    StoreError::Away { why: each.collect::<Vec<_>>().join("; ") }
}

/// Drives a connection until it ends.
async fn drive<S, T>(mut socket: tokio_postgres::Connection<S, T>, mut on_notification: OnNotification, unsynced: Arc<AtomicBool>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = std::future::poll_fn(|context| socket.poll_message(context)).await {
        match message {
            AsyncMessage::Notification(told) => on_notification(told.channel(), told.payload()),
            // Someone cancelled the wait for synchronous standbys: committed here, and perhaps nowhere else. The text is in the server's language.
            AsyncMessage::Notice(notice) if notice.routine() == Some("SyncRepWaitForLSN") => unsynced.store(true, Ordering::SeqCst),
            _ => {}
        }
    }
}

impl Connection {
    async fn prepare(&self, warned: &AtomicBool) -> Result<(), StoreError> {
        let refused = |error| failure(&self.place, &error).into_error();
        self.client.batch_execute(SESSION).await.map_err(refused)?;
        let row = self.client.query_typed_one(WHO, &[]).await.map_err(refused)?;
        let (standby, version, fsync) = (self.cell::<bool>(&row, 0)?, self.cell::<i32>(&row, 1)?, self.cell::<String>(&row, 2)?);
        if version < SERVER_VERSION_MIN {
            let what = format!("{} is PostgreSQL {}", self.place, version / 10_000);
            return Err(StoreError::NeedsOperator { what, remedy: "use 14 or later".into() });
        }
        if standby {
            let why = format!(
                "{} is a read-only standby; name the primary in the store's URL, or all servers (`host1,host2`), or promote it",
                self.place
            );
            return Err(StoreError::Away { why });
        }
        if fsync == "off" && !warned.swap(true, Ordering::SeqCst) {
            tracing::warn!(server = %self.place, "PostgreSQL runs with fsync = off: what it acknowledges is lost when its machine crashes");
        }
        Ok(())
    }

    /// One statement and all of its rows. They are there when the server has committed.
    pub(super) async fn query(&self, sql: &str, values: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Failure> {
        match timeout(Duration::from_secs(CALL_SECONDS_MAX), self.client.query_typed(sql, values)).await {
            Ok(answer) => answer.map_err(|error| failure(&self.place, &error)),
            Err(_) => Err(Failure::Lost(self.silent())),
        }
    }

    /// Statements without values or answers.
    pub(super) async fn execute(&self, sql: &str) -> Result<(), Failure> {
        match timeout(Duration::from_secs(CALL_SECONDS_MAX), self.client.batch_execute(sql)).await {
            Ok(answer) => answer.map_err(|error| failure(&self.place, &error)),
            Err(_) => Err(Failure::Lost(self.silent())),
        }
    }

    fn silent(&self) -> String {
        format!("{} has not answered for {CALL_SECONDS_MAX} s; see its load and the network to it", self.place)
    }

    /// A column of an answer.
    pub(super) fn cell<'a, T: tokio_postgres::types::FromSql<'a>>(&self, row: &'a Row, column: usize) -> Result<T, StoreError> {
        row.try_get(column).map_err(|e| StoreError::NeedsOperator {
            what: format!("{} answers with something else than was asked for: {e}", self.place),
            remedy: "see that the store's tables are as docs/store-postgres.md shows them".into(),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.driver.is_finished()
    }

    /// Waits until the connection has ended.
    pub(super) async fn closed(&mut self) {
        if !self.driver.is_finished() {
            let _ = (&mut self.driver).await;
        }
    }

    /// Whether a commit since the last question is on this server and perhaps on no standby.
    pub(super) fn take_unsynced(&self) -> bool {
        self.unsynced.swap(false, Ordering::SeqCst)
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
