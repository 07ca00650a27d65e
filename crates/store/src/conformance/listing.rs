//! Many keys.

use std::time::{Duration, Instant};

use super::{Pair, create, key, must_delete, value};
use certfleet_core::envelope::Expect;
use certfleet_core::key::Key;

/// Keys in the large listing.
const MANY_KEYS: usize = 2000;
/// Writers that make them.
const MANY_WRITERS: usize = 16;
/// How long it may take to list them …
const LIST_MS_MAX: u64 = 5000;
/// … where each value is a request, to a server in Python that does one after the other.
const LIST_S3_MS_MAX: u64 = 60_000;

async fn keys_below(pair: &Pair, prefix: &str) -> Vec<String> {
    let listing = pair.other.list(prefix).await.expect("listed");
    assert_eq!(listing.unreadable, []);
    listing.entries.into_iter().map(|(key, _)| key.into()).collect()
}

/// Prefixes are whole segments, with or without a slash at the end.
pub async fn lists_are_sorted_and_end_at_segments(pair: Pair) {
    for at in ["certs/b", "cert/x", "certs/a", "certs", "certs/a/deep", "certsx"] {
        create(&pair.one, &key(at), at).await;
    }
    assert_eq!(keys_below(&pair, "").await, ["cert/x", "certs", "certs/a", "certs/a/deep", "certs/b", "certsx"]);
    assert_eq!(keys_below(&pair, "certs").await, ["certs", "certs/a", "certs/a/deep", "certs/b"]);
    assert_eq!(keys_below(&pair, "certs/").await, ["certs", "certs/a", "certs/a/deep", "certs/b"]);
    assert_eq!(keys_below(&pair, "certs/a").await, ["certs/a", "certs/a/deep"]);
    assert_eq!(keys_below(&pair, "nothing").await, Vec::<String>::new());
}

/// A deleted key is not listed; one made again is.
pub async fn lists_leave_out_what_was_deleted(pair: Pair) {
    let (a, b) = (key("certs/a"), key("certs/b"));
    let first = create(&pair.one, &a, 1).await;
    let second = create(&pair.one, &b, 1).await;
    must_delete(&pair.one, &a, &first).await;
    must_delete(&pair.one, &b, &second).await;
    create(&pair.one, &b, 2).await;
    assert_eq!(keys_below(&pair, "certs").await, ["certs/b"]);
}

/// All of them, in bearable time.
pub async fn thousands_of_keys_are_listed(pair: Pair) {
    let keys: Vec<Key> = (0..MANY_KEYS).map(|n| key(&format!("reports/cert-{:04}/lb{}/nginx", n / 3, n % 3))).collect();
    let mut writers = tokio::task::JoinSet::new();
    for part in keys.chunks(MANY_KEYS / MANY_WRITERS) {
        let (store, part) = (pair.one.clone(), part.to_vec());
        writers.spawn(async move {
            for at in part {
                super::must_put(&store, &at, &value(at.as_str()), &Expect::Absent).await;
            }
        });
    }
    writers.join_all().await;
    let start = Instant::now();
    let listed = keys_below(&pair, "reports").await;
    let took = start.elapsed();
    assert_eq!(listed, keys.iter().map(|key| key.to_string()).collect::<Vec<_>>());
    let limit = if pair.other.kind() == "s3" { LIST_S3_MS_MAX } else { LIST_MS_MAX };
    assert!(took < Duration::from_millis(limit), "{MANY_KEYS} keys took {took:?}");
}
