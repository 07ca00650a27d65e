//! One look at both stores, and what it takes to make TO what FROM is.

use std::sync::Arc;

use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_store::{Settled, Store, StoreError, delete_settled, put_settled};
use tokio::task::JoinSet;

use super::super::super::{OperatorError, refused};
use super::super::records::{There, is_newer};
use super::{Mover, Word, busy};
use crate::crash;

/// How many writes are under way at a time.
const WRITES_AT_ONCE: usize = 16;
/// How often it is told how far a pass is.
const TOLD_MAX: usize = 10;

/// What a look found.
pub(super) struct Passed {
    /// A record that was not the same in both, of those that have to be.
    pub differing: Option<Key>,
    /// What cannot be copied, and why.
    pub left_out: Vec<(Key, String)>,
}

enum Change {
    Put(Key, Envelope, Expect),
    Delete(Key, Revision),
}

impl Change {
    fn key(&self) -> &Key {
        match self {
            Self::Put(key, ..) | Self::Delete(key, _) => key,
        }
    }

    async fn carry_out(self, store: Arc<dyn Store>) -> Result<Settled, StoreError> {
        crash::point("before-copy", "record");
        let settled = match self {
            Self::Put(key, envelope, expect) => put_settled(store.as_ref(), &key, &envelope, &expect).await,
            Self::Delete(key, revision) => delete_settled(store.as_ref(), &key, &revision).await,
        };
        crash::point("after-copy", "record");
        settled
    }
}

impl Mover<'_> {
    /// Makes TO what FROM was at a moment.
    pub(super) async fn pass(&self, word: &Word, what: &str, tell: &mut impl FnMut(&str)) -> Result<Passed, OperatorError> {
        // In this order: what is written over is then never newer than what is written.
        let there = There::read(self.to.as_ref()).await?;
        self.check_word(word).await?;
        let here = There::read(self.from.as_ref()).await?;
        here.check_ours(self.identity)?;
        if let Some((key, why)) = here.unreadable.iter().find(|(_, why)| is_newer(why)) {
            return refused(format!("{key} cannot be copied: {why}"), "upgrade certfleet on this machine");
        }
        let changes = changes(&here, &there);
        let differing = changes.iter().map(Change::key).find(|key| has_to_be_the_same(key)).cloned();
        self.carry_out(changes, what, tell).await?;
        Ok(Passed { differing, left_out: here.unreadable.into_iter().collect() })
    }

    /// Whether no other run has begun since, or ended.
    async fn check_word(&self, word: &Word) -> Result<(), OperatorError> {
        let stored = self.to.get(&RecordKey::Home.key()).await?;
        if stored.is_some_and(|stored| stored.envelope == word.said) { Ok(()) } else { busy() }
    }

    /// What was changed by others meanwhile is seen by the next look.
    async fn carry_out(&self, changes: Vec<Change>, what: &str, tell: &mut impl FnMut(&str)) -> Result<(), OperatorError> {
        let all = changes.len();
        let mut writes = JoinSet::new();
        for (done, change) in changes.into_iter().enumerate() {
            while writes.len() >= WRITES_AT_ONCE {
                ended(writes.join_next().await)?;
            }
            if done % all.div_ceil(TOLD_MAX) == 0 {
                tell(&format!("{what}: {done} of {all} records"));
            }
            writes.spawn(change.carry_out(self.to.clone()));
        }
        while let Some(write) = writes.join_next().await {
            ended(Some(write))?;
        }
        Ok(())
    }
}

fn ended(write: Option<Result<Result<Settled, StoreError>, tokio::task::JoinError>>) -> Result<(), OperatorError> {
    match write {
        Some(Ok(settled)) => settled.map(drop).map_err(OperatorError::from),
        Some(Err(error)) => refused(format!("a write broke off: {error}"), "give the command again"),
        None => Ok(()),
    }
}

/// The fleet's record first, so that nobody makes a fleet there.
fn changes(here: &There, there: &There) -> Vec<Change> {
    let puts = here.records.iter().filter(|(key, envelope)| is_copied(key) && !there.has(key, envelope));
    let gone = there.revisions.iter().filter(|(key, _)| is_copied(key) && !here.revisions.contains_key(*key));
    let puts = puts.map(|(key, envelope)| Change::Put(key.clone(), envelope.clone(), there.expect(key)));
    let mut changes: Vec<Change> = puts.chain(gone.map(|(key, revision)| Change::Delete(key.clone(), revision.clone()))).collect();
    changes.sort_by_key(|change| *change.key() != RecordKey::Fleet.key());
    changes
}

/// `home` is each store's own, and what is below `probe` nobody's.
fn is_copied(key: &Key) -> bool {
    *key != RecordKey::Home.key() && !key.is_under("probe")
}

/// Whether nodes that have not yet read that the fleet has left may go on writing it, to nobody's harm.
fn has_to_be_the_same(key: &Key) -> bool {
    !matches!(RecordKey::of(key), Some(RecordKey::Presence(_) | RecordKey::Report(..)))
}
