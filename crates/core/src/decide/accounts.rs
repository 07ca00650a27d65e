//! One account for the fleet: the key is created once by a compare-and-swap, then registered at each CA in use (RFC 8555 section 7.3 makes
//! registering one key twice harmless).

use std::collections::BTreeSet;

use super::holder::{GRACE, my_rank};
use super::plan::{Action, Plan, Subject, based_on};
use crate::names::IssuerName;
use crate::records::AccountRecord;
use crate::spec::Role;
use crate::time::Now;
use crate::view::View;

pub(super) fn decide(view: &View, now: Now, plan: &mut Plan) {
    if !view.my_roles().contains(&Role::Issue) || view.local.leaving || view.local.duplicate.is_some() {
        return;
    }
    let issuers = issuers_in_use(view);
    if issuers.is_empty() {
        return;
    }
    let Some(key) = &view.account_key else { return plan.act(view, now, Action::CreateAccountKey) };
    for issuer in issuers {
        register(view, now, plan, issuer, &key.thumbprint);
    }
}

fn issuers_in_use(view: &View) -> BTreeSet<&IssuerName> {
    view.spec.certificates.values().flat_map(|spec| &spec.issuers).collect()
}

/// Whether the fleet has an account at `issuer` as it is configured now.
pub(super) fn is_registered(view: &View, issuer: &IssuerName) -> bool {
    let (Some(key), Some(spec), Some(account)) = (&view.account_key, view.spec.issuers.get(issuer), view.accounts.get(issuer)) else {
        return false;
    };
    let is_lost = view.local.lost_accounts.get(issuer) == Some(&account.value.url);
    account.value.directory == spec.directory && account.value.thumbprint == key.thumbprint && !is_lost
}

fn register(view: &View, now: Now, plan: &mut Plan, issuer: &IssuerName, thumbprint: &str) {
    let Some(spec) = view.spec.issuers.get(issuer).filter(|_| !is_registered(view, issuer)) else { return };
    if let Some(bar) = view.local.bars.get(issuer).filter(|bar| bar.until > now.mono) {
        return plan.wake(bar.until);
    }
    let since = plan.due(view, now, Subject::Account(issuer.clone()));
    let turn = since + GRACE * my_rank(view, now, &format!("account/{issuer}"), None);
    if now.mono < turn {
        return plan.wake(turn);
    }
    let before = view.accounts.get(issuer);
    let account = AccountRecord {
        issuer: issuer.clone(),
        directory: spec.directory.clone(),
        url: String::new(),
        thumbprint: thumbprint.to_owned(),
        registered_at: now.wall,
        extra: before.map(|seen| seen.value.extra.clone()).unwrap_or_default(),
    };
    plan.act(view, now, Action::Register(issuer.clone(), spec.contact.clone(), account, based_on(before.map(|seen| &seen.revision))));
}
