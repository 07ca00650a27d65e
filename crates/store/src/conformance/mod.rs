//! The suite that every engine passes: the contract of [`Store`](crate::Store) as tests.
//!
//! Each case takes a [`Pair`]: two handles to one new, empty store, as two nodes would have. An engine (or a fake) runs all of them with
//! [`conformance!`](crate::conformance). Cases panic when the contract is broken.
//!
//! Deliberately not here: what only one engine promises (its tests are beside it), and faults of the network.

mod cas;
mod garbage;
mod listing;
mod racing;
mod watching;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::Key;

use crate::contract::{Put, Store, Stored};
use crate::nonce::fresh_nonce;

pub use cas::*;
pub use garbage::*;
pub use listing::*;
pub use racing::*;
pub use watching::*;

/// How long a change may take to be told.
const TOLD_SECONDS_MAX: u64 = 10;

/// Two handles to the same store, which was empty when the case began.
#[derive(Debug, Clone)]
pub struct Pair {
    /// A node's.
    pub one: Arc<dyn Store>,
    /// Another node's.
    pub other: Arc<dyn Store>,
    /// Someone who has the store and not certfleet, if the engine lets us be that.
    pub plant: Option<Arc<dyn Plant>>,
}

/// A way into the store past the contract.
#[async_trait]
pub trait Plant: fmt::Debug + Send + Sync {
    /// Makes `bytes` the value of `key`, whatever is there. Both handles see it when this returns.
    async fn plant(&self, key: &Key, bytes: &[u8]);
}

/// Makes a test of every case. Give it an `async fn() -> (Pair, guard)`; the guard is dropped after the case.
#[macro_export]
macro_rules! conformance {
    ($make:path) => {
        $crate::conformance!(@cases $make:
            absent_keys_read_as_none, values_read_back, create_wants_absence, replace_wants_the_very_value, revisions_carry_the_nonce,
            stale_revisions_conflict, wrong_nonces_conflict, deleted_keys_are_absent_and_can_be_made_again, delete_wants_the_very_value,
            old_revisions_do_not_fit_a_key_made_again, keys_are_independent, odd_keys_are_kept_apart, large_values_are_whole,
            oversized_values_are_refused, change_is_carried_and_not_compared, unknown_fields_of_the_body_are_kept, settled_writes_say_what_happened,
            lists_are_sorted_and_end_at_segments, lists_leave_out_what_was_deleted, thousands_of_keys_are_listed,
            one_of_many_writers_wins, counters_lose_nothing, one_of_many_creators_wins, values_are_never_torn, the_probe_is_content,
            watchers_of_both_handles_are_told, watchers_are_told_of_deletions, watchers_hear_only_their_prefix, slow_watchers_are_told_all,
            watch_then_list_misses_nothing, garbage_is_reported_with_a_revision, garbage_is_replaced_by_who_names_it,
            other_garbage_is_another_value, garbage_can_be_deleted, one_of_many_writers_replaces_garbage, settled_writes_replace_garbage
        );
    };
    (@cases $make:path: $($case:ident),*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (pair, _guard) = $make().await;
            $crate::conformance::$case(pair).await;
        }
    )*};
}

fn key(text: &str) -> Key {
    text.parse().expect("the cases use well-formed keys")
}

/// A value with a nonce of its own.
fn value(body: impl serde::Serialize) -> Envelope {
    let writer = "conformance".parse().expect("it is a node name");
    Envelope::new(writer, fresh_nonce().expect("the system has randomness"), &body).expect("the cases use plain JSON")
}

async fn read(store: &Arc<dyn Store>, at: &Key) -> Option<Stored> {
    store.get(at).await.expect("the store can be read")
}

async fn put(store: &Arc<dyn Store>, at: &Key, value: &Envelope, expect: &Expect) -> Put {
    store.put(at, value, expect).await.expect("the store can be written")
}

/// Writes, and must win.
async fn must_put(store: &Arc<dyn Store>, at: &Key, value: &Envelope, expect: &Expect) -> Revision {
    match put(store, at, value, expect).await {
        Put::Done(revision) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

/// Makes a key that is not there.
async fn create(store: &Arc<dyn Store>, at: &Key, body: impl serde::Serialize) -> Revision {
    must_put(store, at, &value(body), &Expect::Absent).await
}

async fn must_delete(store: &Arc<dyn Store>, at: &Key, expect: &Revision) -> Revision {
    match store.delete(at, expect).await.expect("the store can be written") {
        Put::Done(revision) => revision,
        other => panic!("the only writer of `{at}` got {other:?}"),
    }
}

/// What comes within the time that a change may take to be told.
async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let told = tokio::time::timeout(Duration::from_secs(TOLD_SECONDS_MAX), wait).await;
    told.unwrap_or_else(|_| panic!("not within {TOLD_SECONDS_MAX} s: {what}"))
}
