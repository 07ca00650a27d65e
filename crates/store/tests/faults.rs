//! Stores that lose answers are settled with, stores that lie are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use certfleet_store::backends::memory::MemoryStore;
use certfleet_store::{
    Envelope, ErrorKind, Expect, Key, Listing, ProbeError, Put, Revision, Settled, Store, StoreError, Stored, Watch, delete_settled,
    fresh_nonce, probe, put_settled,
};

/// What a faulty store does with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It takes place, and the answer is lost.
    AnswerLost,
    /// It does not take place, and nobody says so.
    QuestionLost,
    /// It takes place, the answer is lost, and others write before one can look.
    AnswerLostAndOvertaken,
    /// It takes place, the answer is lost, and someone writes garbage over it.
    AnswerLostAndSpoilt,
    /// The condition is dropped.
    ConditionDropped,
    /// The condition is looked at only for keys that are there.
    CreateUnconditional,
    /// It does not take place, and is acknowledged.
    Forgotten,
    /// Nothing is ever taken.
    NeverTaken,
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<MemoryStore>,
    fault: Fault,
    /// Writes that are still to go wrong.
    left: AtomicU32,
}

impl Faulty {
    fn new(fault: Fault, times: u32) -> Self {
        Self { inner: MemoryStore::new(), fault, left: AtomicU32::new(times) }
    }

    fn goes_wrong(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    async fn whatever_is_there(&self, key: &Key) -> Result<Expect, StoreError> {
        Ok(self.inner.get(key).await?.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision)))
    }
}

#[async_trait]
impl Store for Faulty {
    fn kind(&self) -> &'static str {
        "faulty"
    }

    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.inner.list(prefix).await
    }

    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        // Writers must meet for a race to be one.
        tokio::task::yield_now().await;
        if !self.goes_wrong() {
            return self.inner.put(key, value, expect).await;
        }
        match self.fault {
            Fault::AnswerLost => self.inner.put(key, value, expect).await.map(|_| Put::Unknown("lost".into())),
            Fault::QuestionLost => Ok(Put::Unknown("lost".into())),
            Fault::AnswerLostAndOvertaken => {
                if let Put::Done(revision) = self.inner.put(key, value, expect).await? {
                    self.inner.put(key, &envelope(0), &Expect::Revision(revision)).await?;
                }
                Ok(Put::Unknown("lost".into()))
            }
            Fault::AnswerLostAndSpoilt => {
                self.inner.put(key, value, expect).await?;
                self.inner.plant(key, b"spoilt");
                Ok(Put::Unknown("lost".into()))
            }
            Fault::ConditionDropped => self.inner.put(key, value, &self.whatever_is_there(key).await?).await,
            Fault::CreateUnconditional if *expect == Expect::Absent => {
                self.inner.put(key, value, &self.whatever_is_there(key).await?).await
            }
            Fault::CreateUnconditional => self.inner.put(key, value, expect).await,
            Fault::Forgotten => Ok(Put::Done(value.revision("1"))),
            Fault::NeverTaken => Ok(Put::Conflict),
        }
    }

    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        if !self.goes_wrong() {
            return self.inner.delete(key, expect).await;
        }
        match self.fault {
            Fault::AnswerLost => self.inner.delete(key, expect).await.map(|_| Put::Unknown("lost".into())),
            Fault::QuestionLost => Ok(Put::Unknown("lost".into())),
            Fault::AnswerLostAndSpoilt => {
                self.inner.delete(key, expect).await?;
                self.inner.plant(key, b"spoilt");
                Ok(Put::Unknown("lost".into()))
            }
            _ => self.inner.delete(key, expect).await,
        }
    }

    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.inner.watch(prefix).await
    }
}

fn envelope(body: u32) -> Envelope {
    Envelope::new("lb0".parse().expect("name"), fresh_nonce().expect("random"), &body).expect("json")
}

fn key() -> Key {
    "certs/a".parse().expect("key")
}

/// Writes garbage, and gives its revision.
async fn spoil(store: &Faulty) -> Revision {
    store.inner.plant(&key(), b"spoilt");
    match store.get(&key()).await {
        Err(StoreError::Corrupt { revision, .. }) => revision,
        other => panic!("{other:?} is garbage"),
    }
}

/// Forever, for the tests.
const ALWAYS: u32 = u32::MAX;

#[tokio::test]
async fn lost_answers_are_found() {
    for (fault, times) in [(Fault::AnswerLost, 1), (Fault::AnswerLost, ALWAYS), (Fault::QuestionLost, 3)] {
        let store = Faulty::new(fault, times);
        let value = envelope(1);
        let settled = put_settled(&store, &key(), &value, &Expect::Absent).await;
        let there = store.get(&key()).await.expect("read").expect("there").revision;
        assert_eq!((settled, &there.nonce), (Ok(Settled::Done(there.clone())), &value.nonce), "{fault:?}");
        store.left.store(times, Ordering::SeqCst);
        assert!(matches!(delete_settled(&store, &key(), &there).await, Ok(Settled::Done(_))), "{fault:?}");
        assert_eq!(store.get(&key()).await, Ok(None));
    }
}

#[tokio::test]
async fn a_write_that_was_replaced_meanwhile_is_a_conflict() {
    let store = Faulty::new(Fault::AnswerLostAndOvertaken, 1);
    assert_eq!(put_settled(&store, &key(), &envelope(1), &Expect::Absent).await, Ok(Settled::Conflict));
}

/// Garbage that is named is replaced, once, also when the answers are lost.
#[tokio::test]
async fn lost_answers_are_found_where_garbage_was() {
    for (fault, times) in [(Fault::AnswerLost, 1), (Fault::AnswerLost, ALWAYS), (Fault::QuestionLost, 3)] {
        let store = Faulty::new(fault, times);
        let (value, garbage) = (envelope(1), spoil(&store).await);
        let settled = put_settled(&store, &key(), &value, &Expect::Revision(garbage)).await;
        let there = store.get(&key()).await.expect("read").expect("there").revision;
        assert_eq!((settled, &there.nonce), (Ok(Settled::Done(there.clone())), &value.nonce), "{fault:?}");
        let garbage = spoil(&store).await;
        store.left.store(times, Ordering::SeqCst);
        assert!(matches!(delete_settled(&store, &key(), &garbage).await, Ok(Settled::Done(_))), "{fault:?}");
        assert_eq!(store.get(&key()).await, Ok(None));
    }
}

/// Garbage in the place of one's own value is another value, whatever it was written over.
#[tokio::test]
async fn a_write_that_was_spoilt_meanwhile_is_a_conflict() {
    let store = Faulty::new(Fault::AnswerLostAndSpoilt, 1);
    assert_eq!(put_settled(&store, &key(), &envelope(1), &Expect::Absent).await, Ok(Settled::Conflict));
    for deleted in [false, true] {
        let garbage = spoil(&store).await;
        store.left.store(1, Ordering::SeqCst);
        let settled = match deleted {
            true => delete_settled(&store, &key(), &garbage).await,
            false => put_settled(&store, &key(), &envelope(1), &Expect::Revision(garbage)).await,
        };
        assert_eq!(settled, Ok(Settled::Conflict));
    }
}

#[tokio::test]
async fn silence_has_an_end() {
    let store = Faulty::new(Fault::QuestionLost, ALWAYS);
    let error = put_settled(&store, &key(), &envelope(1), &Expect::Absent).await.expect_err("never settled");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains("`certs/a`"), "{error}");
}

#[tokio::test]
async fn liars_are_refused() {
    for fault in [Fault::ConditionDropped, Fault::CreateUnconditional, Fault::Forgotten, Fault::NeverTaken] {
        let store = Faulty::new(fault, ALWAYS);
        let refused = probe(&store).await.expect_err("refused");
        assert!(matches!(refused, ProbeError::Broken { engine: "faulty", .. }), "{fault:?}: {refused}");
        assert_eq!(refused.kind(), ErrorKind::NeedsOperator);
        assert_eq!(store.list("").await.expect("listed").entries, [], "{fault:?}: cleaned up");
    }
}

/// A store that loses answers is slow, not wrong.
#[tokio::test]
async fn a_store_that_loses_answers_is_not_refused() {
    assert_eq!(probe(&Faulty::new(Fault::AnswerLost, 1)).await, Ok(()));
}
