//! What keeps this node from doing all that it could, for `status` and the log. It stands from the first failure until a success, not only
//! while the next try is waited for.

use std::time::Duration;

use super::plan::Plan;
use super::turn::CLOCK_OFF_SECONDS_MAX;
use crate::time::Now;
use crate::view::{Pause, StoreState, View};

/// How long a trouble is told after its pause ended and nothing was tried since, in seconds.
const STALE_SECONDS: u64 = 60;

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    if let Some(why) = view.membership().err().filter(|_| view.local.store != StoreState::Unread) {
        plan.troubles.insert(why);
    }
    if let Some(other) = &view.local.duplicate {
        plan.troubles
            .insert(format!("node {} runs twice (the other is {other}): this one drives nothing; was the machine cloned?", view.me.node));
    }
    for (issuer, bar) in view.local.bars.iter().filter(|(issuer, _)| view.spec.issuers.contains_key(*issuer)) {
        paused(bar, &format!("issuer {issuer}: "), now, plan);
    }
    for pause in view.local.pauses.values() {
        paused(pause, "", now, plan);
    }
    for (issuer, check) in view.local.clocks.iter().filter(|(_, check)| check.ahead_seconds.abs() > CLOCK_OFF_SECONDS_MAX) {
        let direction = if check.ahead_seconds > 0 { "ahead of" } else { "behind" };
        let off = check.ahead_seconds.abs();
        plan.troubles.insert(format!("this node's clock is {off} s {direction} issuer {issuer}'s: it drives nothing until that is mended"));
    }
}

fn paused(pause: &Pause, about: &str, now: Now, plan: &mut Plan) {
    // That the store is away is told for as long as it is, by what reads it.
    let stale = if pause.of_store { Duration::ZERO } else { Duration::from_secs(STALE_SECONDS) };
    let end = pause.until + stale;
    if now.mono < end {
        plan.troubles.insert(format!("{about}{}", pause.why));
        plan.wake(end);
    }
}
