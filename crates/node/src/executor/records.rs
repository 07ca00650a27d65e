//! Actions that write or read records.

use std::time::{Duration, Instant};

use certfleet_core::decide::Event;
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::mutants::{Mutant, has};
use certfleet_core::names::{CertName, NodeName, TargetName};
use certfleet_core::records::{AttemptEnd, CertRecord, Presence, Report, VersionRecord};
use certfleet_core::view::{Blob, Outcome};
use certfleet_store::{Settled, StoreError, Stored, delete_settled, put_settled};
use serde::Serialize;

use super::{ActionError, Done, Executor, Found};
use crate::crash;

impl Executor {
    /// One compare-and-swap in this node's name; a refused one is read again. Whether it took place is in the second part.
    pub(super) async fn put<T: Serialize>(&self, key: &RecordKey, record: &T, expect: &Expect) -> Result<(Found, bool), ActionError> {
        let envelope = self.pen.write(key, record, expect)?;
        self.put_envelope(key.key(), envelope, expect).await
    }

    pub(super) async fn put_envelope(&self, key: Key, envelope: Envelope, expect: &Expect) -> Result<(Found, bool), ActionError> {
        let blind = match RecordKey::of(&key).filter(|_| has(Mutant::DropExpectation)) {
            Some(record) => Some(self.base(&record).await?),
            None => None,
        };
        match put_settled(self.store.as_ref(), &key, &envelope, blind.as_ref().unwrap_or(expect)).await? {
            Settled::Done(revision) => Ok(((key, Some(Stored { envelope, revision })), true)),
            Settled::Conflict => Ok((self.read(&key).await?, false)),
        }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Found, ActionError> {
        Ok((key.clone(), self.store.get(key).await?))
    }

    /// What stands under a key, if it counts there.
    pub(super) async fn read_trusted(&self, key: &RecordKey) -> Result<Option<Envelope>, ActionError> {
        let (_, stored) = match self.read(&key.key()).await {
            Err(ActionError::Store(StoreError::Corrupt { why, .. })) => return Err(ActionError::Other(format!("{key}: {why}"))),
            read => read?,
        };
        let Some(Stored { envelope, .. }) = stored else { return Ok(None) };
        let checked = self.roster.load().check(key, &envelope);
        checked.map(|()| Some(envelope)).map_err(|why| ActionError::Other(format!("{key}: {why}")))
    }

    pub(super) fn is_distrusted(&self, key: &RecordKey, (_, stored): &Found) -> bool {
        stored.as_ref().is_none_or(|stored| self.roster.load().check(key, &stored.envelope).is_err())
    }

    /// What must stand under a key for whatever stands there now to be written over.
    pub(super) async fn base(&self, key: &RecordKey) -> Result<Expect, ActionError> {
        match self.read(&key.key()).await {
            Ok((_, stored)) => Ok(stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision))),
            Err(ActionError::Store(StoreError::Corrupt { revision, .. })) => Ok(Expect::Revision(revision)),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn write_record(&self, record: RecordKey, value: serde_json::Value, expect: Expect, after: u64) -> Done {
        crash::point("before-record", record.kind());
        let envelope = self.pen.write_after(after, &record, &value, &expect)?;
        let (found, done) = self.put_envelope(record.key(), envelope, &expect).await?;
        crash::point("after-record", record.kind());
        if done {
            tracing::info!(event = "recorded", key = %record);
        }
        if let RecordKey::Cert(cert) = &record {
            self.see_to_placed(cert, &value).await?;
        }
        Ok((vec![found], Outcome::Done))
    }

    /// Where an engine lost a record that had been acknowledged, it lost the key and the chain that were stored just before it too.
    async fn see_to_placed(&self, cert: &CertName, record: &serde_json::Value) -> Result<(), ActionError> {
        let record: CertRecord = serde_json::from_value(record.clone()).map_err(|e| ActionError::Other(format!("certs/{cert}: {e}")))?;
        let Some(placed) = &record.placed else { return Ok(()) };
        self.see_to_key(cert, &placed.key).await?;
        self.see_to_version(cert, placed.placement.generation).await
    }

    pub(super) async fn put_back(&self, key: Key, envelope: Envelope, expect: Expect) -> Done {
        crash::point("before-store", "put-back");
        let (found, done) = self.put_envelope(key.clone(), envelope, &expect).await?;
        crash::point("after-store", "put-back");
        if done {
            tracing::warn!(event = "put-back", key = %key, "what stood there did not count");
        }
        Ok((vec![found], Outcome::Done))
    }

    /// A member's asking is over.
    pub(super) async fn let_in(&self, node: NodeName, asking: Revision) -> Done {
        let key = RecordKey::Joining(node.clone()).key();
        crash::point("before-store", "let-in");
        delete_settled(self.store.as_ref(), &key, &asking).await?;
        crash::point("after-store", "let-in");
        tracing::info!(event = "let-in", node = %node);
        Ok((vec![self.read(&key).await?], Outcome::Done))
    }

    pub(super) async fn read_all(&self, keys: &[Key]) -> Result<Vec<Found>, ActionError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.read(key).await?);
        }
        Ok(found)
    }

    pub(super) async fn beat(&self, presence: Presence, expect: Expect) -> Done {
        let (found, done) = self.put(&RecordKey::Presence(self.pen.node().clone()), &presence, &expect).await?;
        Ok((vec![found], if done { Outcome::Beaten(presence) } else { Outcome::Done }))
    }

    pub(super) async fn report(&self, cert: CertName, target: TargetName, report: Report, expect: Expect) -> Done {
        let key = RecordKey::Report(cert, self.pen.node().clone(), target);
        let (found, _) = self.put(&key, &report, &expect).await?;
        Ok((vec![found], Outcome::Done))
    }

    /// Private keys, their wraps and versions, without their content. A value that cannot be read is left alone.
    pub(super) async fn look_through(&self) -> Done {
        let mut blobs = Vec::new();
        for prefix in ["keys", "wraps", "versions"] {
            for (key, stored) in self.store.list(prefix).await?.entries {
                let needs = stored.envelope.record::<VersionRecord>().ok().map(|version| version.key);
                if RecordKey::of(&key).is_some() && (needs.is_some() || prefix != "versions") {
                    blobs.push(Blob { key, revision: stored.revision, needs });
                }
            }
        }
        Ok((Vec::new(), Outcome::LookedThrough(blobs)))
    }

    /// What was changed meanwhile stays.
    pub(super) async fn remove(&self, blobs: Vec<Blob>) -> Done {
        for blob in &blobs {
            delete_settled(self.store.as_ref(), &blob.key, &blob.revision).await?;
        }
        tracing::info!(event = "removed", count = blobs.len(), "keys and versions that nothing has referred to for a day");
        Ok((Vec::new(), Outcome::Removed(blobs.into_iter().map(|blob| blob.key).collect())))
    }

    pub(super) async fn write_certificate(&self, cert: CertName, expect: Expect, record: CertRecord, event: Event) -> Done {
        if let Some(placed) = record.placed.as_ref().filter(|_| event == Event::Placed) {
            self.see_to_key(&cert, &placed.key).await?;
            self.see_to_version(&cert, placed.placement.generation).await?;
        }
        crash::point("before-cas", event.name());
        let start = Instant::now();
        let (found, done) = self.put(&RecordKey::Cert(cert.clone()), &record, &expect).await?;
        let took = start.elapsed();
        crash::point("after-cas", event.name());
        if done {
            self.tell(&cert, &record, event, took);
        }
        Ok((vec![found], Outcome::Done))
    }

    /// One log line for each change of a record, with the same field names everywhere.
    fn tell(&self, cert: &CertName, record: &CertRecord, event: Event, write: Duration) {
        let write_ms = u64::try_from(write.as_millis()).unwrap_or(u64::MAX);
        let last = record.history.last();
        let attempt = record.attempt.as_ref().map_or_else(|| last.map_or(0, |entry| entry.number.0), |attempt| attempt.number.0);
        let order = record.attempt.as_ref().and_then(|attempt| attempt.step.order()).unwrap_or("-");
        let step = record.attempt.as_ref().map_or("-", |attempt| attempt.step.name());
        let problem = match (record.attempt.as_ref().and_then(|attempt| attempt.problem.as_ref()), last.map(|entry| &entry.end)) {
            (Some(problem), _) => problem.to_string(),
            (None, Some(AttemptEnd::Failed { problem })) if event == Event::Failed => problem.to_string(),
            _ => "-".into(),
        };
        self.metrics.attempt(event);
        let event = event.name();
        if problem == "-" {
            tracing::info!(event, cert = %cert, attempt, step, order, write_ms);
        } else {
            tracing::warn!(event, cert = %cert, attempt, step, order, problem, write_ms);
        }
    }
}
