//! Between the ACME library's values and those of core.

use bytes::Bytes;
use certfleet_core::ca::{Authorization, AuthorizationStatus, CaError, Challenge, OrderStatus, OrderView, Problem};
use certfleet_core::names::Identifier;
use certfleet_core::spec::ChallengeType;
use certfleet_core::time::Timestamp;
use certfleet_core::x509::Leaf;
use instant_acme as library;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Answer};
use super::call::{Call, persist};

/// Most authorizations of one order: the largest number of names that a CA takes is 100.
const AUTHORIZATIONS_MAX: usize = 100;

/// A name as the CA wants it in an order.
pub(super) fn identifier(name: &Identifier) -> library::Identifier {
    match name.ip() {
        Some(ip) => library::Identifier::Ip(ip),
        None => library::Identifier::Dns(name.as_str().to_owned()),
    }
}

/// The contacts in an account object.
pub(super) fn contact(account: &Answer) -> Vec<String> {
    #[derive(Deserialize)]
    struct Account {
        #[serde(default)]
        contact: Vec<String>,
    }
    serde_json::from_slice::<Account>(&account.body).map(|account| account.contact).unwrap_or_default()
}

/// The order, which must be what was read last in this call, and its authorizations where they matter.
pub(super) async fn order(call: &Call, mut order: library::Order) -> Result<OrderView, CaError> {
    let answer = call.answer();
    let state = order.state();
    let (status, error) = (order_status(state.status), state.error.as_ref().map(problem));
    let authorizations = match status {
        OrderStatus::Pending | OrderStatus::Invalid => authorizations(call, &mut order).await?,
        OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => Vec::new(),
    };
    let (expires, retry_after) = (expires(&answer), answer.retry_after());
    Ok(OrderView { url: order.url().to_owned(), status, authorizations, error, expires, retry_after })
}

async fn authorizations(call: &Call, order: &mut library::Order) -> Result<Vec<Authorization>, CaError> {
    let count = order.state().authorizations.len();
    if count > AUTHORIZATIONS_MAX {
        return Err(CaError::Malformed(format!("order {} has {count} authorizations, more than {AUTHORIZATIONS_MAX}", order.url())));
    }
    // One at a time, so that rejected nonces are counted for each.
    for position in 0..count {
        persist!(call, read(order, position))?;
    }
    let mut found = Vec::with_capacity(count);
    let mut all = order.authorizations();
    while let Some(one) = all.next().await {
        let one = one.map_err(|error| call.error(error))?;
        found.push(authorization(&one)?);
    }
    Ok(found)
}

/// Reads the authorization at `position`; those before it were read and are not asked for again.
async fn read(order: &mut library::Order, position: usize) -> Result<(), library::Error> {
    let mut all = order.authorizations();
    for _ in 0..=position {
        all.next().await.transpose()?;
    }
    Ok(())
}

/// `expires` (RFC 8555 section 7.1.3), which the library drops.
fn expires(order: &Answer) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Order {
        expires: Option<String>,
    }
    serde_json::from_slice::<Order>(&order.body).ok()?.expires?.parse().ok()
}

fn order_status(status: library::OrderStatus) -> OrderStatus {
    match status {
        library::OrderStatus::Pending => OrderStatus::Pending,
        library::OrderStatus::Ready => OrderStatus::Ready,
        library::OrderStatus::Processing => OrderStatus::Processing,
        library::OrderStatus::Valid => OrderStatus::Valid,
        library::OrderStatus::Invalid => OrderStatus::Invalid,
    }
}

fn authorization(state: &library::AuthorizationState) -> Result<Authorization, CaError> {
    let name = state.identifier().to_string();
    let identifier = name.parse().map_err(|error| CaError::Malformed(format!("an authorization is for something else: {error}")))?;
    let status = match state.status {
        library::AuthorizationStatus::Pending => AuthorizationStatus::Pending,
        library::AuthorizationStatus::Valid => AuthorizationStatus::Valid,
        _ => AuthorizationStatus::Invalid,
    };
    Ok(Authorization { identifier, status, challenges: state.challenges.iter().map(challenge).collect() })
}

fn challenge(challenge: &library::Challenge) -> Challenge {
    Challenge {
        kind: (challenge.r#type == library::ChallengeType::Http01).then_some(ChallengeType::Http01),
        url: challenge.url.clone(),
        token: challenge.token.clone(),
        status: match challenge.status {
            library::ChallengeStatus::Pending => AuthorizationStatus::Pending,
            library::ChallengeStatus::Processing => AuthorizationStatus::Processing,
            library::ChallengeStatus::Valid => AuthorizationStatus::Valid,
            library::ChallengeStatus::Invalid => AuthorizationStatus::Invalid,
        },
        error: challenge.error.as_ref().map(problem),
    }
}

fn problem(problem: &library::Problem) -> Problem {
    let names: Vec<_> =
        problem.subproblems.iter().map(|part| part.identifier.as_ref().map(|name| name.authorized(false).to_string())).collect();
    let details = problem.subproblems.iter().map(|part| part.detail.as_deref().unwrap_or_default());
    let parts = names.iter().map(Option::as_deref).zip(details);
    answer::problem(problem.r#type.as_deref().unwrap_or_default(), problem.detail.as_deref().unwrap_or_default(), parts, problem.status)
}

/// An order and its one authorization, made up around a challenge that is known by its URL alone.
pub(super) fn order_around(challenge_url: &str) -> [Bytes; 2] {
    let order = json!({ "status": "pending", "authorizations": [challenge_url], "finalize": challenge_url });
    let challenge = json!({ "type": "http-01", "url": challenge_url, "token": "", "status": "pending" });
    let identifier = json!({ "type": "dns", "value": "name.invalid" });
    let authorization = json!({ "identifier": identifier, "status": "pending", "challenges": [challenge] });
    [order, authorization].map(|document| Bytes::from(document.to_string()))
}

/// The chain, if it is one.
pub(super) fn chain(order_url: &str, chain: Option<String>) -> Result<String, CaError> {
    let chain = chain.ok_or_else(|| CaError::Malformed(format!("order {order_url} has no certificate yet")))?;
    let leaf = Leaf::from_pem(&chain).map_err(|error| CaError::Malformed(format!("the certificate of order {order_url}: {error}")))?;
    tracing::debug!(order = order_url, serial = leaf.serial, "certificate downloaded");
    Ok(chain)
}
