//! Accounts and the CA's clock.

use std::sync::Arc;

use certfleet_core::ca::CaError;

use super::Environment;
use crate::{AccountKey, CertificateAuthority};

/// How many nodes start at the same moment.
const NODES: usize = 8;

/// The CA tells its time, and it does not go backwards.
pub async fn the_clock_is_told(environment: &dyn Environment) {
    let client = environment.client();
    let first = client.date().await.expect("the CA has a clock");
    assert!(client.date().await.expect("the CA has a clock") >= first);
}

/// No account is made without the operator's agreement.
pub async fn terms_must_be_agreed_to(environment: &dyn Environment) {
    let key = AccountKey::generate().expect("a key can be drawn");
    let client = environment.client();
    let refused = client.register(&key, &[], false).await;
    assert!(matches!(&refused, Err(CaError::Refused(problem)) if problem.detail.contains("agree_tos")), "{refused:?}");
    assert_eq!(client.find_account(&key).await, Ok(None));
}

/// However many nodes register the same key at once, and again later, there is one account.
pub async fn one_key_has_one_account(environment: &dyn Environment) {
    let key = AccountKey::generate().expect("a key can be drawn");
    let contact = ["mailto:ops@example.com".to_owned()];
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..NODES {
        let (client, key, contact) = (Arc::<dyn CertificateAuthority>::from(environment.client()), key.clone(), contact.clone());
        nodes.spawn(async move { client.register(&key, &contact, true).await });
    }
    let urls: Vec<String> = nodes.join_all().await.into_iter().map(|made| made.expect("every node gets the account")).collect();
    assert!(urls.iter().all(|url| *url == urls[0]), "{urls:?}");
    let again = environment.client().register(&key, &contact, true).await;
    assert_eq!(again.as_ref(), Ok(&urls[0]));
}

/// An account is found by its key alone, and only if there is one.
pub async fn an_account_is_found_by_its_key(environment: &dyn Environment) {
    let (key, other) = (AccountKey::generate().expect("a key"), AccountKey::generate().expect("a key"));
    let url = environment.client().register(&key, &[], true).await.expect("the account is made");
    assert_eq!(environment.client().find_account(&key).await, Ok(Some(url)));
    assert_eq!(environment.client().find_account(&other).await, Ok(None));
}
