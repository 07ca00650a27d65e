//! Removing what nothing refers to any more: private keys and chains of attempts that came to nothing, and of generations long gone.
//!
//! Only what has been without a reference for a day, as this process has watched by its own monotonic clock, is removed; so a key that
//! was just made for an attempt, or a record read late, is never taken for rubbish. Done by the first-ranked live `issue` node.

use std::time::Duration;

use super::action::Action;
use super::facts::Facts;
use super::part::Part;
use crate::key::Key;
use crate::mutants::{Mutant, has};
use crate::spec::Role;
use crate::time::Now;
use crate::view::{Blob, View};

/// How long something must be without a reference, in seconds.
const UNREFERENCED_SECONDS: u64 = 24 * 3600;
/// How often the store is looked through, in seconds.
const LOOK_SECONDS: u64 = 6 * 3600;
/// Most values that are removed at a time.
const REMOVALS_MAX: usize = 200;

pub(super) fn decide(view: &View, now: Now, facts: &Facts, part: &mut Part) {
    if !view.my_roles().contains(&Role::Issue) || view.local.leaving || view.local.duplicate.is_some() || view.local.beaten_at.is_none() {
        return;
    }
    // A record that does not count may have been one that did, and refer to anything.
    let first: Key = "certs/!".parse().expect("it is well-formed, and no certificate's record comes before it");
    let is_blind = view.strays.range(first..).next().is_some_and(|(key, _)| key.is_under("certs"));
    if is_blind || facts.passing.my_rank(view, "collect", None) > 0 {
        return;
    }
    let is_ripe = view.local.unreferenced_since.is_some_and(|since| is_old(now.mono.since(since)));
    let rubbish: Vec<Blob> = (view.local.unreferenced.values())
        .take_while(|_| is_ripe)
        .filter(|(since, blob)| is_old(now.mono.since(*since)) && !view.is_recorded(&blob.key))
        .map(|(_, blob)| blob.clone())
        .take(REMOVALS_MAX)
        .collect();
    if !rubbish.is_empty() {
        return part.act(view, now, Action::Remove(rubbish));
    }
    let due = view.local.looked_through_at.unwrap_or_default() + Duration::from_secs(LOOK_SECONDS);
    if now.mono < due { part.wake(due) } else { part.act(view, now, Action::LookThrough) }
}

fn is_old(span: Duration) -> bool {
    span.as_secs() >= UNREFERENCED_SECONDS || has(Mutant::CollectAtOnce)
}
