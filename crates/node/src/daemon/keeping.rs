//! Keeping on disk what was seen: the memory, the records that count, what is answered.
//!
//! Always holds: what could not be kept is tried again after every message, and told until it is. The node works on meanwhile: what it would
//! forget with its process matters only if the store goes back too, and a certificate that is not installed matters at once.

use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::view::View;

use super::parts::Kit;
use super::work::Daemon;
use crate::disk::DiskError;
use crate::home;

/// So many records wait for the disk at the most. Of those beyond it the next life reads what the store has.
const UNKEPT_MAX: usize = 10_000;

impl Daemon {
    /// What was seen is on disk before anything is decided by it, if it can be.
    pub(super) fn keep(&mut self) {
        let tried = [self.keep_memory(), self.keep_records(), self.keep_answers()];
        let failed = tried.into_iter().find_map(Result::err).map(|error| format!("what this node has seen is not on disk: {error}"));
        let mut seen = self.shared.lock();
        if seen.unkept != failed {
            match &failed {
                Some(why) => tracing::error!(event = "not-kept", "{why}"),
                None => tracing::info!(event = "kept", "what this node has seen is on disk again"),
            }
            seen.unkept = failed;
        }
    }

    fn keep_memory(&mut self) -> Result<(), DiskError> {
        let mut seen = self.shared.lock();
        let unsaved = std::mem::take(&mut seen.view.local.unsaved);
        if unsaved.is_empty() {
            return Ok(());
        }
        let kept = self.memory.keep(&seen.view.local.memory, &unsaved);
        if kept.is_err() {
            seen.view.local.unsaved = unsaved;
        }
        kept
    }

    fn keep_records(&mut self) -> Result<(), DiskError> {
        let seen = self.shared.lock();
        while let Some((key, envelope)) = self.kit.unkept.pop_first() {
            if let Err(error) = self.kit.write(&seen.view, &key, &envelope) {
                self.kit.unkept.insert(key, envelope);
                return Err(error);
            }
        }
        Ok(())
    }

    fn keep_answers(&mut self) -> Result<(), DiskError> {
        if !self.answers_kept {
            let known = self.shared.lock().known.clone();
            known.save(&self.settings.state)?;
            self.answers_kept = true;
        }
        Ok(())
    }
}

impl Kit {
    /// Keeps a record in the sealed cache; if that cannot be done now, later.
    pub(super) fn keep(&mut self, view: &View, key: &Key, envelope: &Envelope) {
        self.unkept.remove(key);
        if self.write(view, key, envelope).is_err() && self.unkept.len() < UNKEPT_MAX {
            self.unkept.insert(key.clone(), envelope.clone());
        }
    }

    fn write(&self, view: &View, key: &Key, envelope: &Envelope) -> Result<(), DiskError> {
        match RecordKey::of(key) {
            Some(RecordKey::Home) => home::keep(&self.state, &self.url, view, envelope),
            _ if self.keeper.get(key).as_ref() == Some(envelope) => Ok(()),
            _ => self.keeper.cache(key, envelope),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use certfleet_core::names::Generation;
    use certfleet_core::time::Mono;
    use certfleet_core::view::Memory;

    use super::super::surroundings::ThisMachine;
    use super::*;
    use crate::disk::Full;
    use crate::keeper::Keeper;
    use crate::memory::{self, KnownAnswers};
    use crate::operator::lab::{Lab, cert};

    #[tokio::test]
    async fn what_a_full_disk_did_not_take_is_kept_once_there_is_room() {
        let lab = Lab::new().await;
        let (settings, state) = (lab.machine("n2").settings, lab.machine("n2").settings.state);
        let mut daemon = Daemon::new(settings, lab.identity("n2"), Arc::new(ThisMachine)).expect("begins");
        let full = Full::of(&state);
        let key = RecordKey::Fleet.key();
        let stored = lab.store().await.get(&key).await.expect("is there").expect("init wrote it");
        let found = [(key.clone(), Some(stored))];
        {
            let mut seen = daemon.shared.lock();
            seen.view.local.memory.insert(cert(), Memory { number: Generation(7), ..Memory::default() });
            seen.view.local.unsaved.insert(cert());
            seen.known.thumbprint = Some("mine".into());
            daemon.kit.take_in(&mut seen.view, &found, Vec::new(), Mono::default());
        }
        daemon.answers_kept = false;
        let kept = || {
            let number = memory::load(&state).expect("reads").get(&cert()).map(|memory| memory.number.0);
            let answers = KnownAnswers::load(&state).expect("reads").and_then(|known| known.thumbprint);
            (number, answers, Keeper::new(&state).get(&key).is_some())
        };
        daemon.keep();
        let told = daemon.shared.lock().unkept.clone().expect("is told");
        assert!(told.contains("memory.log cannot be written"), "{told}");
        assert_eq!(kept(), (None, None, false));
        drop(full);
        daemon.keep();
        assert_eq!((kept(), daemon.shared.lock().unkept.clone()), ((Some(7), Some("mine".into()), true), None));
    }
}
