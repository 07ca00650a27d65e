//! What came of an action, taken into the view.

use std::time::Duration;

use super::View;
use super::local::{Bar, Blob, ClockCheck, Drive, Installed, MadeKey, Memory, Pause};
use crate::ca::{CaError, OrderStatus, OrderView};
use crate::decide::Subject;
use crate::key::Key;
use crate::mutants::{Mutant, has};
use crate::names::{CertName, Generation, IssuerName, NodeName, SpkiHash, TargetName, VersionHash};
use crate::records::{Placed, Presence, TargetState};
use crate::time::{Mono, Now, until};
use crate::x509::Leaf;

/// First pause of a CA that cannot be reached from here, in seconds; doubled each time.
const BAR_SECONDS_MIN: u64 = 5;
/// Longest such pause, in seconds.
const BAR_SECONDS_MAX: u64 = 300;
/// First pause after anything else that failed here, in milliseconds; doubled each time.
const PAUSE_MS_MIN: u64 = 250;
/// Longest such pause, in milliseconds.
const PAUSE_MS_MAX: u64 = 60_000;
/// Longest pause of what failed since the store could not be reached, once it can be, in milliseconds.
const STORE_BACK_MS_MAX: u64 = 5_000;
/// First delay between two looks at an order, in milliseconds; half again as long each time.
const LOOK_MS_MIN: u64 = 150;
/// Longest such delay, in milliseconds.
const LOOK_MS_MAX: u64 = 15_000;
/// After this many looks at an order that stays `ready`, it is finalized again.
const LOOKS_BEFORE_REFINALIZE: u32 = 10;
/// How often a target whose certificate is seen served is looked at again, in seconds.
const VERIFY_AGAIN_SECONDS: u64 = 3600;
/// First pause after a target failed or was not running, in seconds; doubled each time.
const TARGET_SECONDS_MIN: u64 = 2;
/// Longest such pause after a failure, in seconds.
const TARGET_FAILED_SECONDS_MAX: u64 = 600;
/// Longest such pause for a server that is not running, in seconds.
const TARGET_WAITING_SECONDS_MAX: u64 = 30;

/// What a CA says of an account that it does not know (RFC 8555 section 6.7).
const ACCOUNT_UNKNOWN: &str = "accountDoesNotExist";

/// What a CA call gave.
#[derive(Debug, Clone, PartialEq)]
pub enum CaReply {
    /// The order as it is now.
    Order(OrderView),
    /// These challenges were declared ready.
    Told(Vec<String>),
    /// The CSR was handed in.
    Finalized,
    /// The certificate: its leaf, and the PEM chain.
    Chain(Box<Leaf>, String),
}

/// What a target made of a certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct InstallResult {
    /// Which.
    pub cert: CertName,
    /// What was to be installed.
    pub placed: Placed,
    /// How far it came.
    pub state: TargetState,
    /// Why not further.
    pub reason: Option<String>,
    /// Nothing more can come of it soon: seen served, or written and not to be looked at.
    pub settled: bool,
    /// Whether its key could be opened.
    pub key: KeySeen,
}

/// What came of opening a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySeen {
    /// It could be opened, whatever came of the rest: a chain that has expired says nothing of its key.
    Opened,
    /// It is not wrapped for this node, or the wrap is broken.
    Lacks,
    /// It was not tried.
    Untried,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done; whatever it wrote was applied to the view by itself.
    Done,
    /// The presence was written.
    Beaten(Presence),
    /// A key and its CSR were made and stored.
    KeyMade(CertName, Generation, MadeKey),
    /// The CA answered for an attempt.
    Called(CertName, Generation, IssuerName, Result<CaReply, CaError>),
    /// The chain was stored.
    VersionStored(CertName, Generation, VersionHash),
    /// The CA's clock was asked: this node's is ahead by so many seconds.
    ClockChecked(IssuerName, Result<i64, CaError>),
    /// The account was registered, or not.
    Registered(IssuerName, Result<(), CaError>),
    /// What a target made of each certificate.
    Installed(TargetName, Vec<InstallResult>),
    /// A target has a file for this certificate.
    StoodIn(CertName, TargetName),
    /// All private keys and versions in the store.
    LookedThrough(Vec<Blob>),
    /// These were removed, or were no longer what they had been.
    Removed(Vec<Key>),
    /// This node opened this key.
    Opened(SpkiHash),
    /// A key was wrapped for this node.
    Wrapped(SpkiHash, NodeName),
    /// It failed here, for want of this key, which the node is meant to read; it is tried again.
    Lacks(SpkiHash, String),
    /// It failed here, not at a CA; it is tried again.
    Failed(String),
    /// The same, since the store could not be reached.
    Away(String),
}

impl View {
    /// Takes in what came of the action that was busy with `subject`.
    pub fn absorb(&mut self, subject: &Subject, outcome: Outcome, now: Now) {
        self.local.busy.remove(subject);
        if let Subject::Cert(cert) = subject {
            self.local.claiming.remove(cert);
        }
        if let Outcome::Lacks(key, _) = &outcome {
            self.local.holds.remove(key);
            self.local.lacks.entry(key.clone()).or_insert(now.mono);
        }
        let of_store = matches!(outcome, Outcome::Away(_));
        if let Outcome::Failed(why) | Outcome::Lacks(_, why) | Outcome::Away(why) = outcome {
            let count = self.local.pauses.get(subject).map_or(0, |pause| pause.count);
            let until = now.mono + doubled(PAUSE_MS_MIN, count, PAUSE_MS_MAX);
            self.local.pauses.insert(subject.clone(), Pause { until, count: count.saturating_add(1), why, of_store });
            return;
        }
        self.local.pauses.remove(subject);
        match outcome {
            Outcome::Done | Outcome::Failed(_) | Outcome::Lacks(..) | Outcome::Away(_) => {}
            Outcome::Opened(key) => self.opened(key),
            Outcome::Wrapped(key, node) => drop(self.local.wrapped.insert((key, node), now.mono)),
            Outcome::Beaten(presence) => self.beaten(presence, now.mono),
            Outcome::KeyMade(cert, number, made) => {
                let drive = self.drive(cert, number);
                (drive.made, drive.made_at) = (Some(made), now.mono);
            }
            Outcome::Called(cert, number, issuer, reply) => self.called(cert, number, issuer, reply, now.mono),
            Outcome::VersionStored(cert, number, hash) => self.drive(cert, number).version = Some(hash),
            Outcome::ClockChecked(issuer, result) => self.clock_checked(issuer, result, now),
            Outcome::Registered(issuer, result) => {
                self.local.lost_accounts.remove(&issuer);
                self.note_use(&issuer, result.err().as_ref(), now.mono);
            }
            Outcome::Installed(target, results) => self.installed(&target, results, now),
            Outcome::LookedThrough(blobs) => self.looked_through(&blobs, now.mono),
            Outcome::Removed(keys) => {
                keys.iter().for_each(|key| drop(self.local.unreferenced.remove(key)));
                self.note_unreferenced();
            }
            Outcome::StoodIn(cert, target) => drop(self.local.stood_in.insert((cert, target))),
        }
    }

    /// The store was read as a whole: what could not reach it before is tried again soon. Not at once, in case that it can only be read.
    pub fn store_is_back(&mut self, now: Mono) {
        let soon = now + Duration::from_millis(STORE_BACK_MS_MAX);
        let late = self.local.pauses.iter().filter(|(_, pause)| pause.of_store && pause.until > soon);
        for subject in late.map(|(subject, _)| subject.clone()).collect::<Vec<_>>() {
            if let Some(pause) = self.local.pauses.get_mut(&subject) {
                pause.until = soon;
            }
        }
    }

    fn drive(&mut self, cert: CertName, number: Generation) -> &mut Drive {
        self.local.drives.entry((cert, number)).or_default()
    }

    fn called(&mut self, cert: CertName, number: Generation, issuer: IssuerName, reply: Result<CaReply, CaError>, now: Mono) {
        let own_trouble = reply.as_ref().err().filter(|error| matches!(error, CaError::Unreachable(_) | CaError::Malformed(_)));
        self.note_use(&issuer, own_trouble, now);
        self.note_lost_account(&issuer, reply.as_ref().err());
        let drive = self.drive(cert, number);
        drive.error = None;
        match reply {
            Ok(CaReply::Order(order)) => drive.looked(order, now),
            Ok(CaReply::Told(urls)) => {
                drive.told.extend(urls);
                drive.look_soon(now);
            }
            Ok(CaReply::Finalized) => {
                drive.finalized = true;
                drive.look_soon(now);
            }
            Ok(CaReply::Chain(leaf, pem)) => drive.chain = Some((*leaf, pem)),
            Err(error) => {
                drive.refusals = drive.refusals.saturating_add(u32::from(matches!(error, CaError::Refused(_))));
                drive.error = Some(error);
                drive.look_at = now;
            }
        }
    }

    /// An account that its CA does not know is registered again (RFC 8555 section 7.3).
    fn note_lost_account(&mut self, issuer: &IssuerName, error: Option<&CaError>) {
        let Some(CaError::Refused(problem) | CaError::NotFound(problem)) = error else { return };
        if let Some(account) = self.accounts.get(issuer).filter(|_| problem.kind == ACCOUNT_UNKNOWN) {
            self.local.lost_accounts.insert(issuer.clone(), account.value.url.clone());
        }
    }

    fn clock_checked(&mut self, issuer: IssuerName, result: Result<i64, CaError>, now: Now) {
        self.note_use(&issuer, result.as_ref().err(), now.mono);
        if let Ok(ahead_seconds) = result {
            self.local.clocks.insert(issuer, ClockCheck { at: now.mono, wall: now.wall, ahead_seconds });
        }
    }

    /// A CA that cannot be used from here is left to other nodes for a while.
    fn note_use(&mut self, issuer: &IssuerName, error: Option<&CaError>, now: Mono) {
        let Some(error) = error else {
            self.local.bars.remove(issuer);
            return;
        };
        let count = self.local.bars.get(issuer).map_or(0, |bar| bar.count);
        let seconds_max = if has(Mutant::BarForever) { BAR_SECONDS_MAX << 20 } else { BAR_SECONDS_MAX };
        let first_seconds = if has(Mutant::BarForever) { seconds_max } else { BAR_SECONDS_MIN };
        let until = now + doubled(first_seconds * 1000, count, seconds_max * 1000);
        self.local.bars.insert(issuer.clone(), Bar { until, count: count.saturating_add(1), why: error.to_string(), of_store: false });
    }

    fn installed(&mut self, target: &TargetName, results: Vec<InstallResult>, now: Now) {
        for InstallResult { cert, placed, state, reason, settled, key } in results {
            match key {
                KeySeen::Lacks => drop(self.local.lacks.entry(placed.key.clone()).or_insert(now.mono)),
                KeySeen::Opened => self.opened(placed.key.clone()),
                KeySeen::Untried => {}
            }
            let slot = (cert.clone(), target.clone());
            let before = self.local.targets.get(&slot).filter(|t| t.placement == placed.placement);
            let fails = if settled { 0 } else { before.map_or(0, |t| t.fails).saturating_add(1) };
            if matches!(state, TargetState::Installed | TargetState::Verified) {
                self.remember(&cert, &placed);
                self.local.stood_in.insert(slot.clone());
            }
            let life = until(placed.not_before, placed.not_after);
            let next_try = now.mono + if settled { Duration::from_secs(VERIFY_AGAIN_SECONDS) } else { next_try(state, fails) };
            let installed = Installed { placement: placed.placement, state, reason, next_try, fails, not_after: placed.not_after, life };
            self.local.targets.insert(slot, installed);
        }
    }

    fn opened(&mut self, key: SpkiHash) {
        self.local.lacks.remove(&key);
        self.local.holds.insert(key);
    }

    fn remember(&mut self, cert: &CertName, placed: &Placed) {
        let before = self.local.memory.get(cert).copied();
        let mut memory: Memory = before.unwrap_or_default();
        memory.number = memory.number.max(placed.placement.generation);
        memory.seen = memory.seen.max(placed.placement.rank());
        memory.valid = Some((placed.not_before, placed.not_after));
        if before != Some(memory) {
            self.local.memory.insert(cert.clone(), memory);
            self.local.unsaved.insert(cert.clone());
        }
    }
}

impl Drive {
    fn looked(&mut self, order: OrderView, now: Mono) {
        let stands = self.order.as_ref().is_some_and(|before| before.status == order.status);
        self.looks = if stands { self.looks.saturating_add(1) } else { 0 };
        self.refusals = if stands { self.refusals } else { 0 };
        if order.status == OrderStatus::Ready && self.looks >= LOOKS_BEFORE_REFINALIZE {
            self.finalized = false;
        }
        self.look_at = now + order.retry_after.unwrap_or_default().max(look_delay(self.looks));
        self.order = Some(order);
    }

    fn look_soon(&mut self, now: Mono) {
        self.looks = 0;
        self.look_at = now + Duration::from_millis(LOOK_MS_MIN);
    }
}

fn look_delay(looks: u32) -> Duration {
    let ms = (LOOK_MS_MIN as f64) * 1.5_f64.powi(looks.min(20).cast_signed());
    Duration::from_millis((ms as u64).min(LOOK_MS_MAX))
}

fn next_try(state: TargetState, fails: u32) -> Duration {
    let seconds_max = if state == TargetState::Failed { TARGET_FAILED_SECONDS_MAX } else { TARGET_WAITING_SECONDS_MAX };
    doubled(TARGET_SECONDS_MIN * 1000, fails.saturating_sub(1), seconds_max * 1000)
}

fn doubled(first_ms: u64, count: u32, max_ms: u64) -> Duration {
    Duration::from_millis(first_ms.saturating_mul(1 << count.min(20)).min(max_ms))
}
