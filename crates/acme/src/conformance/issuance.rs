//! One order from the beginning to the end.

use certfleet_core::ca::{AuthorizationStatus, CaError, OrderStatus};

use super::{Environment, account, answered_names, challenges, check_chain, finish, key_and_csr, until};

/// The plain case: two names, one certificate.
pub async fn an_order_gives_a_certificate(environment: &dyn Environment) {
    let (account, client) = (account(environment).await, environment.client());
    let names = answered_names(environment, &account, 2).await;
    let csr = key_and_csr(&names);
    let before = environment.issued().await;
    let order = client.new_order(&account, &names, None).await.expect("the order is taken");
    assert_eq!((order.status, order.authorizations.len()), (OrderStatus::Pending, 2));
    assert!(order.expires.is_some(), "the CA says when a pending order ends (RFC 8555 section 7.1.3)");
    let early = client.certificate(&account, &order.url).await;
    assert!(early.is_err(), "there is no certificate yet: {early:?}");
    let chain = finish(&*client, &account, &order.url, &csr).await.expect("the certificate is issued");
    check_chain(&chain, &names, &csr);
    assert_eq!(environment.issued().await, before + 1);
}

/// Every step by another client that knows the account and the order's URL alone; each step told twice.
pub async fn any_client_goes_on_at_any_step(environment: &dyn Environment) {
    let account = account(environment).await;
    let names = answered_names(environment, &account, 1).await;
    let csr = key_and_csr(&names);
    let before = environment.issued().await;
    let url = environment.client().new_order(&account, &names, None).await.expect("the order is taken").url;
    environment.client().finalize(&account, &url, &csr.csr_der).await.expect("too early to finalize: look again");
    let pending = environment.client().order(&account, &url).await.expect("the order is found");
    assert_eq!(pending.status, OrderStatus::Pending);
    for challenge in challenges(&pending) {
        environment.client().challenge_ready(&account, &challenge).await.expect("told ready");
        until(&*environment.client(), &account, &url, &[OrderStatus::Ready]).await.expect("validated");
        environment.client().challenge_ready(&account, &challenge).await.expect("told ready again: look again");
    }
    let ready = environment.client().order(&account, &url).await.expect("the order is found");
    assert_eq!((ready.status, ready.authorizations.len()), (OrderStatus::Ready, 0));
    environment.client().finalize(&account, &url, &csr.csr_der).await.expect("finalized");
    environment.client().finalize(&account, &url, &csr.csr_der).await.expect("finalized again: look again");
    until(&*environment.client(), &account, &url, &[OrderStatus::Valid]).await.expect("issued");
    let first = environment.client().certificate(&account, &url).await.expect("downloaded");
    let second = environment.client().certificate(&account, &url).await.expect("downloaded again");
    assert_eq!(first, second);
    check_chain(&first, &names, &csr);
    assert_eq!(environment.issued().await, before + 1);
}

/// An order whose validation fails is invalid, and the CA's words name the host.
pub async fn a_failed_validation_says_why(environment: &dyn Environment) {
    let (account, client) = (account(environment).await, environment.client());
    let name = environment.failing_name().await;
    let order = client.new_order(&account, std::slice::from_ref(&name), None).await.expect("the order is taken");
    for challenge in challenges(&order) {
        client.challenge_ready(&account, &challenge).await.expect("told ready");
    }
    let order = until(&*client, &account, &order.url, &[OrderStatus::Invalid]).await.expect("the order is found");
    assert_eq!(order.authorizations.iter().map(|one| one.status).collect::<Vec<_>>(), [AuthorizationStatus::Invalid]);
    let problem = order.problem();
    assert!(!problem.kind.is_empty() && problem.detail.starts_with(&format!("{name}: ")), "{problem:?}");
    client.finalize(&account, &order.url, &key_and_csr(&[name]).csr_der).await.expect("the order cannot be finalized: look again");
    for challenge in challenges(&order) {
        client.challenge_ready(&account, &challenge).await.expect("the challenge failed already: look again");
    }
}

/// An order that is not there is "not found" in every call.
pub async fn a_missing_order_is_not_found(environment: &dyn Environment) {
    let (account, client) = (account(environment).await, environment.client());
    let names = answered_names(environment, &account, 1).await;
    let order = client.new_order(&account, &names, None).await.expect("the order is taken");
    let missing = format!("{}-missing", order.url);
    let not_found = |said: CaError| assert!(matches!(said, CaError::NotFound(_)), "{said:?}");
    not_found(client.order(&account, &missing).await.expect_err("there is no such order"));
    not_found(client.finalize(&account, &missing, &key_and_csr(&names).csr_der).await.expect_err("there is no such order"));
    not_found(client.certificate(&account, &missing).await.expect_err("there is no such order"));
    let challenge = format!("{}-missing", challenges(&order)[0]);
    not_found(client.challenge_ready(&account, &challenge).await.expect_err("there is no such challenge"));
}
