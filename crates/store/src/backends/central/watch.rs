//! Watching: a connection of its own on which the server tells what changes. When one breaks, or is silent for too long, the reader is told to
//! list again, and so learns whether the server is still there; a new one is made meanwhile, and the reader told once more.
//!
//! Always holds: a watch that will not be begun again (a node that was removed, a server with another key) ends.

use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::lines::Lines;
use super::link::Link;
use crate::error::{ErrorKind, StoreError};
use crate::watch::{Watch, WatchFeed};
use crate::wire::{Ask, BEAT_SECONDS, LINE_BYTES_MAX, Line};

/// How long the server may be silent: it misses two beats.
const SILENCE_SECONDS_MAX: u64 = 3 * BEAT_SECONDS;
/// Wait before a lost watch is begun anew for the second time, in milliseconds; doubled for each further one …
const AGAIN_MS_MIN: u64 = 100;
/// … up to this.
const AGAIN_MS_MAX: u64 = 5_000;

/// A watch that is told by the server.
struct Stream {
    lines: Lines,
    /// Held as long as the stream: without it the connection ends.
    _connection: Connection,
}

/// Begins to watch: what changes after this returns is told.
pub(super) async fn start(link: Arc<Link>, prefix: &str) -> Result<Watch, StoreError> {
    let stream = begin(&link, prefix).await?;
    let (feed, watch) = Watch::channel(prefix);
    tokio::spawn(keep(link, prefix.to_owned(), feed, stream));
    Ok(watch)
}

async fn begin(link: &Link, prefix: &str) -> Result<Stream, StoreError> {
    let connection = link.connect().await?;
    let begun = link.begin(&Ask::Watch { prefix: prefix.to_owned() }, prefix, Some(connection)).await?;
    let lines = Lines::new(begun.response.into_body(), LINE_BYTES_MAX, Duration::from_secs(SILENCE_SECONDS_MAX));
    let mut stream = Stream { lines, _connection: begun.connection };
    match stream.next(link).await? {
        Line::Watching => Ok(stream),
        Line::Error(trouble) => Err(trouble.error(&"fleet".parse().expect("one segment of letters is a key"), link.server())),
        _ => Err(link.away("it began no watch")),
    }
}

impl Stream {
    async fn next(&mut self, link: &Link) -> Result<Line, StoreError> {
        let line = self.lines.next().await.map_err(|why| link.away(&why))?.ok_or_else(|| link.away("it ended the watch"))?;
        serde_json::from_slice(&line).map_err(|error| link.away(&format!("its watch cannot be read: {error}")))
    }
}

/// Until nobody reads any more.
async fn keep(link: Arc<Link>, prefix: String, feed: WatchFeed, mut stream: Stream) {
    let mut pause = AGAIN_MS_MIN;
    loop {
        tokio::select! {
            () = feed.closed() => return,
            () = follow(&link, &feed, &mut stream, &mut pause) => {}
        }
        feed.reset();
        stream = tokio::select! {
            () = feed.closed() => return,
            stream = begin_again(&link, &prefix, &mut pause) => match stream {
                Some(stream) => stream,
                None => return,
            },
        };
        feed.reset();
    }
}

/// None if trying again gives the same.
async fn begin_again(link: &Link, prefix: &str, pause: &mut u64) -> Option<Stream> {
    loop {
        tokio::time::sleep(Duration::from_millis(*pause)).await;
        *pause = (*pause * 2).min(AGAIN_MS_MAX);
        match begin(link, prefix).await {
            Ok(stream) => return Some(stream),
            Err(error) if error.kind() != ErrorKind::Retry => return None,
            Err(_) => {}
        }
    }
}

/// Until it breaks.
async fn follow(link: &Link, feed: &WatchFeed, stream: &mut Stream, pause: &mut u64) {
    loop {
        match stream.next(link).await {
            Ok(Line::Changed(keys)) => keys.iter().for_each(|key| feed.changed(key)),
            Ok(Line::Reset) => feed.reset(),
            Ok(Line::Beat) => {}
            Ok(_) => return,
            Err(error) => return tracing::debug!(server = link.server(), %error, "the watch is begun anew"),
        }
        *pause = AGAIN_MS_MIN;
    }
}
