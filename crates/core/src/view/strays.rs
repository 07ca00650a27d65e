//! What stands in the store and does not count, and what counted and is gone.
//!
//! Always holds: a change of the roster looks at the strays again, and forgets what was said by those who have no say any more; of the
//! records that are never removed the last one that counted stays, for `decide` to put right.

use std::time::Duration;

use super::View;
use super::take::{Stray, is_kept};
use crate::envelope::{Envelope, Revision};
use crate::key::{Key, RecordKey};
use crate::time::Mono;
use crate::trust::Roster;

/// How long a value that does not count must have stood, with nobody putting it right, until it is as good as none to a node that knows of
/// no better one, in seconds.
const ORPHAN_SECONDS: u64 = 600;

/// How long nothing is done with a record after it was put right: longer than it takes whoever knows a later one to put that there, in
/// seconds.
const SETTLING_SECONDS: u64 = 20;

impl View {
    /// From when on a stray is as good as nothing; none if it will not be: this node knows what should stand there, or a newer version does.
    pub(crate) fn orphan_at(&self, key: &Key) -> Option<Mono> {
        let stray = self.strays.get(key).filter(|stray| !stray.is_newer && !self.accepted.contains_key(key))?;
        // The fleet's own record no member can write.
        let is_ours = RecordKey::of(key).is_some_and(|record| is_kept(&record) && record != RecordKey::Fleet);
        is_ours.then(|| stray.since + Duration::from_secs(ORPHAN_SECONDS) + self.local.lag)
    }

    /// Until when nothing is done with a record that was put right.
    pub(crate) fn settled_at(&self, key: &Key) -> Option<Mono> {
        self.local.settling.get(key).map(|since| *since + Duration::from_secs(SETTLING_SECONDS) + 2 * self.local.lag)
    }

    /// Whether what stands under `key` keeps this node from writing there.
    pub(crate) fn is_blocked(&self, key: &Key, now: Mono) -> bool {
        let is_stray = |stray: &Stray| self.orphan_at(key).is_none_or(|moment| stray.read_at < moment);
        self.strays.get(key).is_some_and(is_stray) || self.settled_at(key).is_some_and(|moment| now < moment)
    }

    /// Who counts has changed: so may what the strays are.
    pub(super) fn change_roster(&mut self, now: Mono) {
        let Some(fleet) = &self.fleet else { return };
        let roster = Roster::of(fleet, self.nodes.values());
        if roster != *self.roster {
            self.roster = roster.into();
            self.expand();
            self.look_at_writers(now);
        }
        self.look_at_strays(now);
    }

    fn look_at_strays(&mut self, now: Mono) {
        let strays: Vec<(Key, Box<Envelope>, Revision)> = (self.strays.iter())
            .filter(|(key, stray)| stray.envelope.as_ref().is_some_and(|envelope| self.may_count(key, envelope)))
            .filter_map(|(key, stray)| Some((key.clone(), stray.envelope.clone()?, stray.revision.clone()?)))
            .collect();
        for (key, envelope, revision) in strays {
            self.apply(&key, Some((&envelope, &revision)), now);
        }
    }

    /// Whether it is worth checking: most of what a node reads first was written by members that it has not read of yet.
    fn may_count(&self, key: &Key, envelope: &Envelope) -> bool {
        let is_otherwise = matches!(RecordKey::of(key), Some(RecordKey::Fleet | RecordKey::Node(_) | RecordKey::Joining(_)));
        is_otherwise || self.roster.members.contains_key(&envelope.writer)
    }

    /// What was written by somebody who has no say any more is forgotten, or, if it is never removed, noted to be written anew.
    fn look_at_writers(&mut self, now: Mono) {
        let is_own = |record: &RecordKey| matches!(record, RecordKey::Joining(_));
        let voiceless = self.accepted.iter().filter_map(|(key, accepted)| {
            let record = RecordKey::of(key).filter(|record| !is_own(record) && !self.has_say(record, accepted))?;
            Some((key.clone(), record))
        });
        let (kept, gone): (Vec<_>, Vec<_>) = voiceless.partition(|(_, record)| is_kept(record));
        self.voiceless = kept.into_iter().map(|(key, _)| key).collect();
        gone.iter().for_each(|(key, record)| self.vanished(key, record, now));
    }

    /// Records that are never removed: where one vanishes, the store did (an unmounted path), or somebody took it away; or it is none of this
    /// node's business any more, and whoever serves the store does not show it.
    pub(super) fn vanished(&mut self, key: &Key, record: &RecordKey, now: Mono) {
        if *record == RecordKey::Home {
            self.forget_arrival();
        }
        if is_kept(record) && self.accepted.contains_key(key) && !self.is_withheld(record) {
            return self.stray(key, "it is gone from the store, where nothing ever removes it", None, false, now);
        }
        self.strays.remove(key);
        self.accepted.remove(key);
        match record {
            RecordKey::Joining(node) => drop(self.joining.remove(node)),
            RecordKey::Presence(node) => {
                self.presence.remove(node);
                self.lacking.remove(node);
            }
            RecordKey::Request(cert, node) => drop(self.requests.remove(&(cert.clone(), node.clone()))),
            RecordKey::Invitation(id) => drop(self.invitations.remove(id)),
            RecordKey::AccountKey => self.account_key = None,
            RecordKey::Account(issuer) => drop(self.accounts.remove(issuer)),
            RecordKey::Cert(cert) => drop(self.certs.remove(cert)),
            RecordKey::Report(cert, node, target) => {
                let reports = self.reports.get_mut(cert);
                drop(reports.and_then(|reports| reports.remove(&(node.clone(), target.clone()))));
            }
            _ => {}
        }
    }

    pub(super) fn stray(&mut self, key: &Key, why: &str, stored: Option<(Option<&Envelope>, &Revision)>, is_newer: bool, now: Mono) {
        let revision = stored.map(|(_, revision)| revision.clone());
        let since = self.strays.get(key).filter(|known| known.revision == revision).map_or(now, |known| known.since);
        let envelope = stored.and_then(|(envelope, _)| envelope).map(|envelope| Box::new(envelope.clone()));
        self.strays.insert(key.clone(), Stray { why: why.to_owned(), revision, envelope, is_newer, since, read_at: now });
        // What counted there last was looked for, and has not moved.
        if let Some(record) = RecordKey::of(key) {
            self.touch(&record, now);
        }
    }
}
