//! URLs of stores, as the configuration and tokens have them.
//!
//! Also holds: what is shown of one has no password (`crates/store/src/url.rs` says more).

use certfleet_store::{check_url, shown_url};

/// Takes it for a URL.
pub fn read(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let _ = shown_url(text);
    match check_url(text) {
        Ok(()) => true,
        Err(error) => error.to_string().is_empty(),
    }
}
