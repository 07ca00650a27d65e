//! The client against a real CA: the conformance suite, and what only a real CA does.

mod support;

use std::time::Duration;

use certfleet_acme::{
    AccountKey, AccountRef, CertificateAuthority, Client, CsrFacts, Roots, conformance, csr_with_key, inspect_csr, make_key_and_csr,
    verify_chain,
};
use certfleet_core::ca::{CaError, OrderStatus};
use certfleet_core::spec::KeyType;
use certfleet_core::x509::Leaf;
use certfleet_testkit::eventually;
use certfleet_testkit::pebble::PebbleOptions;
use conformance::Environment;
use support::Laboratory;

const LIMIT: Duration = Duration::from_secs(20);

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let Some(laboratory) = Laboratory::start(|_| {}).await else { return };
            conformance::$case(&laboratory).await;
        }
    )*};
}

conformance!(
    the_clock_is_told,
    terms_must_be_agreed_to,
    one_key_has_one_account,
    an_account_is_found_by_its_key,
    an_order_gives_a_certificate,
    any_client_goes_on_at_any_step,
    a_failed_validation_says_why,
    a_missing_order_is_not_found,
    two_holders_of_one_order_get_one_certificate,
    many_orders_at_once,
    a_rolled_account_goes_on,
    a_key_of_another_account_is_refused,
    nodes_that_roll_at_once_agree,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_while_half_of_all_nonces_are_rejected() {
    let Some(laboratory) = Laboratory::start(|options| options.nonce_reject_percent = 50).await else { return };
    conformance::all(&laboratory).await;
    let asked = laboratory.pebble.log().matches("/order-plz -> calling handler()").count();
    let placed = laboratory.pebble.orders_seen();
    assert!(asked > placed, "{placed} orders took only {asked} requests: no nonce was rejected");
}

#[tokio::test]
async fn the_whole_suite_runs_in_one_environment() {
    let Some(laboratory) = Laboratory::start(|_| {}).await else { return };
    conformance::all(&laboratory).await;
    // Most of the thirteen cases make one account; a clock that is asked and terms that are not agreed to make none, one case makes two.
    assert_eq!(laboratory.pebble.accounts_seen(), 11 + 1);
    assert_eq!(laboratory.pebble.issued().len(), 1 + 1 + 1 + 8 + 3);
}

#[tokio::test]
async fn an_order_that_is_ready_at_once_gives_a_certificate() {
    let change = |options: &mut PebbleOptions| (options.authz_reuse_percent, options.certificate_validity_seconds) = (100, Some(3600));
    let Some(laboratory) = Laboratory::start(change).await else { return };
    let client = laboratory.connect();
    let account = account(&client).await;
    let names = [laboratory.answered_name(&account.key.thumbprint()).await];
    let first = client.new_order(&account, &names, None).await.expect("order");
    for challenge in first.authorizations.iter().flat_map(|one| &one.challenges).filter(|one| one.kind.is_some()) {
        client.challenge_ready(&account, &challenge.url).await.expect("ready");
    }
    until(&client, &account, &first.url, OrderStatus::Ready).await;
    let second = client.new_order(&account, &names, Some("unknown-to-pebble")).await.expect("order");
    assert_eq!((second.status, second.authorizations.len()), (OrderStatus::Ready, 0));
    assert_ne!(second.url, first.url);
    let csr = make_key_and_csr(KeyType::EcdsaP384, &names).expect("key").csr_der;
    client.finalize(&account, &second.url, &csr).await.expect("finalized");
    until(&client, &account, &second.url, OrderStatus::Valid).await;
    let leaf = Leaf::from_pem(&client.certificate(&account, &second.url).await.expect("certificate")).expect("chain");
    let seconds = leaf.not_after.duration_since(leaf.not_before).as_secs();
    assert!((3590..=3610).contains(&seconds), "{seconds}");
    assert_eq!((laboratory.pebble.orders_seen(), laboratory.pebble.issued()), (2, vec![leaf.serial]));
}

#[tokio::test]
async fn a_key_that_exists_is_certified_by_a_chain_to_the_cas_root() {
    let Some(laboratory) = Laboratory::start(|_| {}).await else { return };
    let client = laboratory.connect();
    let account = account(&client).await;
    let names = [laboratory.answered_name(&account.key.thumbprint()).await];
    let made = make_key_and_csr(KeyType::Rsa2048, &names).expect("key");
    let csr = csr_with_key(made.key_pem.expose_text().expect("PEM"), &names).expect("CSR");
    assert_eq!(inspect_csr(&csr), Ok(CsrFacts { names: names.to_vec(), key: made.spki.clone() }));
    let order = client.new_order(&account, &names, None).await.expect("order");
    for challenge in order.authorizations.iter().flat_map(|one| &one.challenges).filter(|one| one.kind.is_some()) {
        client.challenge_ready(&account, &challenge.url).await.expect("ready");
    }
    until(&client, &account, &order.url, OrderStatus::Ready).await;
    client.finalize(&account, &order.url, &csr).await.expect("finalized");
    until(&client, &account, &order.url, OrderStatus::Valid).await;
    let chain = client.certificate(&account, &order.url).await.expect("certificate");
    assert_eq!(Leaf::from_pem(&chain).expect("leaf").key, made.spki);

    let (now, root) = (client.date().await.expect("clock"), laboratory.pebble.issuing_root().await);
    let roots = Roots::from_pem(&root).expect("root");
    assert_eq!(verify_chain(&chain, &roots, now), Ok(()));
    assert_eq!(verify_chain(&(chain.clone() + &root), &roots, now), Ok(()), "with the root itself");
    assert_eq!(verify_chain(&chain, &Roots::none(), now), Ok(()));
    let wrong = Roots::from_pem(&laboratory.pebble.root_pem()).expect("root").of("https-root.pem");
    let error = verify_chain(&chain, &wrong, now).expect_err("the root of pebble's own HTTPS issues no certificates").to_string();
    assert!(error.contains("Pebble Root CA") && error.ends_with("the 1 root of https-root.pem"), "{error}");
}

#[tokio::test]
async fn a_ca_that_wants_an_external_account_says_so() {
    let keys = vec![("kid-1".to_owned(), "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W".to_owned())];
    let Some(laboratory) = Laboratory::start(|options| options.external_account_keys = keys).await else { return };
    let refused = laboratory.connect().register(&AccountKey::generate().expect("key"), &[], true).await;
    assert!(matches!(&refused, Err(CaError::Refused(problem)) if problem.kind == "externalAccountRequired"), "{refused:?}");
}

#[tokio::test]
async fn a_ca_that_is_gone_is_unreachable_and_comes_back() {
    let Some(mut laboratory) = Laboratory::start(|_| {}).await else { return };
    let client = laboratory.connect();
    client.date().await.expect("the CA is there");
    laboratory.pebble.kill();
    let host = laboratory.pebble.directory_url().replace("https://", "").replace("/dir", "");
    // The first request may still meet the old connection.
    let refused = eventually("the connection is refused", LIMIT, async || match client.date().await {
        Err(CaError::Unreachable(why)) if why.contains(&host) => why.contains("refused").then_some(why),
        other => panic!("{other:?}"),
    });
    refused.await;
    laboratory.pebble.restart().await;
    client.date().await.expect("the CA is back");
}

#[tokio::test]
async fn an_untrusted_ca_tells_about_root() {
    let Some(laboratory) = Laboratory::start(|_| {}).await else { return };
    let Some(other) = Laboratory::start(|_| {}).await else { return };
    let wrong = Client::new(&laboratory.pebble.directory_url(), Some(&other.pebble.root_pem())).expect("client");
    let refused = wrong.date().await.expect_err("another root is trusted");
    assert!(matches!(&refused, CaError::Unreachable(why) if why.contains("`root`")), "{refused}");
}

async fn account(client: &Client) -> AccountRef {
    let key = AccountKey::generate().expect("key");
    AccountRef { url: client.register(&key, &[], true).await.expect("account"), key }
}

async fn until(client: &Client, account: &AccountRef, url: &str, status: OrderStatus) {
    eventually("the order moves on", LIMIT, async || {
        let order = client.order(account, url).await.expect("order");
        (order.status == status).then_some(())
    })
    .await;
}
