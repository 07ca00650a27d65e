//! Taking in what stands in the store: what counts goes into the view, what does not is kept aside as a stray.
//!
//! Always holds: a value counts only if the roster says so at the moment it is looked at; a change of the roster looks at the strays again.
//! Of the records that are never removed, the latest one that counted stays known whatever stands in the store afterwards, and an older
//! one of them (a lower `change`) is a stray, until a restored backup raises the fleet's epoch.
//! Reads may be taken in late and out of order, so that a stray seems to be gone: whoever feeds the view lists everything now and then.

use std::cmp::Ordering;

use serde::de::DeserializeOwned;

use super::{Observed, View};
use crate::envelope::{Envelope, Expect, Revision};
use crate::key::{Key, RecordKey};
use crate::mutants::{Mutant, has};
use crate::names::NodeName;
use crate::records::{FleetRecord, Removal};
use crate::time::Mono;
use crate::trust::{Distrust, VerifyingKey, may_write};

/// Highest change of a stray that is gone by, since anybody can write any: beyond it there is room to tell old from new for ever.
const STRAY_CHANGE_MAX: u64 = 1 << 32;

/// A value that counts, as it stood in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its revision.
    pub revision: Revision,
    /// Who signed it.
    pub writer: NodeName,
    /// The key that it was signed with, a member's or the fleet's; none if it was not yet read in this life.
    pub signer: Option<VerifyingKey>,
    /// The value itself, of the few records that can only be put back as they were.
    pub verbatim: Option<Box<Envelope>>,
}

/// A value that does not count, or the place of one that vanished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Why.
    pub why: String,
    /// What stands there, for a compare-and-swap over it; none if nothing does.
    pub revision: Option<Revision>,
    /// The value, if it is an envelope at all: it may count once the roster has changed.
    pub envelope: Option<Box<Envelope>>,
    /// Nobody may write over it: a newer version of certfleet wrote it, and means it.
    pub is_newer: bool,
    /// When it was first seen.
    pub since: Mono,
    /// When it was last looked at.
    pub read_at: Mono,
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It counts, and was not known before.
    New,
    /// It is what was known.
    Known,
    /// It does not count, or is gone.
    Not,
}

impl View {
    /// Takes in what stands (or no longer stands) under `key`.
    pub fn apply(&mut self, key: &Key, stored: Option<(&Envelope, &Revision)>, now: Mono) -> Taken {
        let Some(record) = RecordKey::of(key).filter(|record| self.is_taken_from_here(record)) else { return Taken::Not };
        let Some((envelope, revision)) = stored else {
            self.vanished(key, &record, now);
            return Taken::Not;
        };
        if self.accepted.get(key).is_some_and(|known| known.revision == *revision) {
            self.strays.remove(key);
            self.touch(&record, now);
            return Taken::Known;
        }
        match self.judge(key, &record, envelope) {
            Ok(()) => {
                let signer = self.signer(key, &record, envelope);
                self.accept(key, record, (envelope, revision), signer, now)
            }
            Err(why) => {
                let is_newer = matches!(why, Distrust::Unreadable(_));
                self.stray(key, &why.to_string(), Some((Some(envelope), revision)), is_newer, now);
                Taken::Not
            }
        }
    }

    /// Takes in what an earlier life of this node accepted, before the store is read. It stands until the store says something newer. Its
    /// writer may have been removed since, so that it would not count today: that it did is what this node vouches for.
    pub fn recall(&mut self, key: &Key, envelope: &Envelope, now: Mono) -> Taken {
        match RecordKey::of(key) {
            Some(record) if is_kept(&record) => self.accept(key, record, (envelope, &envelope.revision("recalled")), None, now),
            _ => Taken::Not,
        }
    }

    /// Notes a value that is no envelope.
    pub fn refuse(&mut self, key: &Key, why: &str, revision: &Revision, is_newer: bool, now: Mono) {
        self.stray(key, why, Some((None, revision)), is_newer, now);
    }

    /// What must stand under `key` for this node to write over what it saw there last, whether that counts or not. What counts says which
    /// change comes next, so that whoever knows more sees that this node knew less; a stray's is gone by only if nothing else is known.
    pub fn base(&self, key: &Key) -> Expect {
        let accepted = self.accepted.get(key).map(|accepted| &accepted.revision);
        let seen = match self.strays.get(key) {
            Some(stray) => stray.revision.as_ref(),
            None => accepted,
        };
        let Some(seen) = seen else { return Expect::Absent };
        let change = accepted.map_or(seen.change.min(STRAY_CHANGE_MAX), |accepted| accepted.change);
        Expect::Revision(Revision { change, ..seen.clone() })
    }

    /// The highest change that counted under `key`; what is written there comes after it, also where nothing stands any more.
    pub fn change_of(&self, key: &Key) -> u64 {
        self.accepted.get(key).map_or(0, |accepted| accepted.revision.change)
    }

    /// Whether the one who signed a value that was accepted may still write there.
    pub(super) fn has_say(&self, record: &RecordKey, accepted: &Accepted) -> bool {
        if is_verbatim(record) && accepted.signer.is_some_and(|signer| self.roster.verifying_keys.contains(&signer)) {
            return true;
        }
        let member = self.roster.members.get(&accepted.writer);
        member.is_some_and(|member| Some(member.signing_key) == accepted.signer && may_write(record, &accepted.writer, &member.granted))
    }

    fn signer(&self, key: &Key, record: &RecordKey, envelope: &Envelope) -> Option<VerifyingKey> {
        let member = self.roster.members.get(&envelope.writer).map(|member| member.signing_key);
        let fleet_keys = self.roster.verifying_keys.iter().copied().filter(|_| is_verbatim(record));
        fleet_keys.chain(member).find(|signer| !is_verbatim(record) || envelope.is_signed_by(&self.roster.fleet, key, [signer]))
    }

    fn judge(&self, key: &Key, record: &RecordKey, envelope: &Envelope) -> Result<(), Distrust> {
        if let (RecordKey::Fleet, Ok(fleet)) = (record, envelope.record::<FleetRecord>()) {
            self.check_identity(&fleet)?;
        }
        if let Some(known) = self.accepted.get(key).filter(|_| is_kept(record)).map(|known| &known.revision)
            && !follows(record, envelope, known)
            && !self.says_more(record, envelope)
            && !has(Mutant::TrustOlder)
        {
            return Err(Distrust::Older { change: envelope.change, seen: known.change });
        }
        self.roster.check(record, envelope)?;
        if *record == RecordKey::Fleet {
            self.check_fleet(&envelope.record()?)?;
        }
        Ok(())
    }

    /// A restored backup begins a new epoch, and a removal may be written where the fleet's record was taken away: by the word of the fleet
    /// key both come after all that does not know of them, whatever the `change`.
    fn says_more(&self, record: &RecordKey, envelope: &Envelope) -> bool {
        let (RecordKey::Fleet, Some(known), Ok(fleet)) = (record, &self.fleet, envelope.record::<FleetRecord>()) else { return false };
        fleet.epoch > known.epoch || fleet.removals.iter().any(|removal| !lists(known, removal))
    }

    /// Whoever signed it.
    fn check_identity(&self, fleet: &FleetRecord) -> Result<(), Distrust> {
        if fleet.id != self.me.fleet {
            return Err(Distrust::Fleet(format!("the store holds another fleet ({}, this node joined {})", fleet.id, self.me.fleet)));
        }
        Ok(())
    }

    fn check_fleet(&self, fleet: &FleetRecord) -> Result<(), Distrust> {
        let Some(known) = &self.fleet else { return Ok(()) };
        if fleet.epoch < known.epoch {
            return Err(Distrust::Fleet(format!("its epoch is {}, and {} was seen", fleet.epoch, known.epoch)));
        }
        let forgotten = known.removals.iter().find(|removal| !lists(fleet, removal));
        match forgotten {
            Some(removal) => Err(Distrust::Fleet(format!("it forgets that node {} was removed", removal.node))),
            None => Ok(()),
        }
    }

    fn accept(&mut self, key: &Key, record: RecordKey, stored: (&Envelope, &Revision), signer: Option<VerifyingKey>, now: Mono) -> Taken {
        let (envelope, revision) = stored;
        let taken = match record.clone() {
            RecordKey::Fleet => take_plain(stored, |fleet| self.change_fleet(fleet)),
            RecordKey::Home => take_plain(stored, |value| self.home = Some(value)),
            RecordKey::Node(node) => take_plain(stored, |value| drop(self.nodes.insert(node, value))),
            RecordKey::Invitation(id) => take_plain(stored, |value| drop(self.invitations.insert(id, value))),
            RecordKey::AccountKey => take_plain(stored, |value| self.account_key = Some(value)),
            RecordKey::Request(cert, node) => take_plain(stored, |value| drop(self.requests.insert((cert, node), value))),
            RecordKey::Joining(node) => seen(stored, now).map(|seen| drop(self.joining.insert(node, seen))),
            RecordKey::Presence(node) => seen(stored, now).map(|seen| {
                self.note_lacks(&node, &seen.value, now);
                self.presence.insert(node, seen);
            }),
            RecordKey::Account(issuer) => seen(stored, now).map(|seen| drop(self.accounts.insert(issuer, seen))),
            RecordKey::Cert(cert) => seen(stored, now).map(|seen| drop(self.certs.insert(cert, seen))),
            RecordKey::Report(cert, node, target) => {
                seen(stored, now).map(|seen| drop(self.reports.entry(cert).or_default().insert((node, target), seen)))
            }
            RecordKey::Wrap(spki, node) if node == self.me.node => {
                self.try_again_with(&spki, now);
                Ok(())
            }
            RecordKey::PrivateKey(_) | RecordKey::Version(..) | RecordKey::Wrap(..) => Ok(()),
        };
        if let Err(why) = taken {
            self.stray(key, &why, Some((Some(envelope), revision)), true, now);
            return Taken::Not;
        }
        let verbatim = is_verbatim(&record).then(|| Box::new(envelope.clone()));
        self.accepted.insert(key.clone(), Accepted { revision: revision.clone(), writer: envelope.writer.clone(), signer, verbatim });
        let put_right = self.strays.remove(key).is_some_and(|stray| stray.revision.as_ref() != Some(revision));
        if put_right && is_kept(&record) {
            self.local.settling.insert(key.clone(), now);
        }
        self.voiceless.remove(key);
        self.after_accept(&record, now);
        Taken::New
    }

    /// A new epoch lets older records count again: the backup that was restored.
    fn change_fleet(&mut self, fleet: FleetRecord) {
        if self.fleet.as_ref().is_some_and(|known| known.epoch < fleet.epoch) {
            self.accepted.values_mut().for_each(|accepted| accepted.revision.change = 0);
        }
        self.fleet = Some(fleet);
    }

    fn after_accept(&mut self, record: &RecordKey, now: Mono) {
        match record {
            RecordKey::Fleet | RecordKey::Node(_) => self.change_roster(now),
            RecordKey::Home => self.remember_move(),
            RecordKey::Presence(node) if *node == self.me.node => self.notice_duplicate(),
            RecordKey::Cert(cert) => {
                self.remember_number(cert);
                self.forget_stale_drives(cert);
            }
            _ => {}
        }
    }

    /// It was looked at and is what it was.
    pub(super) fn touch(&mut self, record: &RecordKey, now: Mono) {
        match record {
            RecordKey::Presence(node) => self.presence.get_mut(node).into_iter().for_each(|seen| seen.read_at = now),
            RecordKey::Account(issuer) => self.accounts.get_mut(issuer).into_iter().for_each(|seen| seen.read_at = now),
            RecordKey::Cert(cert) => self.certs.looked_at(cert, now),
            _ => {}
        }
    }
}

/// Records that are never removed once they were there.
pub fn is_kept(record: &RecordKey) -> bool {
    use RecordKey::{Account, AccountKey, Cert, Fleet, Home, Invitation, Node};
    matches!(record, Fleet | Home | Node(_) | Invitation(_) | AccountKey | Account(_) | Cert(_))
}

/// Records that no member can write in its own name, or not always: they are put back as they were.
pub(crate) fn is_verbatim(record: &RecordKey) -> bool {
    matches!(record, RecordKey::Fleet | RecordKey::Node(_))
}

/// Whether a value may come after one that counted. Of two that were written over the same one, which takes a write that was lost, those
/// that are put back as they were need a winner, the same on every node; the others are written anew by whoever disagrees.
fn follows(record: &RecordKey, envelope: &Envelope, known: &Revision) -> bool {
    match envelope.change.cmp(&known.change) {
        Ordering::Greater => true,
        Ordering::Equal => envelope.nonce == known.nonce || (is_verbatim(record) && envelope.nonce > known.nonce),
        Ordering::Less => false,
    }
}

/// Whether the fleet has removed this machine, and says no less of why.
fn lists(fleet: &FleetRecord, removal: &Removal) -> bool {
    fleet.removals.iter().any(|other| other.identity == removal.identity && other.compromised >= removal.compromised)
}

fn take_plain<T: DeserializeOwned>((envelope, _): (&Envelope, &Revision), set: impl FnOnce(T)) -> Result<(), String> {
    envelope.record().map(set).map_err(|error| error.to_string())
}

fn seen<T: DeserializeOwned>((envelope, revision): (&Envelope, &Revision), now: Mono) -> Result<Observed<T>, String> {
    let value = envelope.record().map_err(|error| error.to_string())?;
    Ok(Observed { value, revision: revision.clone(), changed_at: now, read_at: now })
}

#[cfg(test)]
mod tests;
