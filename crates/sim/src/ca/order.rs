//! An order, and what the CA does with it in its own time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use certfleet_core::ca::{Authorization, AuthorizationStatus, CaError, Challenge, OrderStatus, OrderView, Problem};
use certfleet_core::names::Identifier;
use certfleet_core::spec::ChallengeType;
use certfleet_core::time::later;
use tokio::time::{Instant, sleep};

use super::{Ca, Mood, State, issue, not_found, refused};

/// When it wants to be asked again about an order that it works at.
const PROCESSING_RETRY_AFTER: Duration = Duration::from_secs(3);

/// An order (RFC 8555 section 7.1.3).
#[derive(Debug)]
pub(super) struct Order {
    pub account: String,
    pub names: Vec<Identifier>,
    pub profile: Option<String>,
    pub expires_at: Instant,
    pub expires: certfleet_core::time::Timestamp,
    pub tokens: BTreeMap<Identifier, String>,
    /// Authorizations that are being looked at, valid or invalid.
    pub checks: BTreeMap<Identifier, Check>,
    pub stage: Stage,
}

/// An authorization that is not simply pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    Running,
    Valid,
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// With this request.
    Processing(Vec<u8>),
    Valid(String),
}

impl Order {
    pub fn status(&self) -> OrderStatus {
        let failed = self.checks.values().any(|check| matches!(check, Check::Failed(_)));
        let valid = self.names.iter().all(|name| self.checks.get(name) == Some(&Check::Valid));
        match &self.stage {
            Stage::Valid(_) => OrderStatus::Valid,
            Stage::Processing(_) => OrderStatus::Processing,
            Stage::Open if failed || Instant::now() >= self.expires_at => OrderStatus::Invalid,
            Stage::Open if valid => OrderStatus::Ready,
            Stage::Open => OrderStatus::Pending,
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.status(), OrderStatus::Valid | OrderStatus::Invalid)
    }

    pub fn view(&self, url: &str) -> OrderView {
        let status = self.status();
        let open = matches!(status, OrderStatus::Pending | OrderStatus::Invalid);
        let authorizations = if open { self.names.iter().map(|name| self.authorization(url, name)).collect() } else { Vec::new() };
        let ended = Problem::new("", "the order has expired or failed", None);
        let error = (status == OrderStatus::Invalid).then_some(ended);
        let retry_after = (status == OrderStatus::Processing).then_some(PROCESSING_RETRY_AFTER);
        OrderView { url: url.to_owned(), status, authorizations, error, expires: Some(self.expires), retry_after }
    }

    fn authorization(&self, url: &str, name: &Identifier) -> Authorization {
        let (status, challenge, error) = match self.checks.get(name) {
            None => (AuthorizationStatus::Pending, AuthorizationStatus::Pending, None),
            Some(Check::Running) => (AuthorizationStatus::Pending, AuthorizationStatus::Processing, None),
            Some(Check::Valid) => (AuthorizationStatus::Valid, AuthorizationStatus::Valid, None),
            Some(Check::Failed(why)) => {
                (AuthorizationStatus::Invalid, AuthorizationStatus::Invalid, Some(Problem::new("unauthorized", why, Some(403))))
            }
        };
        let (kind, token) = (Some(ChallengeType::Http01), self.tokens.get(name).cloned().unwrap_or_default());
        let challenge = Challenge { kind, url: format!("{url}#{name}"), token, status: challenge, error };
        Authorization { identifier: name.clone(), status, challenges: vec![challenge] }
    }
}

impl Ca {
    /// The order that these names have already, while it is pending or ready, or a new one, within the limits. Where an order says which
    /// certificate it replaces, `alreadyReplaced` belongs here (RFC 9773 section 5): nobody says it yet.
    pub(super) fn order_for(&self, account: &str, names: &[Identifier], profile: Option<&str>) -> Result<OrderView, CaError> {
        let (expires, now) = (later(self.now(), self.habits.order_life), Instant::now());
        let mut state = self.state();
        if state.mood == Mood::Busy {
            let problem = Problem::new("rateLimited", "too many new orders recently", Some(429));
            return Err(CaError::Busy { problem, retry_after: Some(Duration::from_secs(90)) });
        }
        let mut wanted = names.to_vec();
        wanted.sort();
        if let Err(refusal) = state.limits.order(account, &wanted, self.age()) {
            drop(state);
            self.internet.limited(refusal.limit, &refusal.subject);
            return Err(refusal.into());
        }
        let same = |order: &Order| order.account == account && order.names == wanted && order.profile.as_deref() == profile;
        let is_open = |order: &Order| matches!(order.status(), OrderStatus::Pending | OrderStatus::Ready);
        if let Some((url, order)) = state.orders.iter().find(|(_, order)| same(order) && is_open(order)) {
            return Ok(order.view(url));
        }
        let url = format!("https://ca/order/{}", state.orders.len() + 1);
        let tokens = wanted.iter().map(|name| (name.clone(), state.token())).collect();
        let is_authorized =
            |name: &&Identifier| state.authorized.get(&(account.to_owned(), (*name).clone())).is_some_and(|until| now < *until);
        let checks = wanted.iter().filter(is_authorized).map(|name| (name.clone(), Check::Valid)).collect();
        let (account, profile) = (account.to_owned(), profile.map(str::to_owned));
        let expires_at = now + self.habits.order_life;
        let order = Order { account, names: wanted, profile, expires_at, expires, tokens, checks, stage: Stage::Open };
        let view = order.view(&url);
        state.orders.insert(url, order);
        Ok(view)
    }

    /// Looks from several places, in its own time. A challenge that was told before is left as it is.
    pub(super) fn validate(self: &Arc<Self>, challenge: &str) -> Result<(), CaError> {
        let mut state = self.state();
        let missing = || not_found("no such challenge");
        let (url, name) = challenge.split_once('#').ok_or_else(missing)?;
        let name: Identifier = name.parse().map_err(|_| missing())?;
        let order = state.orders.get_mut(url).ok_or_else(missing)?;
        let token = order.tokens.get(&name).cloned().ok_or_else(missing)?;
        if order.checks.contains_key(&name) || order.status() != OrderStatus::Pending {
            return Ok(());
        }
        order.checks.insert(name.clone(), Check::Running);
        drop(state);
        let (ca, url, pause) = (self.clone(), url.to_owned(), self.pause());
        tokio::spawn(async move {
            sleep(pause).await;
            ca.look(&url, &name, &token);
        });
        Ok(())
    }

    fn look(&self, url: &str, name: &Identifier, token: &str) {
        let seen: Vec<_> = (0..self.habits.vantage_points).map(|_| self.internet.ask(name, token)).collect();
        let now = self.age();
        let mut state = self.state();
        let Some(account) = state.orders.get(url).map(|order| order.account.clone()) else { return };
        let thumbprint = state.accounts.get(&account).cloned().unwrap_or_default();
        let wanted = format!("{token}.{thumbprint}");
        let wrong = seen.into_iter().map(|answer| match answer {
            Ok(answer) if answer == wanted => None,
            Ok(answer) => Some(format!("the key authorization was {answer:?}")),
            Err(why) => Some(why),
        });
        let wrong = verdict(&wrong.collect::<Vec<_>>());
        let wrong = wrong.or_else(|| (state.mood == Mood::Fails).then(|| "the CA is in a bad mood".to_owned()));
        match &wrong {
            None => drop(state.authorized.insert((account, name.clone()), Instant::now() + self.habits.authorization_life)),
            Some(_) => state.limits.failed(&account, name, now),
        }
        if let Some(order) = state.orders.get_mut(url) {
            order.checks.insert(name.clone(), wrong.map_or(Check::Valid, Check::Failed));
        }
    }

    /// Takes a request for an order that is ready; of others nothing comes.
    pub(super) fn take(self: &Arc<Self>, url: &str, csr: &[u8]) -> Result<(), CaError> {
        let mut state = self.state();
        let is_silent = state.mood == Mood::Silent;
        let order = state.orders.get_mut(url).ok_or_else(|| not_found("no such order"))?;
        if order.status() != OrderStatus::Ready {
            return Ok(());
        }
        let facts = certfleet_acme::inspect_csr(csr).map_err(|error| refused("badCSR", &error.to_string(), 400))?;
        let mut names = facts.names;
        names.sort();
        if names != order.names {
            return Err(refused("badCSR", "the names are not the order's", 400));
        }
        order.stage = Stage::Processing(csr.to_vec());
        drop(state);
        self.internet.taken(url, &facts.key);
        if !is_silent {
            self.will_issue(url);
        }
        Ok(())
    }

    pub(super) fn will_issue(self: &Arc<Self>, url: &str) {
        let (ca, url, pause) = (self.clone(), url.to_owned(), self.pause());
        tokio::spawn(async move {
            sleep(pause).await;
            ca.issue(&url);
        });
    }

    fn issue(&self, url: &str) {
        let (now, age) = (self.now(), self.age());
        let mut state = self.state();
        let serial = state.issued as u64 + 1;
        let Some(order) = state.orders.get_mut(url) else { return };
        let Stage::Processing(csr) = &order.stage else { return };
        let Ok(facts) = certfleet_acme::inspect_csr(csr) else { return };
        let chain = issue::chain(&facts.names, csr, serial, now, self.habits.lifetime);
        order.stage = Stage::Valid(chain);
        let names = order.names.clone();
        state.limits.issued(&names, age);
        state.issued += 1;
        drop(state);
        self.internet.issued(url, &facts.key, serial);
    }
}

/// What the places saw together, the CA's own first: what was wrong, if it counts. Of up to five others one may have seen something else, of
/// more two (CA/Browser Forum, Baseline Requirements section 3.2.2.9).
fn verdict(seen: &[Option<String>]) -> Option<String> {
    let (own, others) = seen.split_first()?;
    let tolerated = match others.len() {
        0 | 1 => 0,
        2..=5 => 1,
        _ => 2,
    };
    own.clone().or_else(|| others.iter().flatten().nth(tolerated).cloned())
}

impl State {
    /// A token as CAs make them: 43 characters of base64url (RFC 8555 section 8.1).
    fn token(&mut self) -> String {
        let mut bytes = [0; 32];
        self.draw.fill(&mut bytes);
        certfleet_core::encoding::base64url(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn one_of_a_few_places_may_see_something_else_but_not_the_first() {
        let seen = |text: &str| text.chars().map(|c| (c != '.').then(|| c.to_string())).collect::<Vec<_>>();
        for (places, wrong) in [
            (".", None),
            ("x", Some("x")),
            (".x", Some("x")),
            ("...", None),
            (".x.", None),
            ("x..", Some("x")),
            (".xy", Some("y")),
            (".....x", None),
            (".x...y", Some("y")),
            (".x...y.", None),
            (".x.z.y.", Some("y")),
        ] {
            assert_eq!(verdict(&seen(places)).as_deref(), wrong, "{places}");
        }
    }
}
