//! What a failed call means: whether it may have taken place all the same, and what to do.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::url::Address;
use crate::error::StoreError;

/// A call that failed.
#[derive(Debug)]
pub(super) struct Fault {
    /// The server did not answer, so the call may have taken place. Else it certainly did not.
    pub(super) is_silent: bool,
    /// Another connection may do better.
    pub(super) is_over: bool,
    /// To be told.
    pub(super) error: StoreError,
}

/// Error codes after which waiting, or another server, helps; the first word of Redis' answer.
const PASSING: [&str; 9] =
    ["READONLY", "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "UNKILLABLE", "UNBLOCKED"];
/// Error codes, or words of the answer, that a person has to deal with, and how.
const REMEDIES: [(&str, &str); 9] = [
    ("NOPERM", "give certfleet's user the rights that docs/store-redis.md lists"),
    // Of a command inside a script.
    ("The user executing the script", "give certfleet's user the rights that docs/store-redis.md lists"),
    ("NOAUTH", "give the user and the password: `password_file=` in the store's URL"),
    ("WRONGPASS", "see that user and password are those of the server"),
    ("OOM", "give it more memory (`maxmemory`), or certfleet a server of its own"),
    ("MISCONF", "see why it cannot save to its disk: its log says so"),
    ("WRONGTYPE", "something else uses these names: give certfleet another `prefix=` or a server of its own"),
    ("MOVED", "Redis Cluster cannot be used: give certfleet a server, or Sentinels and a master"),
    ("CROSSSLOT", "Redis Cluster cannot be used: give certfleet a server, or Sentinels and a master"),
];

impl Fault {
    /// Of a call to the server at `address`.
    pub(super) fn of(address: &Address, error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => Self::answered(address, error),
            ErrorKind::AuthenticationFailed | ErrorKind::RESP3NotSupported | ErrorKind::InvalidClientConfig => {
                Self::refused(address, error)
            }
            _ => {
                let error = away(address, &lost(error), "see that it runs and that this node can reach it");
                Self { is_silent: true, is_over: true, error }
            }
        }
    }

    /// The server said no, so nothing took place.
    fn answered(address: &Address, error: &RedisError) -> Self {
        let text = error.to_string();
        // Redis 6 tells an error inside a script as `ERR`, with the script's own error in the text.
        let says =
            |code: &str| error.code() == Some(code) || text.contains(&format!("-{code} ")) || (code.contains(' ') && text.contains(code));
        if let Some(code) = PASSING.iter().find(|code| says(code)) {
            let is_over = matches!(*code, "READONLY" | "MASTERDOWN");
            return Self { is_silent: false, is_over, error: away(address, &text, "it is tried again") };
        }
        let remedy = REMEDIES.iter().find(|(code, _)| says(code)).map(|(_, remedy)| *remedy);
        let is_over = matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm)) || says("NOAUTH");
        let remedy = remedy.unwrap_or("see the server's log, and that it is Redis 6 or Valkey").to_owned();
        let error = StoreError::NeedsOperator { what: format!("Redis at {address} refuses: {text}"), remedy };
        Self { is_silent: false, is_over, error }
    }

    /// It could not be logged in.
    fn refused(address: &Address, error: &RedisError) -> Self {
        let remedy = match error.kind() {
            ErrorKind::RESP3NotSupported => "certfleet needs Redis 6 or later, or Valkey",
            _ => "see that user and password (`password_file=`) and the TLS files in the store's URL are right",
        };
        let error =
            StoreError::NeedsOperator { what: format!("Redis at {address} cannot be logged in to: {error}"), remedy: remedy.to_owned() };
        Self { is_silent: false, is_over: true, error }
    }
}

/// It does not answer now.
pub(super) fn away(address: &Address, why: &str, remedy: &str) -> StoreError {
    StoreError::Away { why: format!("Redis at {address}: {why}; {remedy}") }
}

fn lost(error: &RedisError) -> String {
    if error.is_timeout() { "no answer in time".into() } else { error.to_string() }
}
