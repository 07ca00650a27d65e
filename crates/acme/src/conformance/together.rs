//! What happens at the same time.

use super::{Environment, account, answered_names, check_chain, fetch, finish, key_and_csr, make_ready};

/// How many orders one client drives at once.
const ORDERS: usize = 8;

/// Two nodes that believe to hold the same order, with the CSR of its record: both get the one certificate.
///
/// They act at the same time but for one moment: the second finalizes when the CA has answered the first. A CA that looks at an order's status
/// and changes it in two steps (pebble is one) issues twice when both requests arrive between them, and no client can see that.
pub async fn two_holders_of_one_order_get_one_certificate(environment: &dyn Environment) {
    let account = account(environment).await;
    let names = answered_names(environment, &account, 1).await;
    let csr = key_and_csr(&names);
    let before = environment.issued().await;
    let (one, other) = (environment.client(), environment.client());
    let url = one.new_order(&account, &names, None).await.expect("the order is taken").url;
    let (first, second) = tokio::join!(make_ready(&*one, &account, &url), make_ready(&*other, &account, &url));
    first.expect("the first holder has it validated");
    second.expect("the second holder has it validated");
    one.finalize(&account, &url, &csr.csr_der).await.expect("the first holder finalizes");
    other.finalize(&account, &url, &csr.csr_der).await.expect("that the order is finalized is no error to the second holder");
    let (first, second) = tokio::join!(fetch(&*one, &account, &url), fetch(&*other, &account, &url));
    let (first, second) = (first.expect("the first holder gets it"), second.expect("the second holder gets it"));
    assert_eq!(check_chain(&first, &names, &csr), check_chain(&second, &names, &csr));
    assert_eq!(environment.issued().await, before + 1, "one certificate was issued");
}

/// Orders at the same time through one client do not mix up.
pub async fn many_orders_at_once(environment: &dyn Environment) {
    let account = account(environment).await;
    let before = environment.issued().await;
    let client = std::sync::Arc::<dyn crate::CertificateAuthority>::from(environment.client());
    let mut orders = tokio::task::JoinSet::new();
    for name in answered_names(environment, &account, ORDERS).await {
        let (client, account) = (client.clone(), account.clone());
        orders.spawn(async move {
            let names = [name];
            let csr = key_and_csr(&names);
            let url = client.new_order(&account, &names, None).await.expect("the order is taken").url;
            let chain = finish(&*client, &account, &url, &csr).await.expect("the certificate is issued");
            check_chain(&chain, &names, &csr)
        });
    }
    let leaves = orders.join_all().await;
    let serials: std::collections::BTreeSet<_> = leaves.into_iter().map(|leaf| leaf.serial).collect();
    assert_eq!((serials.len(), environment.issued().await), (ORDERS, before + ORDERS));
}
