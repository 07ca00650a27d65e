//! Looking again and again, for file systems on which other machines write.

use std::time::Duration;

use super::Looker;
use crate::watch::WatchFeed;

/// How often.
const POLL_MS: u64 = 250;

/// Looks until nobody reads.
pub(super) async fn run(mut looker: Looker, feed: WatchFeed) {
    loop {
        tokio::select! {
            () = feed.closed() => return,
            () = tokio::time::sleep(Duration::from_millis(POLL_MS)) => {}
        }
        match looker.look(&feed).await {
            Some(next) => looker = next,
            // The look broke off in the middle; without it nothing would be told, so the reader learns that it is over.
            None => return feed.reset(),
        }
    }
}
