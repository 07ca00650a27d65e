//! Change notices.

use std::collections::BTreeSet;

use certfleet_core::envelope::Expect;
use certfleet_core::key::Key;

use super::{Pair, create, key, must_delete, must_put, value, within};
use crate::watch::{Change, Watch};

/// More than a queue holds.
const FLOOD_KEYS: usize = 40;

/// Waits until all of `wanted` were told (a reset tells everything).
async fn told(watch: &mut Watch, wanted: &[&str]) -> BTreeSet<Key> {
    let wanted: BTreeSet<Key> = wanted.iter().map(|text| key(text)).collect();
    let mut seen = BTreeSet::new();
    while !wanted.is_subset(&seen) {
        match within(&format!("notice of {wanted:?}, got {seen:?}"), watch.next()).await {
            Some(Change::Keys(keys)) => seen.extend(keys),
            Some(Change::Reset) => seen.extend(wanted.clone()),
            None => panic!("the watch ended before {wanted:?}"),
        }
    }
    seen
}

/// Whoever writes, everybody is told: of new keys and of new values, also of several in a row.
pub async fn watchers_of_both_handles_are_told(pair: Pair) {
    let (mut one, mut other) = (pair.one.watch("").await.expect("watched"), pair.other.watch("").await.expect("watched"));
    let mut revision = create(&pair.one, &key("certs/a"), 0).await;
    for n in 1..6 {
        told(&mut one, &["certs/a"]).await;
        told(&mut other, &["certs/a"]).await;
        revision = must_put(&pair.other, &key("certs/a"), &value(n), &Expect::Revision(revision)).await;
    }
    create(&pair.other, &key("nodes/lb0"), 0).await;
    told(&mut one, &["nodes/lb0"]).await;
    told(&mut other, &["nodes/lb0"]).await;
}

/// A deletion is a change.
pub async fn watchers_are_told_of_deletions(pair: Pair) {
    let revision = create(&pair.one, &key("certs/a"), 0).await;
    let mut watch = pair.other.watch("certs").await.expect("watched");
    must_delete(&pair.one, &key("certs/a"), &revision).await;
    told(&mut watch, &["certs/a"]).await;
    create(&pair.one, &key("certs/a"), 1).await;
    told(&mut watch, &["certs/a"]).await;
}

/// Other keys are not told.
pub async fn watchers_hear_only_their_prefix(pair: Pair) {
    let mut watch = pair.other.watch("certs").await.expect("watched");
    create(&pair.one, &key("presence/lb0"), 0).await;
    create(&pair.one, &key("certsx/a"), 0).await;
    create(&pair.one, &key("certs/a"), 0).await;
    assert_eq!(told(&mut watch, &["certs/a"]).await, [key("certs/a")].into());
}

/// A reader that comes late finds every key.
pub async fn slow_watchers_are_told_all(pair: Pair) {
    let mut watch = pair.other.watch("").await.expect("watched");
    let names: Vec<String> = (0..FLOOD_KEYS).map(|n| format!("reports/{n}")).collect();
    for name in &names {
        create(&pair.one, &key(name), 0).await;
    }
    told(&mut watch, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

/// Every write is either in the list or told after it.
pub async fn watch_then_list_misses_nothing(pair: Pair) {
    let writer = tokio::spawn({
        let store = pair.one.clone();
        async move {
            for n in 0..FLOOD_KEYS {
                create(&store, &key(&format!("reports/{n}")), 0).await;
            }
        }
    });
    let mut watch = pair.other.watch("reports").await.expect("watched");
    let listed = pair.other.list("reports").await.expect("listed").entries;
    let mut seen: BTreeSet<Key> = listed.into_iter().map(|(key, _)| key).collect();
    while seen.len() < FLOOD_KEYS {
        match within("all keys", watch.next()).await {
            Some(Change::Keys(keys)) => seen.extend(keys),
            Some(Change::Reset) => seen.extend(pair.other.list("reports").await.expect("listed").entries.into_iter().map(|(key, _)| key)),
            None => panic!("the watch ended"),
        }
    }
    writer.await.expect("the writer wrote");
}
