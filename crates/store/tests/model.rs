//! Random operations on the file store, through two handles, against a model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use certfleet_store::backends::file::{FileStore, WatchMode};
use certfleet_store::{Envelope, Expect, Key, Put, Revision, Store, fresh_nonce, is_expected};
use proptest::prelude::*;

const KEYS: [&str; 5] = ["fleet", "certs/a", "certs/A", "certs/a/*@b", "certs"];
const CASES: u32 = 32;
const OPERATIONS_MAX: usize = 30;

/// Which value a write says it expects.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Absent,
    Current,
    /// One that was there some time, perhaps under another key.
    Earlier(prop::sample::Index),
}

#[derive(Debug, Clone)]
enum Operation {
    Put { key: usize, expected: Expected, fill: usize },
    Delete { key: usize, expected: Expected },
    Reopen,
}

fn operation() -> impl Strategy<Value = Operation> {
    let expected = || prop_oneof![1 => Just(Expected::Absent), 3 => Just(Expected::Current), 1 => any::<prop::sample::Index>().prop_map(Expected::Earlier)];
    prop_oneof![
        8 => (0..KEYS.len(), expected(), 0..5000_usize).prop_map(|(key, expected, fill)| Operation::Put { key, expected, fill }),
        3 => (0..KEYS.len(), expected()).prop_map(|(key, expected)| Operation::Delete { key, expected }),
        1 => Just(Operation::Reopen),
    ]
}

#[derive(Debug, Default)]
struct Model {
    values: BTreeMap<Key, (Revision, Envelope)>,
    /// All revisions that ever were.
    history: Vec<Revision>,
}

impl Model {
    fn expect(&self, key: &Key, expected: Expected) -> Expect {
        let current = self.values.get(key).map(|(revision, _)| revision);
        match expected {
            Expected::Absent => Expect::Absent,
            Expected::Current => current.cloned().map_or(Expect::Absent, Expect::Revision),
            Expected::Earlier(_) if self.history.is_empty() => Expect::Absent,
            Expected::Earlier(at) => Expect::Revision(at.get(&self.history).clone()),
        }
    }

    fn fits(&self, key: &Key, expect: &Expect) -> bool {
        is_expected(self.values.get(key).map(|(revision, _)| revision), expect)
    }

    /// Compares an answer with what it should be; gives the revision if it was done.
    fn judge(&mut self, key: &Key, expect: &Expect, answer: Put) -> Option<Revision> {
        match answer {
            Put::Done(revision) => {
                assert!(self.fits(key, expect), "{key} was written over with {expect:?}");
                assert!(!self.history.contains(&revision), "{revision} was given before");
                self.history.push(revision.clone());
                Some(revision)
            }
            Put::Conflict => {
                assert!(!self.fits(key, expect), "{key} was refused with {expect:?}");
                None
            }
            Put::Unknown(why) => panic!("nobody else writes: {why}"),
        }
    }
}

async fn open(root: &Path) -> Arc<FileStore> {
    FileStore::open_or_create(root, WatchMode::Poll).await.expect("opened")
}

async fn run(operations: Vec<Operation>) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut stores = [open(dir.path()).await, open(dir.path()).await];
    let mut model = Model::default();
    for (n, operation) in operations.into_iter().enumerate() {
        let store = &stores[n % 2];
        match operation {
            Operation::Put { key, expected, fill } => {
                let key: Key = KEYS[key].parse().expect("key");
                let value = Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), &"x".repeat(fill)).expect("json");
                let expect = model.expect(&key, expected);
                let value = value.following(&expect);
                let answer = store.put(&key, &value, &expect).await.expect("answered");
                if let Some(revision) = model.judge(&key, &expect, answer) {
                    assert_eq!((&revision.nonce, revision.change), (&value.nonce, value.change));
                    model.values.insert(key, (revision, value));
                }
            }
            Operation::Delete { key, expected } => {
                let key: Key = KEYS[key].parse().expect("key");
                let Expect::Revision(revision) = model.expect(&key, expected) else { continue };
                let answer = store.delete(&key, &revision).await.expect("answered");
                if model.judge(&key, &Expect::Revision(revision), answer).is_some() {
                    model.values.remove(&key);
                }
            }
            Operation::Reopen => stores[n % 2] = open(dir.path()).await,
        }
        compare(&*stores[(n + 1) % 2], &model).await;
    }
}

async fn compare(store: &dyn Store, model: &Model) {
    for key in KEYS.map(|key| key.parse::<Key>().expect("key")) {
        let there = store.get(&key).await.expect("read").map(|stored| (stored.revision, stored.envelope));
        assert_eq!(there.as_ref(), model.values.get(&key), "{key}");
    }
    for prefix in ["", "certs", "certs/a"] {
        let listing = store.list(prefix).await.expect("listed");
        assert_eq!(listing.unreadable, []);
        let listed: Vec<_> = listing.entries.into_iter().map(|(key, stored)| (key, (stored.revision, stored.envelope))).collect();
        let wanted: Vec<_> = model.values.iter().filter(|(key, _)| key.is_under(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(listed, wanted, "below `{prefix}`");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_file_store_is_a_map_with_compare_and_swap(operations in prop::collection::vec(operation(), 1..OPERATIONS_MAX)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a run time");
        runtime.block_on(run(operations));
    }
}
