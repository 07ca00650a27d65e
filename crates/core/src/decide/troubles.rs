//! What keeps this node from doing all that it could, for `status` and the log. It stands from the first failure until a success, not only
//! while the next try is waited for.

use std::time::Duration;

use super::action::Subject;
use super::part::Part;
use super::turn::{CLOCK_OFF_SECONDS_MAX, Turn};
use crate::key::RecordKey;
use crate::time::Now;
use crate::view::{First, LIVE_SECONDS, Pause, StoreState, View, of_record, of_subject};

/// How long a trouble is told after its pause ended and nothing was tried since, in seconds.
const STALE_SECONDS: u64 = 60;

pub(super) fn decide(view: &View, now: Now, part: &mut Part) {
    if let Some(why) = view.membership().err().filter(|_| view.local.store != StoreState::Unread) {
        part.troubles.insert(why);
    }
    if let Some(other) = &view.local.duplicate {
        part.troubles.insert(format!(
            "node {} runs twice (the other is {other}): this one drives nothing until that one has been silent for {LIVE_SECONDS} s; was the \
             machine cloned? switch one of them off",
            view.me.node
        ));
    }
    for (issuer, bar) in view.local.bars.iter().filter(|(issuer, _)| view.spec.issuers.contains_key(*issuer)) {
        paused(bar, &format!("issuer {issuer}: "), now, part);
    }
    let is_of_fleet = |subject: &Subject| of_subject(subject).is_none() && of_record(subject).is_none();
    for (_, pause) in view.local.pauses.iter().filter(|(subject, _)| is_of_fleet(subject)) {
        paused(pause, "", now, part);
    }
    for (issuer, check) in view.local.clocks.iter().filter(|(_, check)| check.ahead_seconds.abs() > CLOCK_OFF_SECONDS_MAX) {
        let direction = if check.ahead_seconds > 0 { "ahead of" } else { "behind" };
        let off = check.ahead_seconds.abs();
        part.troubles.insert(format!("this node's clock is {off} s {direction} issuer {issuer}'s: it drives nothing until that is mended"));
    }
}

/// What failed of one certificate.
pub(super) fn certificate(turn: Turn<'_>, part: &mut Part) {
    let (pauses, cert) = (&turn.view.local.pauses, turn.cert);
    if pauses.is_empty() {
        return;
    }
    let asides = pauses.range(Subject::Aside(cert.clone(), First::first())..);
    let stand_ins = pauses.range(Subject::StandIn(cert.clone(), First::first())..);
    let reports = pauses.range(Subject::Report(cert.clone(), First::first())..);
    let mut several: Vec<&Pause> = Vec::new();
    several.extend(asides.take_while(|(subject, _)| matches!(subject, Subject::Aside(of, _) if of == cert)).map(|(_, pause)| pause));
    several.extend(stand_ins.take_while(|(subject, _)| matches!(subject, Subject::StandIn(of, _) if of == cert)).map(|(_, pause)| pause));
    several.extend(reports.take_while(|(subject, _)| matches!(subject, Subject::Report(of, _) if of == cert)).map(|(_, pause)| pause));
    let single = [Subject::Cert(cert.clone()), Subject::Request(cert.clone()), Subject::Record(RecordKey::Cert(cert.clone()).key())];
    for pause in single.iter().filter_map(|subject| pauses.get(subject)).chain(several) {
        paused(pause, "", turn.now, part);
    }
}

fn paused(pause: &Pause, about: &str, now: Now, part: &mut Part) {
    // That the store is away is told for as long as it is, by what reads it.
    let stale = if pause.of_store { Duration::ZERO } else { Duration::from_secs(STALE_SECONDS) };
    let end = pause.until + stale;
    if !part.has_come(now, end) {
        part.troubles.insert(format!("{about}{}", pause.why));
    }
}
