//! Actions that write or read records.

use std::time::Instant;

use certfleet_core::decide::Event;
use certfleet_core::envelope::Expect;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, TargetName};
use certfleet_core::records::{AttemptEnd, CertRecord, Presence, Report, VersionRecord};
use certfleet_core::view::{Blob, Outcome};
use certfleet_store::{Settled, Stored, delete_settled, put_settled};
use serde::Serialize;

use super::{ActionError, Done, Executor, Found};
use crate::{crash, trust};

impl Executor {
    /// One compare-and-swap; a refused one is read again. Whether it took place is in the second part.
    pub(super) async fn put<T: Serialize>(&self, key: &RecordKey, record: &T, expect: &Expect) -> Result<(Found, bool), ActionError> {
        let (key, envelope) = (key.key(), trust::wrap(&self.node, record)?);
        let start = Instant::now();
        let settled = put_settled(self.store.as_ref(), &key, &envelope, expect).await;
        self.metrics.store_call("put", start.elapsed());
        match settled? {
            Settled::Done(revision) => Ok(((key, Some(Stored { envelope, revision })), true)),
            Settled::Conflict => Ok((self.read(&key).await?, false)),
        }
    }

    pub(super) async fn read(&self, key: &Key) -> Result<Found, ActionError> {
        let start = Instant::now();
        let stored = self.store.get(key).await;
        self.metrics.store_call("get", start.elapsed());
        Ok((key.clone(), stored?))
    }

    pub(super) async fn read_all(&self, keys: &[Key]) -> Result<Vec<Found>, ActionError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.read(key).await?);
        }
        Ok(found)
    }

    pub(super) async fn beat(&self, presence: Presence, expect: Expect) -> Done {
        let (found, done) = self.put(&RecordKey::Presence(self.node.clone()), &presence, &expect).await?;
        Ok((vec![found], if done { Outcome::Beaten(presence) } else { Outcome::Done }))
    }

    pub(super) async fn report(&self, cert: CertName, target: TargetName, report: Report, expect: Expect) -> Done {
        let key = RecordKey::Report(cert, self.node.clone(), target);
        let (found, _) = self.put(&key, &report, &expect).await?;
        Ok((vec![found], Outcome::Done))
    }

    /// Private keys and versions, without their content. A value that cannot be read is left alone.
    pub(super) async fn look_through(&self) -> Done {
        let mut blobs = Vec::new();
        for prefix in ["keys", "versions"] {
            for (key, stored) in self.store.list(prefix).await?.entries {
                let needs = stored.envelope.record::<VersionRecord>().ok().map(|version| version.key);
                if RecordKey::of(&key).is_some() && (needs.is_some() || prefix == "keys") {
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
        crash::point("before-cas", event.name());
        let (found, done) = self.put(&RecordKey::Cert(cert.clone()), &record, &expect).await?;
        crash::point("after-cas", event.name());
        if done {
            self.tell(&cert, &record, event);
        }
        Ok((vec![found], Outcome::Done))
    }

    /// One log line for each change of a record, with the same field names everywhere.
    fn tell(&self, cert: &CertName, record: &CertRecord, event: Event) {
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
            tracing::info!(event, cert = %cert, attempt, step, order);
        } else {
            tracing::warn!(event, cert = %cert, attempt, step, order, problem);
        }
    }
}
