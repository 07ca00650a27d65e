//! What an answer of etcd means, and what no answer means.
//!
//! Always holds: a request is said to be undone only where that is certain: it was never sent, or etcd said which rule it broke.

use std::error::Error as _;

use etcd_client::{Client, Error, GetResponse, KeyValue, Txn, TxnOpResponse, TxnResponse};
use tonic::{Code, ConnectError, Status};

use crate::error::StoreError;

/// Largest answer that is read, in bytes.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was not carried out; another member may do it, or this one later.
    Undone(String),
    /// Whether it was carried out is not known.
    Lost(String),
    /// It was not carried out, and will not be until something is changed.
    Refused(StoreError),
    /// The answer is larger than [`ANSWER_BYTES_MAX`].
    TooLarge,
}

/// Sends one transaction.
pub(super) async fn txn(client: Client, txn: Txn) -> Result<TxnResponse, Error> {
    client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX).txn(txn).await
}

/// What the first of a transaction's operations found, if it was to look.
pub(super) fn found(answer: &TxnResponse, operation: usize) -> Vec<KeyValue> {
    match answer.op_responses().into_iter().nth(operation) {
        Some(TxnOpResponse::Get(mut get)) => get.take_kvs(),
        _ => Vec::new(),
    }
}

/// As [`found`], of the first operation and the first key.
pub(super) fn first_found(answer: &TxnResponse) -> Option<KeyValue> {
    found(answer, 0).into_iter().next()
}

/// Whether a range has more keys than were given.
pub(super) fn has_more(answer: &TxnResponse) -> bool {
    matches!(answer.op_responses().first(), Some(TxnOpResponse::Get(get)) if GetResponse::more(get))
}

/// What etcd says in clear words, and what that is to us.
enum Meaning {
    Undone,
    Remedy(&'static str),
}

/// etcd's error texts (api/v3rpc/rpctypes/error.go), of requests that it refuses before they are proposed, or all members refuse alike.
const MEANINGS: [(&str, Meaning); 15] = [
    ("etcdserver: no leader", Meaning::Undone),
    ("etcdserver: too many requests", Meaning::Undone),
    ("etcdserver: invalid auth token", Meaning::Undone),
    ("etcdserver: revision of auth store is old", Meaning::Undone),
    ("auth: revision in header is old", Meaning::Undone),
    (
        "etcdserver: mvcc: database space exceeded",
        Meaning::Remedy("compact and defragment etcd, raise `--quota-backend-bytes`, then `etcdctl alarm disarm`"),
    ),
    ("etcdserver: request is too large", Meaning::Remedy("start etcd with `--max-request-bytes` of at least 1572864, its default")),
    (
        "etcdserver: permission denied",
        Meaning::Remedy("grant the user `readwrite` on the prefix (`etcdctl role grant-permission … --prefix=true readwrite …`)"),
    ),
    (
        "etcdserver: user name is empty",
        Meaning::Remedy("etcd wants a user: write `user@` before the host and `?password_file=/path`, or give a client certificate"),
    ),
    ("etcdserver: authentication failed", Meaning::Remedy("check the user and its password")),
    (
        "etcdserver: authentication is not enabled",
        Meaning::Remedy("enable it (`etcdctl auth enable`), or remove the user from the store's address"),
    ),
    ("etcdserver: user name not found", Meaning::Remedy("check the user, or add it (`etcdctl user add …`)")),
    ("etcdserver: corrupt cluster", Meaning::Remedy("a member of etcd is corrupt: replace it (`etcdctl alarm list`)")),
    ("etcdserver: mvcc: database corrupt", Meaning::Remedy("a member of etcd is corrupt: replace it (`etcdctl alarm list`)")),
    ("etcdserver: not capable", Meaning::Remedy("etcd 3.4 or later is wanted")),
];

impl Failure {
    /// What a failed request to `host` means.
    pub fn of(error: &Error, host: &str) -> Self {
        let Error::GRpcStatus(status) = error else {
            // Our own side refuses to send it.
            return Self::Undone(format!("{host}: {error}"));
        };
        let meaning = MEANINGS.iter().find(|(text, _)| status.message().starts_with(text));
        match meaning {
            Some((_, Meaning::Undone)) => Self::Undone(format!("{host}: {}", status.message())),
            Some((_, Meaning::Remedy(remedy))) => {
                let what = format!("etcd at {host} refuses: {}", status.message());
                Self::Refused(StoreError::NeedsOperator { what, remedy: (*remedy).to_owned() })
            }
            None if was_never_sent(status) => {
                Self::Undone(format!("{host}: {}", with_causes(status.message().to_owned(), status.source())))
            }
            None if status.code() == Code::OutOfRange && status.message().contains("decoded message length too large") => Self::TooLarge,
            None => Self::Lost(format!("{host}: {}", with_causes(status.message().to_owned(), status.source()))),
        }
    }
}

/// Whether there was no connection to send it by.
fn was_never_sent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// What went wrong, down to the cause.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    with_causes(error.to_string(), error.source())
}

fn with_causes(text: String, mut cause: Option<&dyn std::error::Error>) -> String {
    let mut text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) && text.len() + more.len() < TEXT_CHARS_MAX {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What others say is shown up to this length.
const TEXT_CHARS_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn failure(code: Code, text: &str) -> Failure {
        Failure::of(&Error::GRpcStatus(Status::new(code, text)), "a:1")
    }

    #[test]
    fn only_what_is_certain_is_undone() {
        assert_eq!(failure(Code::Unavailable, "etcdserver: no leader"), Failure::Undone("a:1: etcdserver: no leader".into()));
        for (code, text) in [
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unknown, "h2 protocol error"),
            (Code::Cancelled, ""),
            (Code::Internal, "?"),
        ] {
            assert!(matches!(failure(code, text), Failure::Lost(why) if why.starts_with("a:1: ")), "{text}");
        }
    }

    #[test]
    fn what_never_left_is_undone() {
        let mut status = Status::new(Code::Unavailable, "x");
        status.set_source(std::sync::Arc::new(ConnectError("refused".into())));
        assert!(matches!(Failure::of(&Error::GRpcStatus(status), "a:1"), Failure::Undone(_)));
    }

    #[test]
    fn refusals_say_what_to_do() {
        let Failure::Refused(error) = failure(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded") else {
            panic!("refused")
        };
        assert_eq!(error.kind(), ErrorKind::NeedsOperator);
        assert!(error.to_string().contains("a:1") && error.to_string().contains("quota"), "{error}");
        assert_eq!(failure(Code::OutOfRange, "Error, decoded message length too large: found 9 bytes, the limit is: 1"), Failure::TooLarge);
    }
}
