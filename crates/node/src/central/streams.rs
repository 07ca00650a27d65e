//! Answers in lines: listings, and watches for as long as the client stays.

use std::time::Duration;

use bytes::Bytes;
use certfleet_core::trust::VerifyingKey;
use certfleet_edge::MemberReply;
use certfleet_store::wire::{BEAT_SECONDS, Line};
use certfleet_store::{Change, Listing, Store, StoreError, Watch};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Service;
use super::door::{Caller, Denied};

/// Where something may stand that a stranger may see, in the order of keys.
const OF_STRANGERS: [&str; 3] = ["fleet", "joining", "nodes"];
/// Pieces that wait for a slow reader.
const PIECES_MAX: usize = 4;
/// About how much goes out at a time, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// How long a reader may take nothing, in seconds.
const READER_SECONDS_MAX: u64 = 30;

impl Service {
    pub(super) fn list(&self, peer: VerifyingKey, caller: Caller, prefix: String) -> MemberReply {
        let (pieces, stream) = mpsc::channel(PIECES_MAX);
        let store = self.store.clone();
        tokio::spawn(async move {
            let _ = match read(store.as_ref(), &caller, &prefix).await {
                Ok(listing) => send_all(&pieces, lines(listing, |key, stored| caller.sees(&peer, key, stored))).await,
                Err(error) => send_all(&pieces, [Line::Error(error.into())]).await,
            };
        });
        MemberReply::Stream(stream)
    }

    pub(super) fn watch(&self, peer: VerifyingKey, caller: Caller, prefix: String) -> MemberReply {
        let (pieces, stream) = mpsc::channel(PIECES_MAX);
        let service = self.clone();
        tokio::spawn(async move {
            match service.store.watch(&prefix).await {
                Ok(watch) => service.tell(&peer, caller, watch, &pieces).await,
                Err(error) => _ = send(&pieces, &Line::Error(error.into())).await,
            }
        });
        MemberReply::Stream(stream)
    }

    /// Tells what changes until the client is gone, is no member any more, or the store's watch ends.
    async fn tell(&self, peer: &VerifyingKey, mut caller: Caller, mut watch: Watch, pieces: &mpsc::Sender<Bytes>) {
        let mut changes = self.door.changes();
        let mut line = Some(Line::Watching);
        loop {
            if let Some(line) = line.take()
                && send(pieces, &line).await.is_err()
            {
                return;
            }
            line = tokio::select! {
                () = pieces.closed() => return,
                change = watch.next() => match change {
                    None => return,
                    Some(Change::Reset) => Some(Line::Reset),
                    Some(Change::Keys(keys)) => {
                        let heard: Vec<_> = keys.into_iter().filter(|key| caller.hears(key)).collect();
                        (!heard.is_empty()).then_some(Line::Changed(heard))
                    }
                },
                changed = changes.changed() => match self.door.caller(peer) {
                    _ if changed.is_err() => return,
                    Err(Denied::Refused(_)) => return,
                    Err(Denied::NotReady(_)) => None,
                    Ok(now) if now == caller => None,
                    // It sees more now, or less.
                    Ok(now) => {
                        caller = now;
                        Some(Line::Reset)
                    }
                },
                () = tokio::time::sleep(Duration::from_secs(BEAT_SECONDS)) => Some(Line::Beat),
            };
        }
    }
}

/// What is worth reading for this caller: a stranger's question does not make this node read everything.
async fn read(store: &dyn Store, caller: &Caller, prefix: &str) -> Result<Listing, StoreError> {
    let Caller::Stranger = caller else { return store.list(prefix).await };
    let (prefix, mut all) = (prefix.trim_end_matches('/'), Listing::default());
    let is_below =
        |one: &str, other: &str| other.is_empty() || one.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    for part in OF_STRANGERS {
        let part = match () {
            () if is_below(part, prefix) => part,
            () if is_below(prefix, part) => prefix,
            () => continue,
        };
        let listing = store.list(part).await?;
        all.entries.extend(listing.entries);
        all.unreadable.extend(listing.unreadable);
    }
    Ok(all)
}

fn lines(listing: Listing, sees: impl Fn(&certfleet_core::key::Key, Option<&certfleet_store::Stored>) -> bool) -> Vec<Line> {
    let values = listing.entries.into_iter().filter(|(key, stored)| sees(key, Some(stored)));
    let mut lines: Vec<Line> = values.map(|(key, stored)| Line::Value(key, Box::new(stored.into()))).collect();
    lines.extend(listing.unreadable.into_iter().filter(|value| sees(&value.key, None)).map(Line::from));
    lines.push(Line::End);
    lines
}

/// The reader is gone, or takes nothing.
struct Gone;

async fn send_all(pieces: &mpsc::Sender<Bytes>, lines: impl IntoIterator<Item = Line>) -> Result<(), Gone> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for line in lines {
        piece.extend_from_slice(&line.to_bytes());
        if piece.len() >= PIECE_BYTES {
            give(pieces, std::mem::take(&mut piece)).await?;
        }
    }
    give(pieces, piece).await
}

async fn send(pieces: &mpsc::Sender<Bytes>, line: &Line) -> Result<(), Gone> {
    give(pieces, line.to_bytes()).await
}

async fn give(pieces: &mpsc::Sender<Bytes>, piece: Vec<u8>) -> Result<(), Gone> {
    let given = timeout(Duration::from_secs(READER_SECONDS_MAX), pieces.send(piece.into())).await;
    given.ok().and_then(Result::ok).ok_or(Gone)
}
