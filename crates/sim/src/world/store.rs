//! What is written to the store, and what it loses.

use super::{Observer, lock};
use crate::engine::Reader;
use crate::machine::Machine;
use crate::operator::{OPERATOR, RESTORER};
use crate::watch::{After, FORGER, Forged, Write, is_marked};
use certfleet_core::envelope::Envelope;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, NodeName};
use certfleet_core::records::{CertRecord, FleetRecord, NodeRecord, Report};
use certfleet_core::view::is_kept;
use std::collections::BTreeSet;
use std::sync::Weak;
use tokio::time::Instant;

impl Observer {
    /// What members write; what the founder does needs no checking.
    fn check(&self, who: &str, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>) {
        let ca = self.ca.get().and_then(Weak::upgrade);
        let (Some(key), Ok(who), Some(ca)) = (RecordKey::of(key), who.parse::<NodeName>(), ca) else { return };
        let write = Write { who: &who, key: &key, before, after, now: ca.now() };
        let found = lock(&self.checkers).wrote(&write);
        found.into_iter().for_each(|(checker, why)| self.judge(checker, Err(why)));
    }

    /// What a write came after, and whether that very value was lost, or one before it, and is there again.
    fn came_after(&self, who: &str, key: &Key, after: Option<&Envelope>) -> (After, bool) {
        let mut checkers = lock(&self.checkers);
        let is_there_again = checkers.losses.has_lost(key) && after.is_some_and(|after| checkers.forged.was_written(key, after));
        if let Some(after) = after.filter(|_| checkers.forged.is_to_come) {
            checkers.older.wrote(key, after);
        }
        (checkers.forged.wrote(who, key, after), is_there_again)
    }

    /// Where a member's record was forged, and nobody who knew it could put it right until another machine had its name, what the first one wrote
    /// is lost to the fleet with it.
    fn came_in_place_of(&self, key: &Key, genuine: Option<&Envelope>, after: Option<&Envelope>) {
        let identity = |envelope: Option<&Envelope>| envelope.and_then(|envelope| Some(envelope.record::<NodeRecord>().ok()?.identity));
        let (Some(RecordKey::Node(node)), Some(engine)) = (RecordKey::of(key), self.engine.get().and_then(Weak::upgrade)) else { return };
        if identity(genuine) != identity(after) {
            let written = engine.keys().into_iter().filter_map(|key| Some((engine.envelope(&key)?, key)));
            written.filter(|(envelope, _)| envelope.writer == node).for_each(|(envelope, key)| self.lost(&key, Some(&envelope)));
        }
    }

    fn is_forged(&self, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>) {
        let running: BTreeSet<NodeName> =
            self.machines().values().filter(|machine| machine.is_up()).map(|machine| machine.node.clone()).collect();
        let mut checkers = lock(&self.checkers);
        checkers.forged.forged(key, before, |node| running.contains(node));
        if !after.is_some_and(is_marked) {
            checkers.is_misled(key);
        }
        if matches!(RecordKey::of(key), Some(RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Version(..))) {
            checkers.losses.lost(key, None);
        }
    }

    /// A backup is being restored. Until the epoch is raised what it writes counts for no more than what somebody put back; then what was written
    /// since the backup is lost, record by record.
    fn restores(&self, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>) {
        self.history.say(RESTORER, || format!("writes {key}"));
        let epoch = |envelope: &Envelope| envelope.record::<FleetRecord>().map_or(0, |fleet| fleet.epoch);
        if *key != RecordKey::Fleet.key() || before.map(epoch) == after.map(epoch) {
            return lock(&self.checkers).forged.is_being_restored(key, before);
        }
        self.check(RESTORER, key, before, after);
        let mut checkers = lock(&self.checkers);
        let restored = checkers.forged.is_restored();
        checkers.older.is_restored();
        drop(checkers);
        restored.iter().for_each(|(key, latest)| self.lost(key, latest.as_ref()));
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return };
        let records = restored.iter().filter_map(|(key, _)| engine.envelope(key)?.record::<CertRecord>().ok());
        lock(&self.restored).extend(records.filter_map(|record| Some(record.placed?.serial)));
    }

    /// Whether this certificate is placed since a backup was restored: who serves a later one keeps that.
    pub fn is_restored(&self, serial: &str) -> bool {
        lock(&self.restored).contains(serial)
    }

    fn wrote_certificate(&self, who: &str, cert: &CertName, (before, is_there_again): (Option<&Envelope>, bool), after: &CertRecord) {
        self.history.say(who, || format!("{cert} {}", told(after)));
        let ca = self.ca.get().and_then(Weak::upgrade);
        let is_over = |order: &str| ca.as_ref().is_none_or(|ca| ca.is_over(order));
        let mut checkers = lock(&self.checkers);
        let is_put_back = is_there_again || checkers.losses.is_put_back(cert, after);
        let is_removed = |node: &str| node.parse().is_ok_and(|node| checkers.fenced.is_removed(&node));
        let counts = before.is_none_or(|before| !is_removed(before.writer.as_str()));
        let is_theirs = is_removed(who);
        // What was forged is no step, and what it hides nobody knew.
        let begins_anew = before.is_some_and(is_marked);
        if is_put_back {
            // Its number may have been given to another attempt by somebody who could not know it.
            checkers.records.lost(cert);
        }
        let judged = match () {
            () if is_put_back || is_theirs || begins_anew => Ok(()),
            () => checkers.records.wrote(cert, (before, counts), after, is_over),
        };
        checkers.issuance.wrote(cert, after);
        checkers.withheld.wrote(cert, after);
        drop(checkers);
        self.judge("records", judged.map_err(|violation| format!("{cert}: {violation}")));
        if after.attempt.is_some() {
            self.steps.notify_waiters();
        }
        if let Some(placed) = &after.placed {
            lock(&self.placed).insert((cert.clone(), placed.serial.clone()), placed.clone());
            let mut placed_at = lock(&self.placed_at);
            if placed_at.get(cert).is_none_or(|(serial, _)| *serial != placed.serial) {
                placed_at.insert(cert.clone(), (placed.serial.clone(), Instant::now()));
            }
        }
    }
}

fn told(record: &CertRecord) -> String {
    let placed = record.placed.as_ref().map_or(0, |placed| placed.placement.generation.0);
    match &record.attempt {
        Some(attempt) => {
            let holder = attempt.holder.as_ref().map_or("nobody", |holder| holder.node.as_str());
            format!("attempt {} {} by {holder}, placed {placed}", attempt.number, attempt.step.name())
        }
        None => format!("idle, placed {placed}, {} failures", record.failures.count),
    }
}

impl Reader for Observer {
    fn wrote(&self, who: &str, key: &Key, before: Option<&Envelope>, after: Option<&Envelope>) {
        if who == FORGER {
            self.is_forged(key, before, after);
            return self.history.say(who, || format!("{} {key}", if after.is_some() { "writes" } else { "deletes" }));
        }
        if who == RESTORER {
            return self.restores(key, before, after);
        }
        self.judge("forged", Forged::is_clean(who, key, after));
        self.judge("storms", lock(&self.checkers).storms.wrote(key));
        let (came_after, is_there_again) = self.came_after(who, key, after);
        let before = match &came_after {
            After::There => before,
            After::Genuine(genuine) => {
                self.came_in_place_of(key, genuine.as_deref(), after);
                genuine.as_deref()
            }
            After::Lost(latest) => {
                self.came_in_place_of(key, latest.as_deref(), after);
                self.lost(key, latest.as_deref());
                before
            }
            After::Again => return self.history.say(who, || format!("puts {key} back")),
        };
        self.check(who, key, before, after);
        match (RecordKey::of(key), after) {
            (Some(RecordKey::Presence(_)), _) => {}
            (Some(RecordKey::Cert(cert)), Some(after)) => match after.record::<CertRecord>() {
                Ok(record) => self.wrote_certificate(who, &cert, (before, is_there_again), &record),
                Err(error) => self.history.violated(format!("records: {who} wrote {key}, which cannot be read: {error}")),
            },
            (Some(RecordKey::Report(..)), Some(after)) => {
                let reason = after.record::<Report>().ok().and_then(|report| report.reason);
                self.history.say(who, || format!("writes {key}{}", reason.map_or(String::new(), |reason| format!(": {reason}"))));
            }
            (_, Some(_)) => self.history.say(who, || format!("writes {key}")),
            (_, None) => self.history.say(who, || format!("deletes {key}")),
        }
    }

    fn begins(&self, who: &str, key: &Key) {
        let Ok(node) = who.parse() else { return };
        // Who cannot keep what it was told does not know it in its next life.
        if !self.machines().get(&node).is_some_and(Machine::has_full_disk) {
            self.judge("fenced", lock(&self.checkers).fenced.begins(&node, key));
        }
    }

    fn was_told(&self, who: &str, key: &Key, value: &Envelope) {
        // A command forgets what it has read.
        let Some(node) = who.parse().ok().filter(|_| who != OPERATOR && who != RESTORER) else { return };
        let mut checkers = lock(&self.checkers);
        let judged = RecordKey::of(key).map_or(Ok(()), |key| checkers.withheld.was_told(&node, &key, value));
        if !checkers.fenced.is_removed(&node) {
            checkers.forged.saw(&node, key, value);
        }
        if *key == RecordKey::Fleet.key()
            && let Ok(fleet) = value.record::<FleetRecord>()
        {
            checkers.fenced.was_shown(&node, &fleet);
        }
        drop(checkers);
        self.judge("withheld", judged);
    }

    fn brought_back(&self, key: &Key, latest: Option<&Envelope>) {
        let there = self.engine.get().and_then(Weak::upgrade).and_then(|engine| engine.envelope(key));
        let mut checkers = lock(&self.checkers);
        match RecordKey::of(key) {
            Some(record) if is_kept(&record) => {
                let any_may = matches!(record, RecordKey::Fleet | RecordKey::Node(_));
                checkers.forged.brought_back(key, latest, there.as_ref(), |node| any_may || self.issuing.contains(node));
            }
            Some(RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Version(..)) => checkers.losses.lost(key, None),
            _ => {}
        }
    }

    fn lost(&self, key: &Key, value: Option<&Envelope>) {
        let there = self.engine.get().and_then(Weak::upgrade).and_then(|engine| engine.envelope(key));
        let mut checkers = lock(&self.checkers);
        checkers.forged.lost(key, there.as_ref());
        if value.is_some_and(is_marked) {
            return;
        }
        checkers.losses.lost(key, value);
        if let Some(RecordKey::Cert(cert)) = RecordKey::of(key) {
            checkers.records.lost(&cert);
        }
    }
}
