//! One certificate's turn in a decision: what everything about it looks at.

use super::action::{Action, Event};
use super::holder::my_rank;
use super::plan::Plan;
use super::transition;
use crate::ca::Problem;
use crate::envelope::Expect;
use crate::names::{CertName, Generation, IssuerName, NodeName};
use crate::records::{Attempt, CertRecord};
use crate::time::{Mono, Now};
use crate::view::{Drive, Observed, View};

/// How far this node's clock may be off before it leaves issuing to others, in seconds.
pub(super) const CLOCK_OFF_SECONDS_MAX: i64 = 600;
/// How long a comparison with the CA's clock is good for, in seconds.
const CLOCK_CHECK_SECONDS: u64 = 3600;
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
}

/// Whether this node can drive something at an issuer.
pub(super) enum Fitness {
    Fit,
    /// It is being found out, or another part of the plan sees to it.
    Unknown,
    /// It is this node's own trouble; looked at again at that moment.
    Unfit(String, Mono),
}

impl<'a> Turn<'a> {
    pub fn act(&self, plan: &mut Plan, action: Action) {
        plan.act(self.view, self.now, action);
    }

    /// One compare-and-swap of the certificate's record.
    pub fn write(&self, plan: &mut Plan, seen: &Observed<CertRecord>, record: CertRecord, event: Event) {
        self.act(plan, Action::Write(self.cert.clone(), Expect::Revision(seen.revision.clone()), Box::new(record), event));
    }

    /// The holder lets go, for a reason of its own.
    pub fn release(&self, plan: &mut Plan, seen: &Observed<CertRecord>, why: Option<Problem>) {
        self.write(plan, seen, transition::released(&seen.value, why), Event::Released);
    }

    /// How far this process came with an attempt.
    pub fn drive(&self, number: Generation) -> Option<&'a Drive> {
        self.view.local.drives.get(&(self.cert.clone(), number))
    }

    /// This node's place in the order in which the live `issue` nodes take up this certificate.
    pub fn rank(&self, without: Option<&NodeName>) -> u32 {
        my_rank(self.view, self.now, self.cert.as_str(), without)
    }

    /// Notes why the certificate waits.
    pub fn wait(&self, plan: &mut Plan, why: impl Into<String>) {
        plan.wait(self.cert, why);
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
        let targets = self.view.local.targets.iter().filter(|((cert, _), _)| cert == self.cert).map(|(_, t)| t.placement.generation);
        self.highest_number() > attempt.number || reports.chain(targets).any(|generation| generation >= attempt.number)
    }

    /// Whether the issuer can be used from here and this node's clock agrees with the CA's; asks the CA when that is not known.
    pub fn fitness(&self, issuer: &IssuerName, plan: &mut Plan) -> Fitness {
        if let Some(bar) = self.view.local.bars.get(issuer).filter(|bar| bar.until > self.now.mono) {
            return Fitness::Unfit(format!("issuer {issuer}: {}", bar.why), bar.until);
        }
        self.clock(issuer, plan)
    }

    /// Whether this node's clock agrees with the CA's.
    pub fn clock(&self, issuer: &IssuerName, plan: &mut Plan) -> Fitness {
        let now = self.now;
        let check = self.view.local.clocks.get(issuer).filter(|check| {
            let ran = now.mono.since(check.at);
            let off = check.ahead_seconds.abs() > CLOCK_OFF_SECONDS_MAX;
            let shown = now.wall.as_second().saturating_sub(check.wall.as_second());
            let jumped = shown.saturating_sub(i64::try_from(ran.as_secs()).unwrap_or(i64::MAX)).abs() > CLOCK_JUMP_SECONDS;
            !jumped && ran.as_secs() < if off { CLOCK_RECHECK_SECONDS } else { CLOCK_CHECK_SECONDS }
        });
        let Some(check) = check else {
            self.act(plan, Action::CheckClock(issuer.clone()));
            return Fitness::Unknown;
        };
        if check.ahead_seconds.abs() <= CLOCK_OFF_SECONDS_MAX {
            return Fitness::Fit;
        }
        let why = format!("this node's clock is {} s off issuer {issuer}'s", check.ahead_seconds.abs());
        Fitness::Unfit(why, check.at + std::time::Duration::from_secs(CLOCK_RECHECK_SECONDS))
    }

    /// True if fit; else notes why this certificate waits, and for how long.
    pub fn is_fit(&self, fitness: Fitness, plan: &mut Plan) -> bool {
        match fitness {
            Fitness::Fit => true,
            Fitness::Unknown => {
                self.wait(plan, "this node's clock is compared with the CA's");
                false
            }
            Fitness::Unfit(why, until) => {
                self.wait(plan, why);
                plan.wake(until);
                false
            }
        }
    }
}
