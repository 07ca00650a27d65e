//! One certificate's turn in a decision: what everything about it looks at.

use std::collections::BTreeSet;
use std::time::Duration;

use super::action::{Action, Event};
use super::facts::Facts;
use super::part::Part;
use super::transition;
use crate::ca::Problem;
use crate::envelope::Expect;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, Generation, IssuerName, NodeName, SpkiHash};
use crate::records::{Attempt, CertRecord};
use crate::spec::Specification;
use crate::time::{Mono, Now, Timestamp};
use crate::view::{Drive, Observed, View, of_cert};

/// How far this node's clock may be off before it leaves issuing to others, in seconds.
pub(super) const CLOCK_OFF_SECONDS_MAX: i64 = 600;
/// How long a comparison with the CA's clock is good for, in seconds.
const CLOCK_CHECK_SECONDS: u64 = 3600;
/// A good one is made anew after so long while this node drives something there, so that nothing waits for it, in seconds.
const CLOCK_RENEW_SECONDS: u64 = 3000;
/// How long a bad one is, in seconds.
const CLOCK_RECHECK_SECONDS: u64 = 300;
/// A wall clock that moved this far from the monotonic one since the comparison was set meanwhile, in seconds.
const CLOCK_JUMP_SECONDS: i64 = 60;

/// What a decision about a certificate looks at.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub view: &'a View,
    pub now: Now,
    pub seed: u64,
    pub cert: &'a CertName,
    pub facts: &'a Facts,
}

/// Whether this node can drive something at an issuer.
pub(super) enum Fitness {
    Fit,
    /// It is being found out, or another part of the part sees to it.
    Unknown,
    /// It is this node's own trouble; looked at again at that moment.
    Unfit(String, Mono),
}

/// This node's clock against a CA's.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Clock {
    Right,
    /// Not compared lately, or set since.
    Unknown,
    /// By so many seconds; compared again at that moment.
    Off(u64, Mono),
}

/// What is known of this node's clock against a CA's.
pub(super) fn clock(view: &View, now: Now, issuer: &IssuerName) -> Clock {
    let check = view.local.clocks.get(issuer).filter(|check| {
        let ran = now.mono.since(check.at);
        let off = check.ahead_seconds.abs() > CLOCK_OFF_SECONDS_MAX;
        let shown = now.wall.as_second().saturating_sub(check.wall.as_second());
        let jumped = shown.saturating_sub(i64::try_from(ran.as_secs()).unwrap_or(i64::MAX)).abs() > CLOCK_JUMP_SECONDS;
        !jumped && ran.as_secs() < if off { CLOCK_RECHECK_SECONDS } else { CLOCK_CHECK_SECONDS }
    });
    match check {
        None => Clock::Unknown,
        Some(check) if check.ahead_seconds.abs() <= CLOCK_OFF_SECONDS_MAX => Clock::Right,
        Some(check) => Clock::Off(check.ahead_seconds.unsigned_abs(), check.at + Duration::from_secs(CLOCK_RECHECK_SECONDS)),
    }
}

/// The clocks of those CAs at which this node drives something are compared again before the last comparison is too old.
pub(super) fn keep_clocks(view: &View, now: Now, part: &mut Part) {
    let mine = view.certs.held_by(&view.me.node).map(|(_, attempt)| attempt);
    let mine = mine.filter(|attempt| attempt.holder.as_ref().is_some_and(|holder| holder.incarnation == view.me.incarnation));
    let issuers: BTreeSet<&IssuerName> = mine.map(|attempt| &attempt.issuer).collect();
    for issuer in issuers.into_iter().filter(|issuer| clock(view, now, issuer) == Clock::Right) {
        let Some(check) = view.local.clocks.get(issuer) else { continue };
        if part.has_come(now, check.at + Duration::from_secs(CLOCK_RENEW_SECONDS)) {
            part.act(view, now, Action::CheckClock(issuer.clone()));
        }
    }
}

impl<'a> Turn<'a> {
    pub fn act(&self, part: &mut Part, action: Action) {
        part.act(self.view, self.now, action);
    }

    /// One compare-and-swap of the certificate's record.
    pub fn write(&self, part: &mut Part, seen: &Observed<CertRecord>, record: CertRecord, event: Event) {
        self.act(part, Action::Write(self.cert.clone(), Expect::Revision(seen.revision.clone()), Box::new(record), event));
    }

    /// The holder lets go, for a reason of its own.
    pub fn release(&self, part: &mut Part, seen: &Observed<CertRecord>, why: Option<Problem>) {
        self.write(part, seen, transition::released(&seen.value, why), Event::Released);
    }

    /// How far this process came with an attempt.
    pub fn drive(&self, number: Generation) -> Option<&'a Drive> {
        self.view.local.drives.get(&(self.cert.clone(), number))
    }

    /// This node's place in the order in which the live `issue` nodes take up this certificate.
    pub fn rank(&self, without: Option<&NodeName>, part: &mut Part) -> u32 {
        part.ties.passing = true;
        self.facts.passing.my_rank(self.view, self.cert.as_str(), without)
    }

    /// The stamp, if it lies ahead; one that is not to be believed yet does not.
    pub fn ahead(&self, stamp: Timestamp, part: &mut Part) -> Option<Timestamp> {
        let believed_at = transition::believed_at(stamp);
        let is_ahead = self.now.wall >= believed_at && self.now.wall < stamp;
        part.wake_at_stamp(self.now, if is_ahead { stamp } else { believed_at });
        is_ahead.then_some(stamp)
    }

    /// Whether all live nodes that should have the placed key say that they cannot open it, and have said so for a while.
    pub fn is_lost(&self, key: &SpkiHash, part: &mut Part) -> bool {
        if !self.facts.lacked.keys.contains(key) && !self.view.local.lacks.contains_key(key) {
            return false;
        }
        (part.ties.passing, part.ties.lacking) = (true, true);
        self.view.lost_at(self.cert, key, self.now).is_some_and(|moment| part.has_come(self.now, moment))
    }

    /// Whether the placed key does not serve any more: somebody has it who should not, or nobody has it who should.
    pub fn is_spent(&self, record: &CertRecord, spec: &Specification, part: &mut Part) -> bool {
        let Some(placed) = &record.placed else { return false };
        self.view.is_placed_exposed(self.cert, record, spec) || self.is_lost(&placed.key, part)
    }

    /// Notes why the certificate waits.
    pub fn wait(&self, part: &mut Part, why: impl Into<String>) {
        part.wait = Some(why.into());
    }

    /// The highest number that became a generation anywhere this node knows of, or that it saw claimed.
    pub fn highest_number(&self) -> Generation {
        let reports = self.view.reports.get(self.cert).into_iter().flat_map(|reports| reports.values()).map(|seen| seen.value.generation);
        let remembered = self.view.local.memory.get(self.cert).map(|memory| memory.number);
        reports.chain(remembered).max().unwrap_or_default()
    }

    /// Whether this attempt is older than what has been seen: the store was restored from a backup.
    pub fn is_superseded(&self, attempt: &Attempt) -> bool {
        let reports = self.view.reports.get(self.cert).into_iter().flat_map(|reports| reports.values()).map(|seen| seen.value.generation);
        let targets = of_cert(&self.view.local.targets, self.cert).map(|(_, installed)| installed.placement.generation);
        self.highest_number() > attempt.number || reports.chain(targets).any(|generation| generation >= attempt.number)
    }

    /// Whether the issuer can be used from here and this node's clock agrees with the CA's; asks the CA when that is not known.
    pub fn fitness(&self, issuer: &IssuerName, part: &mut Part) -> Fitness {
        part.ties.passing = true;
        if let Some(bar) = self.view.local.bars.get(issuer).filter(|bar| bar.until > self.now.mono) {
            return Fitness::Unfit(format!("issuer {issuer}: {}", bar.why), bar.until);
        }
        self.clock(issuer, part)
    }

    /// Whether this node's clock agrees with the CA's.
    pub fn clock(&self, issuer: &IssuerName, part: &mut Part) -> Fitness {
        if has(Mutant::TrustOwnClock) {
            return Fitness::Fit;
        }
        part.ties.passing = true;
        match clock(self.view, self.now, issuer) {
            Clock::Right => Fitness::Fit,
            Clock::Unknown => {
                self.act(part, Action::CheckClock(issuer.clone()));
                Fitness::Unknown
            }
            Clock::Off(seconds, until) => Fitness::Unfit(format!("this node's clock is {seconds} s off issuer {issuer}'s"), until),
        }
    }

    /// True if fit; else notes why this certificate waits, and for how long.
    pub fn is_fit(&self, fitness: Fitness, part: &mut Part) -> bool {
        match fitness {
            Fitness::Fit => true,
            Fitness::Unknown => {
                self.wait(part, "this node's clock is compared with the CA's");
                false
            }
            Fitness::Unfit(why, until) => {
                self.wait(part, why);
                part.wake(until);
                false
            }
        }
    }
}
