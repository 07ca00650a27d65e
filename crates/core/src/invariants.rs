//! What must hold after every step, whatever happened; for tests and simulators that see the store, the CA and the disks from above.
//!
//! Always holds: these are functions and books over values; whoever observes calls them. Deliberately not here: liveness, which is a
//! question to a whole schedule, and rate limits, which come with their ledger.

use std::collections::BTreeMap;

use crate::names::{CertName, Generation, NodeName, SpkiHash};
use crate::records::{Attempt, AttemptEnd, CertRecord, Placed, Step};
use crate::time::Timestamp;

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation(otherwise())) }
}

/// One compare-and-swap of a certificate's record. `is_over` says whether the CA has said its last word about an order.
pub fn record_step(before: Option<&CertRecord>, after: &CertRecord, mut is_over: impl FnMut(&str) -> bool) -> Result<(), Violation> {
    let Some(before) = before else {
        return after.attempt.as_ref().map_or(Ok(()), |attempt| started(Generation(0), after, attempt));
    };
    ensure(after.last_number >= before.last_number, || "the record forgets a number".into())?;
    match (&before.attempt, &after.attempt) {
        (None, Some(attempt)) => started(before.last_number, after, attempt)?,
        (Some(old), Some(new)) if old.number == new.number => went_on(old, new)?,
        (Some(old), Some(new)) => return Err(Violation(format!("attempt {} starts while attempt {} runs", new.number, old.number))),
        (Some(old), None) => ended(old, after, &mut is_over)?,
        (None, None) => {}
    }
    placed(before, after)
}

fn started(last: Generation, after: &CertRecord, attempt: &Attempt) -> Result<(), Violation> {
    let number = attempt.number;
    ensure(number > last && number == after.last_number, || format!("attempt {number} starts after number {last} was used"))?;
    ensure(attempt.step == Step::Keyed, || format!("attempt {number} starts at {}", attempt.step.name()))
}

fn went_on(old: &Attempt, new: &Attempt) -> Result<(), Violation> {
    let number = old.number;
    let fixed = |a: &Attempt| (a.key.clone(), a.csr.clone(), a.names.clone(), a.issuer.clone(), a.profile.clone());
    ensure(fixed(old) == fixed(new), || format!("attempt {number} changes its key, request, names, issuer or profile"))?;
    let depth = |a: &Attempt| match a.step {
        Step::Keyed => 0,
        Step::Ordered { .. } => 1,
        Step::Validating { .. } => 2,
        Step::Finalizing { .. } => 3,
    };
    ensure(depth(new) >= depth(old), || format!("attempt {number} goes back from {} to {}", old.step.name(), new.step.name()))?;
    let same_order = old.step.order().is_none_or(|order| new.step.order() == Some(order));
    ensure(same_order, || format!("attempt {number} changes its order"))
}

fn ended(old: &Attempt, after: &CertRecord, is_over: &mut impl FnMut(&str) -> bool) -> Result<(), Violation> {
    let number = old.number;
    let end = after.history.last().filter(|entry| entry.number == number).map(|entry| &entry.end);
    let Some(end) = end else { return Err(Violation(format!("attempt {number} vanishes without a word in the history"))) };
    if *end == AttemptEnd::SetAside {
        return ensure(after.set_aside.iter().any(|aside| aside.number == number), || format!("attempt {number} is not kept aside"));
    }
    let Step::Finalizing { order } = &old.step else {
        return ensure(!matches!(end, AttemptEnd::Issued { .. }), || format!("attempt {number} is issued before it was finalizing"));
    };
    ensure(is_over(order), || format!("attempt {number} ends while its order {order} could still give a certificate"))
}

fn placed(before: &CertRecord, after: &CertRecord) -> Result<(), Violation> {
    let (Some(new), old) = (&after.placed, before.placed.as_ref()) else {
        return ensure(before.placed.is_none(), || "the placement vanishes".into());
    };
    if old.is_some_and(|old| Placed { resumed: new.resumed, ..old.clone() } == *new) {
        return Ok(());
    }
    let rank = |placed: &Placed| placed.placement.rank();
    ensure(old.is_none_or(|old| rank(old) < rank(new)), || format!("the placement changes to {:?} without rising", rank(new)))?;
    let went_back = after.history.last().is_some_and(|entry| entry.end == AttemptEnd::WentBack);
    let generation = new.placement.generation;
    let attempt = before.attempt.iter().chain(&before.set_aside).find(|attempt| attempt.number == generation);
    let fits = went_back || attempt.is_some_and(|attempt| attempt.key == new.key);
    ensure(fits, || format!("generation {generation} is placed and its leaf has not the attempt's key"))
}

/// Whether the CA may be taking a CSR with this key: only the attempt that the record announces, or one that was set aside.
pub fn may_be_issued(record: Option<&CertRecord>, key: &SpkiHash) -> Result<(), Violation> {
    let running = |attempt: &&Attempt| matches!(attempt.step, Step::Finalizing { .. });
    let attempts = record.into_iter().flat_map(|record| record.attempt.iter().filter(running).chain(&record.set_aside));
    let known = attempts.into_iter().any(|attempt| attempt.key == *key);
    ensure(known, || format!("a certificate for key {:.8} is asked for, which no record announces", key.as_str()))
}

/// A node that is up does not go on serving an expired certificate when a valid one is placed.
pub fn serves_valid(node: &NodeName, served_until: Timestamp, placed_until: Timestamp, now: Timestamp) -> Result<(), Violation> {
    ensure(served_until > now || placed_until <= now, || format!("node {node} serves a certificate that expired at {served_until}"))
}

/// What has been seen so far; survives crashes, and backups that are brought back.
#[derive(Debug, Clone, Default)]
pub struct Books {
    attempts: BTreeMap<(CertName, Generation), SpkiHash>,
    issued: BTreeMap<(CertName, Generation), String>,
    placements: BTreeMap<(NodeName, CertName), (u64, u64)>,
}

impl Books {
    /// An attempt stands in a record: its number belongs to its key for ever.
    pub fn attempt(&mut self, cert: &CertName, attempt: &Attempt) -> Result<(), Violation> {
        let key = self.attempts.entry((cert.clone(), attempt.number)).or_insert_with(|| attempt.key.clone());
        ensure(*key == attempt.key, || format!("{cert}: number {} is used a second time", attempt.number))
    }

    /// The CA issued a certificate: the first for this attempt, and its key is in the store. Several attempts may have one key.
    pub fn issued(&mut self, cert: &CertName, number: Generation, serial: &str, key_is_stored: bool) -> Result<(), Violation> {
        ensure(key_is_stored, || format!("certificate {serial} is issued and its key is not kept where it belongs"))?;
        let first = self.issued.entry((cert.clone(), number)).or_insert_with(|| serial.to_owned());
        ensure(first == serial, || format!("certificates {first} and {serial} are issued for one attempt"))
    }

    /// A node installs a placement: never one below what it had.
    pub fn installed(&mut self, node: &NodeName, cert: &CertName, rank: (u64, u64)) -> Result<(), Violation> {
        let seen = self.placements.entry((node.clone(), cert.clone())).or_insert(rank);
        ensure(*seen <= rank, || format!("{cert}: node {node} installs placement {rank:?} after {seen:?}"))?;
        *seen = rank;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::HistoryEntry;
    use crate::samples::{attempt, cert, name, placed, record, wall};

    fn finalizing() -> Step {
        Step::Finalizing { order: "o".into() }
    }

    fn with(attempt: Attempt) -> CertRecord {
        CertRecord { last_number: attempt.number, attempt: Some(attempt), ..record() }
    }

    fn ended(before: &CertRecord, end: AttemptEnd) -> CertRecord {
        let attempt = before.attempt.clone().expect("has one");
        let (number, issuer, drivers) = (attempt.number, attempt.issuer, attempt.drivers);
        let entry = HistoryEntry { number, issuer, drivers, started_at: wall(), ended_at: wall(), end };
        CertRecord { attempt: None, history: vec![entry], ..before.clone() }
    }

    fn issued() -> AttemptEnd {
        AttemptEnd::Issued { serial: "01".into() }
    }

    #[test]
    fn a_whole_attempt_breaks_nothing() {
        let (first, last) = (with(attempt(1, "a", Step::Keyed)), with(attempt(1, "a", finalizing())));
        let done = CertRecord { placed: Some(placed(1, 1)), ..ended(&last, issued()) };
        assert_eq!(record_step(None, &record(), |_| false), Ok(()));
        assert_eq!(record_step(Some(&record()), &first, |_| false), Ok(()));
        assert_eq!(record_step(Some(&first), &last, |_| false), Ok(()));
        assert_eq!(record_step(Some(&last), &done, |_| true), Ok(()));
    }

    #[test]
    fn wrong_steps_are_violations() {
        let (keyed, last) = (with(attempt(1, "a", Step::Keyed)), with(attempt(1, "a", finalizing())));
        let done = CertRecord { placed: Some(placed(1, 1)), ..ended(&last, issued()) };
        let other_key = |record: &CertRecord| {
            let attempt = record.attempt.clone().map(|attempt| Attempt { key: SpkiHash::of(b"x"), ..attempt });
            CertRecord { attempt, ..record.clone() }
        };
        let foreign = CertRecord { placed: Some(Placed { key: SpkiHash::of(b"x"), ..placed(1, 1) }), ..done.clone() };
        let falling = CertRecord { placed: Some(placed(2, 1)), ..done.clone() };
        let forgetful = CertRecord { last_number: Generation(0), ..done.clone() };
        let wrong: [(&str, &CertRecord, &CertRecord); 9] = [
            ("while attempt 1 runs", &keyed, &with(attempt(2, "a", Step::Keyed))),
            ("after number 1 was used", &done, &CertRecord { placed: done.placed.clone(), ..with(attempt(1, "a", Step::Keyed)) }),
            ("starts at finalizing", &record(), &with(attempt(1, "a", finalizing()))),
            ("goes back", &last, &keyed),
            ("changes its key", &keyed, &other_key(&keyed)),
            ("has not the attempt's key", &last, &foreign),
            ("without rising", &done, &falling),
            ("forgets a number", &done, &forgetful),
            ("the placement vanishes", &done, &CertRecord { placed: None, ..done.clone() }),
        ];
        for (what, before, after) in wrong {
            let violation = record_step(Some(before), after, |_| true).expect_err(what).to_string();
            assert!(violation.contains(what), "{violation}, not: {what}");
        }
        let early = record_step(Some(&last), &done, |_| false).expect_err("the CA has not spoken");
        assert!(early.to_string().contains("could still give"), "{early}");
    }

    #[test]
    fn books_notice_what_comes_twice() {
        let mut books = Books::default();
        let (one, two) = (attempt(1, "a", Step::Keyed), attempt(2, "a", Step::Keyed));
        assert_eq!(books.attempt(&cert(), &one), Ok(()));
        assert_eq!(books.attempt(&cert(), &one), Ok(()));
        assert!(books.attempt(&cert(), &Attempt { number: Generation(1), ..two.clone() }).is_err());
        assert_eq!(books.issued(&cert(), one.number, "01", true), Ok(()));
        assert_eq!(books.issued(&cert(), one.number, "01", true), Ok(()));
        assert!(books.issued(&cert(), one.number, "02", true).is_err());
        assert!(books.issued(&cert(), two.number, "03", false).is_err());
        assert_eq!(books.installed(&name("a"), &cert(), (0, 2)), Ok(()));
        assert!(books.installed(&name("a"), &cert(), (0, 1)).is_err());
        assert_eq!(books.installed(&name("b"), &cert(), (0, 1)), Ok(()));
    }

    #[test]
    fn only_what_a_record_announces_may_be_issued() {
        let attempt = |step| attempt(1, "a", step);
        let key = attempt(Step::Keyed).key;
        assert!(may_be_issued(None, &key).is_err());
        assert!(may_be_issued(Some(&with(attempt(Step::Keyed))), &key).is_err());
        assert_eq!(may_be_issued(Some(&with(attempt(finalizing()))), &key), Ok(()));
        assert_eq!(may_be_issued(Some(&CertRecord { set_aside: vec![attempt(finalizing())], ..record() }), &key), Ok(()));
        let later = crate::time::later(wall(), std::time::Duration::from_secs(1));
        assert!(serves_valid(&name("a"), wall(), later, wall()).is_err());
        assert_eq!(serves_valid(&name("a"), later, later, wall()), Ok(()));
    }
}
