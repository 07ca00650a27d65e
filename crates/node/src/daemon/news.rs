//! Which troubles are new, and which are over: each is told once.

use std::collections::BTreeSet;

use certfleet_core::view::STORE_AWAY;

/// Troubles that are new, and those of which was told that are over. That the store is away is one trouble, whatever each try to reach it meets.
pub(super) fn tell_apart(told: &mut BTreeSet<String>, troubles: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let is_away = |trouble: &str| trouble.starts_with(STORE_AWAY);
    let has_away = |all: &BTreeSet<String>| all.range(STORE_AWAY.to_owned()..).next().is_some_and(|trouble| is_away(trouble));
    let lacks = |all: &BTreeSet<String>, one: &str| !(all.contains(one) || is_away(one) && has_away(all));
    let news: Vec<String> = troubles.iter().filter(|trouble| lacks(told, trouble)).cloned().collect();
    let over: Vec<String> = told.iter().filter(|trouble| lacks(troubles, trouble)).cloned().collect();
    told.retain(|trouble| !over.contains(trouble));
    told.extend(news.iter().cloned());
    (news, over)
}
