//! Account keys that are changed (RFC 8555 section 7.3.5).

use std::sync::Arc;

use certfleet_core::ca::{CaError, OrderStatus};

use super::{Environment, account, answered_names, challenges, check_chain, finish, key_and_csr, until};
use crate::{AccountKey, AccountRef, CertificateAuthority};

/// How many nodes roll at the same moment.
const NODES: usize = 4;

/// Orders from before the roll, pending and ready, are finished with the new key, and new ones can be made; the old key is refused; rolling
/// again changes nothing.
pub async fn a_rolled_account_goes_on(environment: &dyn Environment) {
    let old = account(environment).await;
    let new = AccountRef { url: old.url.clone(), key: AccountKey::generate().expect("a key can be drawn") };
    let client = environment.client();
    let names = [answered_names(environment, &old, 1).await, answered_names(environment, &new, 1).await];
    let [ready, pending] = [
        client.new_order(&old, &names[0], None).await.expect("the order is taken"),
        client.new_order(&old, &names[1], None).await.expect("the order is taken"),
    ];
    for challenge in challenges(&ready) {
        client.challenge_ready(&old, &challenge).await.expect("told ready");
    }
    until(&*client, &old, &ready.url, &[OrderStatus::Ready]).await.expect("validated");

    client.roll_key(&old, &new.key).await.expect("the key is rolled");
    environment.client().roll_key(&old, &new.key).await.expect("rolled again, as after a crash");
    environment.client().roll_key(&new, &new.key).await.expect("rolled to the key that it has");
    assert_eq!(environment.client().find_account(&new.key).await, Ok(Some(old.url.clone())));
    assert_eq!(environment.client().find_account(&old.key).await, Ok(None));
    let refused = environment.client().order(&old, &pending.url).await;
    assert!(matches!(refused, Err(CaError::Refused(_))), "the old key is the account's no more: {refused:?}");

    let seen = environment.client().order(&new, &pending.url).await.expect("the order is found");
    assert_eq!(seen.status, OrderStatus::Pending);
    let again = answered_names(environment, &new, 1).await;
    let later = client.new_order(&new, &again, None).await.expect("an order by the new key is taken");
    for (url, names) in [(&ready.url, &names[0]), (&pending.url, &names[1]), (&later.url, &again)] {
        let csr = key_and_csr(names);
        let chain = finish(&*environment.client(), &new, url, &csr).await.expect("the certificate is issued");
        check_chain(&chain, names, &csr);
    }
}

/// A key belongs to one account: rolling to another account's key, or with a key that is not the account's, changes nothing.
pub async fn a_key_of_another_account_is_refused(environment: &dyn Environment) {
    let (one, other) = (account(environment).await, account(environment).await);
    let client = environment.client();
    let refused = client.roll_key(&one, &other.key).await;
    assert!(matches!(&refused, Err(CaError::Refused(problem)) if problem.detail.contains(&other.url)), "{refused:?}");
    let strange = AccountRef { url: one.url.clone(), key: AccountKey::generate().expect("a key can be drawn") };
    let new = AccountKey::generate().expect("a key can be drawn");
    let refused = client.roll_key(&strange, &new).await;
    assert!(matches!(refused, Err(CaError::Refused(_))), "{refused:?}");
    for (account, url) in [(&one.key, Some(&one.url)), (&other.key, Some(&other.url)), (&new, None), (&strange.key, None)] {
        assert_eq!(client.find_account(account).await.expect("the CA answers").as_ref(), url);
    }
}

/// Nodes that roll to the same key at the same time all succeed.
pub async fn nodes_that_roll_at_once_agree(environment: &dyn Environment) {
    let old = account(environment).await;
    let new = AccountKey::generate().expect("a key can be drawn");
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..NODES {
        let (client, old, new) = (Arc::<dyn CertificateAuthority>::from(environment.client()), old.clone(), new.clone());
        nodes.spawn(async move { client.roll_key(&old, &new).await });
    }
    assert_eq!(nodes.join_all().await, vec![Ok(()); NODES]);
    assert_eq!(environment.client().find_account(&new).await, Ok(Some(old.url)));
}
