//! Reading.

use std::time::Duration;

use certfleet_core::key::Key;

use super::CentralStore;
use super::lines::Lines;
use super::link::SILENCE_SECONDS_MAX;
use crate::contract::{Listing, Stored, Unreadable};
use crate::error::StoreError;
use crate::wire::{Answer, Ask, LINE_BYTES_MAX, Line};

/// Longest listing that is taken, in bytes.
const LISTING_BYTES_MAX: usize = 1 << 30;

impl CentralStore {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let body = self.link.call(&Ask::Get { key: key.clone() }, key, LINE_BYTES_MAX).await?;
        match serde_json::from_slice(&body) {
            Ok(Answer::Found(found)) => found.map(|found| found.stored(key)).transpose(),
            Ok(Answer::Error(trouble)) => Err(trouble.error(key, self.link.server())),
            Ok(_) => Err(self.link.away("it answered another question")),
            Err(error) => Err(self.link.away(&format!("its answer cannot be read: {error}"))),
        }
    }

    pub(super) async fn read_all(&self, prefix: &str) -> Result<Listing, StoreError> {
        match self.listing(prefix).await {
            // A connection that had been idle may have been closed by the server at that very moment.
            Err(StoreError::Away { .. }) => self.listing(prefix).await,
            listing => listing,
        }
    }

    async fn listing(&self, prefix: &str) -> Result<Listing, StoreError> {
        let begun = self.link.begin(&Ask::List { prefix: prefix.to_owned() }, prefix, None).await?;
        let mut lines = Lines::new(begun.response.into_body(), LINE_BYTES_MAX, Duration::from_secs(SILENCE_SECONDS_MAX));
        let (mut listing, mut bytes) = (Listing::default(), 0);
        loop {
            let line = lines.next().await.map_err(|why| self.link.away(&why))?.ok_or_else(|| self.link.away("its listing was cut off"))?;
            bytes += line.len();
            if bytes > LISTING_BYTES_MAX {
                return Err(self.link.away(&format!("its listing is longer than {LISTING_BYTES_MAX} bytes")));
            }
            let line = serde_json::from_slice(&line).map_err(|error| self.link.away(&format!("its listing cannot be read: {error}")))?;
            if self.take_in(prefix, line, &mut listing)? {
                break;
            }
        }
        if matches!(lines.next().await, Ok(None)) {
            self.link.give_back(begun.connection);
        }
        Ok(listing)
    }

    /// Whether that was the last line.
    fn take_in(&self, prefix: &str, line: Line, listing: &mut Listing) -> Result<bool, StoreError> {
        match line {
            Line::Value(key, found) if key.is_under(prefix) => {
                let found = found.stored(&key).map(Some);
                listing.add(&key, found)?;
            }
            Line::Unreadable(key, why, revision) => listing.unreadable.push(Unreadable { key, why, revision: revision.map(Into::into) }),
            Line::End => return Ok(true),
            Line::Error(trouble) => {
                let about = listing.entries.last().map(|(key, _)| key.clone());
                let about = about.or_else(|| prefix.trim_end_matches('/').parse().ok());
                let about = about.unwrap_or_else(|| "fleet".parse().expect("one segment of letters is a key"));
                return Err(trouble.error(&about, self.link.server()));
            }
            _ => return Err(self.link.away("its listing has something else in it")),
        }
        Ok(false)
    }
}
