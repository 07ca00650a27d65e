//! What every [`CertificateAuthority`] must do, as tests: the real client against a real CA passes them, and so must any CA that tests put
//! in its place.
//!
//! Each case takes an [`Environment`] of its own and panics, saying why, when the CA does something else. Cases wait by looking again, with a
//! bound, so they run on fake time too.

mod accounts;
mod issuance;
mod rollover;
mod together;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use certfleet_core::ca::{CaError, OrderStatus, OrderView};
use certfleet_core::names::Identifier;
use certfleet_core::spec::{ChallengeType, KeyType};
use certfleet_core::x509::Leaf;

use crate::{AccountKey, AccountRef, CertificateAuthority, KeyAndCsr, make_key_and_csr};

pub use accounts::{an_account_is_found_by_its_key, one_key_has_one_account, terms_must_be_agreed_to, the_clock_is_told};
pub use issuance::{
    a_failed_validation_says_why, a_missing_order_is_not_found, an_order_gives_a_certificate, any_client_goes_on_at_any_step,
};
pub use rollover::{a_key_of_another_account_is_refused, a_rolled_account_goes_on, nodes_that_roll_at_once_agree};
pub use together::{many_orders_at_once, two_holders_of_one_order_get_one_certificate};

/// How often an order is looked at until a case gives up.
const LOOKS_MAX: usize = 400;
/// How long between two looks.
const LOOK_MS: u64 = 50;

/// A CA, and names whose challenges can be answered.
#[async_trait]
pub trait Environment: Send + Sync + Debug {
    /// A client that shares nothing with those given before, as another node would have.
    fn client(&self) -> Box<dyn CertificateAuthority>;
    /// A name that no order had yet, whose http-01 challenges every node answers for the account key with this thumbprint.
    async fn answered_name(&self, thumbprint: &str) -> Identifier;
    /// A name that no order had yet, whose challenges fail: it resolves, and nobody answers rightly.
    async fn failing_name(&self) -> Identifier;
    /// How many certificates the CA has issued.
    async fn issued(&self) -> usize;
}

/// All cases, one after the other.
pub async fn all(environment: &dyn Environment) {
    the_clock_is_told(environment).await;
    terms_must_be_agreed_to(environment).await;
    one_key_has_one_account(environment).await;
    an_account_is_found_by_its_key(environment).await;
    an_order_gives_a_certificate(environment).await;
    any_client_goes_on_at_any_step(environment).await;
    a_failed_validation_says_why(environment).await;
    a_missing_order_is_not_found(environment).await;
    two_holders_of_one_order_get_one_certificate(environment).await;
    many_orders_at_once(environment).await;
    a_rolled_account_goes_on(environment).await;
    a_key_of_another_account_is_refused(environment).await;
    nodes_that_roll_at_once_agree(environment).await;
}

/// An account that was made by a client of its own.
async fn account(environment: &dyn Environment) -> AccountRef {
    let key = AccountKey::generate().expect("a key can be drawn");
    let url = environment.client().register(&key, &[], true).await.expect("the account is made");
    AccountRef { url, key }
}

async fn answered_names(environment: &dyn Environment, account: &AccountRef, count: usize) -> Vec<Identifier> {
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(environment.answered_name(&account.key.thumbprint()).await);
    }
    names
}

fn key_and_csr(names: &[Identifier]) -> KeyAndCsr {
    make_key_and_csr(KeyType::EcdsaP256, names).expect("a key can be drawn")
}

/// The http-01 challenges that are to be told "ready".
fn challenges(order: &OrderView) -> Vec<String> {
    let all = order.authorizations.iter().flat_map(|authorization| &authorization.challenges);
    all.filter(|challenge| challenge.kind == Some(ChallengeType::Http01)).map(|challenge| challenge.url.clone()).collect()
}

/// Looks at the order until it is in one of `states`.
async fn until(ca: &dyn CertificateAuthority, account: &AccountRef, url: &str, states: &[OrderStatus]) -> Result<OrderView, CaError> {
    for _ in 0..LOOKS_MAX {
        let order = ca.order(account, url).await?;
        if states.contains(&order.status) {
            return Ok(order);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    panic!("order {url} did not become one of {states:?} within {LOOKS_MAX} looks");
}

/// Drives an order to its certificate.
async fn finish(ca: &dyn CertificateAuthority, account: &AccountRef, url: &str, csr: &KeyAndCsr) -> Result<String, CaError> {
    make_ready(ca, account, url).await?;
    ca.finalize(account, url, &csr.csr_der).await?;
    fetch(ca, account, url).await
}

/// Has an order validated.
async fn make_ready(ca: &dyn CertificateAuthority, account: &AccountRef, url: &str) -> Result<(), CaError> {
    let order = ca.order(account, url).await?;
    for challenge in challenges(&order) {
        ca.challenge_ready(account, &challenge).await?;
    }
    until(ca, account, url, &[OrderStatus::Ready, OrderStatus::Valid, OrderStatus::Processing]).await.map(drop)
}

/// The certificate of an order that was finalized.
async fn fetch(ca: &dyn CertificateAuthority, account: &AccountRef, url: &str) -> Result<String, CaError> {
    until(ca, account, url, &[OrderStatus::Valid]).await?;
    ca.certificate(account, url).await
}

fn check_chain(chain: &str, names: &[Identifier], csr: &KeyAndCsr) -> Leaf {
    let leaf = Leaf::from_pem(chain).expect("the CA gives a chain");
    let sorted = |names: &[Identifier]| names.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&leaf.names), sorted(names), "the certificate has the names that were asked for");
    assert_eq!(leaf.key, csr.spki, "the certificate has the key of the CSR");
    leaf
}
