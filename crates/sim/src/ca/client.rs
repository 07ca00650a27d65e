//! What one node has of the CA.

use std::sync::Arc;

use async_trait::async_trait;
use certfleet_acme::{AccountKey, AccountRef, CertificateAuthority};
use certfleet_core::ca::{CaError, OrderView};
use certfleet_core::names::Identifier;
use certfleet_core::time::Timestamp;

use super::order::Stage;
use super::{Ca, not_found, refused};
use crate::link::{Link, Passed};

/// A node's way to the CA.
#[derive(Debug)]
pub struct Client {
    ca: Arc<Ca>,
    link: Arc<Link>,
}

impl Client {
    /// By this link.
    pub fn new(ca: &Arc<Ca>, link: &Arc<Link>) -> Self {
        Self { ca: ca.clone(), link: link.clone() }
    }

    async fn pass<T>(&self, what: &str, work: impl FnOnce() -> Result<T, CaError>) -> Result<T, CaError> {
        match self.link.pass(what, work).await {
            Passed::Answer(answer) => answer,
            Passed::NotSent | Passed::Lost => Err(CaError::Unreachable("no answer came".into())),
        }
    }

    fn known(&self, account: &AccountRef) -> Result<(), CaError> {
        self.ca.state().account(&account.url, &account.key.thumbprint())
    }
}

#[async_trait]
impl CertificateAuthority for Client {
    async fn date(&self) -> Result<Timestamp, CaError> {
        self.pass("the directory", || self.ca.state().is_up().map(|()| self.ca.now())).await
    }

    async fn register(&self, key: &AccountKey, _: &[String], agree_tos: bool) -> Result<String, CaError> {
        if !agree_tos {
            return Err(refused("userActionRequired", "agree to the terms: `agree_tos = true`", 403));
        }
        let make = || {
            let mut state = self.ca.state();
            state.is_taken()?;
            let known = state.account_of(&key.thumbprint());
            let url = known.unwrap_or_else(|| format!("https://ca/account/{}", state.accounts.len() + 1));
            state.accounts.insert(url.clone(), key.thumbprint());
            Ok(url)
        };
        self.pass("newAccount", make).await
    }

    async fn find_account(&self, key: &AccountKey) -> Result<Option<String>, CaError> {
        let find = || {
            let mut state = self.ca.state();
            state.is_taken().map(|()| state.account_of(&key.thumbprint()))
        };
        self.pass("newAccount", find).await
    }

    async fn roll_key(&self, account: &AccountRef, new: &AccountKey) -> Result<(), CaError> {
        let roll = || {
            let mut state = self.ca.state();
            state.is_taken()?;
            match state.account_of(&new.thumbprint()) {
                Some(url) if url == account.url => return Ok(()),
                Some(url) => return Err(refused("malformed", &format!("account {url} has that key"), 409)),
                None => state.account(&account.url, &account.key.thumbprint())?,
            }
            state.accounts.insert(account.url.clone(), new.thumbprint());
            Ok(())
        };
        self.pass("keyChange", roll).await
    }

    async fn new_order(&self, account: &AccountRef, names: &[Identifier], profile: Option<&str>) -> Result<OrderView, CaError> {
        self.pass("newOrder", || self.known(account).and_then(|()| self.ca.order_for(&account.url, names, profile))).await
    }

    async fn order(&self, account: &AccountRef, url: &str) -> Result<OrderView, CaError> {
        let look = || {
            self.known(account)?;
            self.ca.state().orders.get(url).map(|order| order.view(url)).ok_or_else(|| not_found("no such order"))
        };
        self.pass("the order", look).await
    }

    async fn challenge_ready(&self, account: &AccountRef, challenge_url: &str) -> Result<(), CaError> {
        self.pass("the challenge", || self.known(account).and_then(|()| self.ca.validate(challenge_url))).await
    }

    async fn finalize(&self, account: &AccountRef, order_url: &str, csr_der: &[u8]) -> Result<(), CaError> {
        self.pass("finalize", || self.known(account).and_then(|()| self.ca.take(order_url, csr_der))).await
    }

    async fn certificate(&self, account: &AccountRef, order_url: &str) -> Result<String, CaError> {
        let fetch = || {
            self.known(account)?;
            match self.ca.state().orders.get(order_url).map(|order| order.stage.clone()) {
                Some(Stage::Valid(chain)) => Ok(chain),
                Some(_) => Err(refused("orderNotReady", "there is no certificate yet", 403)),
                None => Err(not_found("no such order")),
            }
        };
        self.pass("the certificate", fetch).await
    }
}
