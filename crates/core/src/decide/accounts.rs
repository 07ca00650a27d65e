//! One account for the fleet: the key is created once by a compare-and-swap, then registered at each CA in use (RFC 8555 section 7.3 makes
//! registering one key twice harmless).
//!
//! Rolling it over (RFC 8555 section 7.3.5): the next key is stored beside the one in use, then each CA is told, then it takes its place.
//! Whatever crashes, the record says which keys a CA may know. Nothing is validated at a CA while its account changes, so that the answers,
//! which name the account's key, are right all along.

use std::collections::BTreeSet;

use super::action::{Action, Subject};
use super::admit;
use super::facts::Facts;
use super::holder::GRACE;
use super::part::Part;
use crate::key::RecordKey;
use crate::mutants::{Mutant, has};
use crate::names::IssuerName;
use crate::records::{AccountKey, AccountKeyRecord, AccountRecord, Step};
use crate::spec::{IssuerSpec, Role};
use crate::time::Now;
use crate::view::{Observed, View};

pub(super) fn decide(view: &View, now: Now, facts: &Facts, part: &mut Part) {
    if !view.my_roles().contains(&Role::Issue) || view.local.leaving || view.local.duplicate.is_some() {
        return;
    }
    if view.settled_at(&RecordKey::AccountKey.key()).is_some_and(|moment| now.mono < moment) {
        return;
    }
    let issuers: BTreeSet<&IssuerName> = view.issuers_in_use.iter().collect();
    let Some(key) = view.account_key.as_ref().filter(|key| !is_lost(view, now, facts, key) && !has(Mutant::RemakeAccountKey)) else {
        let create = || Action::CreateAccountKey(view.account_readers(), view.removals(), view.base(&RecordKey::AccountKey.key()));
        // Whoever makes the key may die next: by then all who should have it must be able to open it.
        if !issuers.is_empty() && !admit::is_under_way(view, now) {
            part.act(view, now, create());
        }
        return;
    };
    for issuer in &issuers {
        register(view, (now, facts), part, issuer, key);
    }
    roll(view, (now, facts), part, key, &issuers);
}

/// Whether nobody can open it; asked only when somebody says so.
fn is_lost(view: &View, now: Now, facts: &Facts, key: &AccountKeyRecord) -> bool {
    let spki = &key.current.spki;
    (facts.lacked.keys.contains(spki) || view.local.lacks.contains_key(spki)) && view.is_account_lost(now)
}

/// The account at `issuer` as it is configured now, if its CA still knows it.
fn account<'v>(view: &'v View, issuer: &IssuerName) -> Option<(&'v Observed<AccountRecord>, &'v IssuerSpec)> {
    let (spec, account) = (view.spec.issuers.get(issuer)?, view.accounts.get(issuer)?);
    let is_lost = view.local.lost_accounts.get(issuer) == Some(&account.value.url);
    (account.value.directory == spec.directory && !is_lost).then_some((account, spec))
}

/// Whether the fleet has an account at `issuer` as it is configured now, with a key that the fleet has.
pub(super) fn is_registered(view: &View, issuer: &IssuerName) -> bool {
    let Some(key) = &view.account_key else { return false };
    account(view, issuer).is_some_and(|(account, _)| key.keys().any(|key| key.thumbprint == account.value.thumbprint))
}

/// Whether the account at `issuer` still has the key that is to be replaced.
pub(super) fn is_rolling(view: &View, issuer: &IssuerName) -> bool {
    let next = view.account_key.as_ref().and_then(|key| key.next.as_ref());
    next.is_some_and(|next| account(view, issuer).is_some_and(|(account, _)| account.value.thumbprint != next.thumbprint))
}

fn register(view: &View, (now, facts): (Now, &Facts), part: &mut Part, issuer: &IssuerName, key: &AccountKeyRecord) {
    let Some(spec) = view.spec.issuers.get(issuer).filter(|_| !is_registered(view, issuer)) else { return };
    if is_my_turn(view, (now, facts), part, issuer) {
        let (account, base) = fresh(view, now, issuer, spec, newest(key));
        part.act(view, now, Action::Register(issuer.clone(), spec.contact.clone(), account, base));
    }
}

fn newest(key: &AccountKeyRecord) -> &AccountKey {
    key.next.as_ref().unwrap_or(&key.current)
}

fn fresh(view: &View, now: Now, issuer: &IssuerName, spec: &IssuerSpec, key: &AccountKey) -> (AccountRecord, crate::envelope::Expect) {
    let before = view.accounts.get(issuer);
    let account = AccountRecord {
        issuer: issuer.clone(),
        directory: spec.directory.clone(),
        url: String::new(),
        thumbprint: key.thumbprint.clone(),
        registered_at: now.wall,
        extra: before.map(|seen| seen.value.extra.clone()).unwrap_or_default(),
    };
    (account, view.base(&RecordKey::Account(issuer.clone()).key()))
}

fn is_my_turn(view: &View, (now, facts): (Now, &Facts), part: &mut Part, issuer: &IssuerName) -> bool {
    if let Some(bar) = view.local.bars.get(issuer).filter(|bar| bar.until > now.mono) {
        part.wake(bar.until);
        return false;
    }
    is_turn(view, (now, facts), part, Subject::Account(issuer.clone()), &format!("account/{issuer}"))
}

/// Whether those who come before this node have had their time. That only one succeeds is the compare-and-swap's work.
fn is_turn(view: &View, (now, facts): (Now, &Facts), part: &mut Part, subject: Subject, work: &str) -> bool {
    let turn = part.due(view, now, subject) + GRACE * facts.passing.my_rank(view, work, None);
    if now.mono < turn {
        part.wake(turn);
    }
    now.mono >= turn
}

/// The next step of a roll-over, if one is wanted or under way.
fn roll(view: &View, (now, facts): (Now, &Facts), part: &mut Part, key: &AccountKeyRecord, issuers: &BTreeSet<&IssuerName>) {
    let Some(next) = &key.next else {
        if view.is_account_exposed() && is_turn(view, (now, facts), part, Subject::AccountKey, "account") {
            let base = view.base(&RecordKey::AccountKey.key());
            part.act(view, now, Action::PrepareAccountKey(view.account_readers(), view.removals(), base));
        }
        return;
    };
    let rolling: Vec<&IssuerName> = issuers.iter().copied().filter(|issuer| is_rolling(view, issuer)).collect();
    for issuer in rolling.iter().filter(|issuer| is_quiet(view, issuer)) {
        let Some(spec) = view.spec.issuers.get(*issuer).filter(|_| is_my_turn(view, (now, facts), part, issuer)) else { continue };
        let (account, base) = fresh(view, now, issuer, spec, next);
        let url = view.accounts.get(*issuer).map(|seen| seen.value.url.clone()).unwrap_or_default();
        part.act(view, now, Action::RollAccount((*issuer).clone(), AccountRecord { url, ..account }, base));
    }
    let unregistered = issuers.iter().any(|issuer| !is_registered(view, issuer));
    let subject = Subject::Record(RecordKey::AccountKey.key());
    if rolling.is_empty() && !unregistered && is_turn(view, (now, facts), part, subject, "account") {
        take_over(view, now, part, key, next);
    }
}

/// All CAs know the next key: it is the one in use.
fn take_over(view: &View, now: Now, part: &mut Part, key: &AccountKeyRecord, next: &AccountKey) {
    let record = AccountKeyRecord { current: next.clone(), next: None, ..key.clone() };
    if let Ok(value) = serde_json::to_value(record) {
        let key = RecordKey::AccountKey.key();
        part.act(view, now, Action::Record(RecordKey::AccountKey, Box::new(value), view.base(&key), view.change_of(&key)));
    }
}

/// Nobody has the CA validate anything for this account.
fn is_quiet(view: &View, issuer: &IssuerName) -> bool {
    let mut attempts = view.certs.held().map(|(_, attempt)| attempt).filter(|attempt| attempt.issuer == *issuer);
    !attempts.any(|attempt| matches!(attempt.step, Step::Ordered { .. } | Step::Validating { .. }))
}
