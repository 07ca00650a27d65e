//! Noticing changes: etcd's own watch, from a revision on.
//!
//! Always holds: where a stream broke, the next goes on at the revision after the last that was told, if the history still has it and it is
//! the same history; else the reader is told to list again.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Error, ResponseHeader, WatchOptions, WatchResponse, WatchStream};
use tokio::time::timeout;

use super::answers::{ANSWER_BYTES_MAX, Failure};
use super::connections::{Connection, Connections};
use super::keys::Names;
use crate::error::StoreError;
use crate::watch::{Watch, WatchFeed};

/// How long a member may take to begin.
const BEGIN_SECONDS_MAX: u64 = 5;
/// Wait before the next try, at first and at most.
const PAUSE_MS: (u64, u64) = (50, 2000);

/// How far a history was told.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    cluster: u64,
    term: u64,
    /// The last revision that was told, and those before it.
    revision: i64,
}

impl Told {
    fn of(header: &ResponseHeader) -> Self {
        Self { cluster: header.cluster_id(), term: header.raft_term(), revision: header.revision() }
    }

    /// Whether `now` is of this history, further on. One that was restored from a backup begins again with low terms.
    fn is_continued_by(&self, now: &Self) -> bool {
        now.cluster == self.cluster && now.term >= self.term && now.revision >= self.revision
    }
}

/// Why a stream ended.
enum End {
    /// Nobody reads.
    Closed,
    /// It broke; the next can go on from there.
    Broken,
    /// What was not told is gone.
    Gap,
}

struct Follower {
    connections: Arc<Connections>,
    names: Names,
    prefix: String,
    feed: WatchFeed,
}

/// Starts to watch; what changes after this returned is told.
pub(super) async fn start(connections: Arc<Connections>, names: Names, prefix: &str) -> Result<Watch, StoreError> {
    let (feed, watch) = Watch::channel(prefix);
    let follower = Follower { connections, names, prefix: prefix.to_owned(), feed };
    let mut pause = Pause::new();
    let (connection, stream, told) = loop {
        match follower.begin(None).await {
            Ok(begun) => break begun,
            Err(failure @ Failure::Refused(_)) => return Err(follower.connections.error(failure)),
            Err(failure) if pause.is_long() => return Err(follower.connections.error(failure)),
            Err(_) => pause.wait().await,
        }
    };
    tokio::spawn(follower.run(connection, stream, told));
    Ok(watch)
}

impl Follower {
    async fn run(self, mut connection: Arc<Connection>, mut stream: WatchStream, mut told: Told) {
        loop {
            let end = self.follow(&connection, &mut stream, &mut told).await;
            let from = match end {
                End::Closed => return,
                End::Broken => Some(told),
                End::Gap => None,
            };
            tokio::select! {
                () = self.feed.closed() => return,
                begun = self.begin_again(from) => (connection, stream, told) = begun,
            }
        }
    }

    /// Until it is done; tells the reader to list again if the history went on elsewhere.
    async fn begin_again(&self, mut from: Option<Told>) -> (Arc<Connection>, WatchStream, Told) {
        let mut pause = Pause::new();
        loop {
            // Also before the first try: a member that begins and ends watches at once is not to be asked in a hurry.
            pause.wait().await;
            match self.begin(from).await {
                Ok((connection, stream, told)) if from.is_none_or(|from| from.is_continued_by(&told)) => {
                    // What was written before this stream began was not told.
                    if from.is_none() {
                        self.feed.reset();
                    }
                    return (connection, stream, Told { revision: from.map_or(told.revision, |from| from.revision), ..told });
                }
                Ok(_) => from = None,
                Err(failure) => tracing::debug!(?failure, "etcd cannot be watched"),
            }
        }
    }

    /// A stream that etcd has acknowledged, and the revision up to which it tells nothing.
    async fn begin(&self, from: Option<Told>) -> Result<(Arc<Connection>, WatchStream, Told), Failure> {
        let connection = self.connections.get().await?;
        match timeout(Duration::from_secs(BEGIN_SECONDS_MAX), self.open(&connection, from)).await {
            Ok(Ok((stream, told))) => Ok((connection, stream, told)),
            Ok(Err(error)) => {
                self.connections.retire(&connection).await;
                Err(Failure::of(&error, &connection.host))
            }
            Err(_) => {
                self.connections.retire(&connection).await;
                Err(Failure::Lost(format!("{} began no watch within {BEGIN_SECONDS_MAX} s", connection.host)))
            }
        }
    }

    async fn open(&self, connection: &Connection, from: Option<Told>) -> Result<(WatchStream, Told), Error> {
        let (first, behind) = self.names.range(&self.prefix);
        let options = WatchOptions::new().with_range(behind).with_progress_notify();
        let options = from.map_or(options.clone(), |told| options.with_start_revision(told.revision + 1));
        let mut client = connection.client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX);
        let mut stream = client.watch(first, Some(options)).await?;
        let refused = |why: &str| Error::WatchError(format!("etcd began no watch: {why}"));
        let first = stream.message().await?.ok_or_else(|| refused("it hung up"))?;
        match first.header() {
            Some(header) if first.created() && !first.canceled() => {
                let told = Told::of(header);
                Ok((stream, told))
            }
            _ => Err(refused(first.cancel_reason())),
        }
    }

    async fn follow(&self, connection: &Arc<Connection>, stream: &mut WatchStream, told: &mut Told) -> End {
        loop {
            let message = tokio::select! {
                () = self.feed.closed() => return End::Closed,
                () = connection.retired() => return End::Broken,
                message = stream.message() => message,
            };
            match message {
                Ok(Some(message)) if message.canceled() => {
                    return if message.compact_revision() > 0 { End::Gap } else { End::Broken };
                }
                Ok(Some(message)) => self.tell(&message, told),
                Ok(None) => return self.broken(connection).await,
                Err(error) if Failure::of(&error, &connection.host) == Failure::TooLarge => return End::Gap,
                Err(_) => return self.broken(connection).await,
            }
        }
    }

    async fn broken(&self, connection: &Arc<Connection>) -> End {
        self.connections.retire(connection).await;
        End::Broken
    }

    fn tell(&self, message: &WatchResponse, told: &mut Told) {
        for changed in message.events().iter().filter_map(|event| event.kv()) {
            if let Ok(key) = self.names.key(changed.key()) {
                self.feed.changed(&key);
            }
            told.revision = told.revision.max(changed.mod_revision());
        }
        let Some(header) = message.header() else { return };
        told.term = told.term.max(header.raft_term());
        // Without events it says how far there is nothing to tell; with events it may be ahead of them.
        if message.events().is_empty() && !message.created() {
            told.revision = told.revision.max(header.revision());
        }
    }
}

struct Pause {
    next: Duration,
}

impl Pause {
    fn new() -> Self {
        Self { next: Duration::from_millis(PAUSE_MS.0) }
    }

    /// Whether the longest wait is reached.
    fn is_long(&self) -> bool {
        self.next >= Duration::from_millis(PAUSE_MS.1)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(Duration::from_millis(PAUSE_MS.1));
    }
}
