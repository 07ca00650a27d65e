//! The CA over HTTPS.
//!
//! Each call of the trait is one [`Call`](call::Call): it has the answers of its own, so that calls at the same time cannot mix up what the CA
//! said. What they share is the [`Transport`](transport::Transport): connections, unused nonces, the directory.

mod answer;
mod call;
mod directory;
mod failure;
#[cfg(fuzzing)]
mod fuzz;
mod jws;
mod key_change;
mod retry_after;
mod transport;
mod views;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use certfleet_core::ca::{CaError, OrderView, Problem};
use certfleet_core::names::Identifier;
use certfleet_core::time::Timestamp;
use instant_acme::{Account, AccountBuilder, ChallengeType, Error, NewOrder, OrderStatus};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::authority::{AccountRef, CertificateAuthority};
use crate::keys::AccountKey;
use call::{Call, Wire, persist};
use directory::Directory;
#[cfg(fuzzing)]
pub use fuzz::ScriptedAnswer;
use transport::Transport;

/// A CA by its directory. Cheap to make: nothing is read or connected before the first call.
pub struct Client {
    transport: Arc<Transport>,
    directory: Directory,
}

impl Client {
    /// A client for the CA at `directory`, which must be `https://`, or `http://` on a loopback address. `root_pem`: what to trust instead
    /// of the system's roots.
    pub fn new(directory: &str, root_pem: Option<&str>) -> Result<Self, CaError> {
        let transport = Arc::new(Transport::new(root_pem)?);
        Ok(Self { directory: Directory::new(directory)?, transport })
    }

    /// A library account, or the means to make one, that speaks in `call`. No request is made for the directory: it is known.
    async fn builder(&self, call: &Arc<Call>) -> Result<AccountBuilder, CaError> {
        call.rehearse([self.directory.document(&self.transport).await?]);
        let wire = Wire { transport: Arc::clone(&self.transport), call: Arc::clone(call) };
        Ok(Account::builder_with_http(Box::new(wire)))
    }

    /// Starts a call for `account`.
    async fn call_as(&self, account: &AccountRef) -> Result<(Arc<Call>, Account), CaError> {
        let call = Arc::new(Call::default());
        let key = PrivatePkcs8KeyDer::from(account.key.pkcs8().expose());
        let restored = self.builder(&call).await?.from_parts(account.url.clone(), key, self.directory.url()).await;
        restored.map(|account| (Arc::clone(&call), account)).map_err(|error| call.error(error))
    }

    /// newAccount (RFC 8555 section 7.3) with the account's key; what the CA's answer says is left in the call.
    async fn new_account(&self, key: &AccountKey, only_existing: bool) -> Result<(Arc<Call>, Account), CaError> {
        let call = Arc::new(Call::default());
        let account = persist!(call, make_account(self.builder(&call).await?, key, only_existing, self.directory.url()))?;
        Ok((call, account))
    }

    /// Whether the CA knows the account by `key`. That another account has it is a refusal.
    async fn has_key(&self, account: &AccountRef, key: &AccountKey) -> Result<bool, CaError> {
        match self.find_account(key).await? {
            Some(owner) if owner != account.url => {
                let detail = format!("the new key of account {} is that of account {owner} already: draw another", account.url);
                Err(CaError::Refused(Problem::new("", &detail, None)))
            }
            found => Ok(found.is_some()),
        }
    }
}

async fn make_account(builder: AccountBuilder, key: &AccountKey, only_existing: bool, directory: String) -> Result<Account, Error> {
    let signer = instant_acme::Key::from_pkcs8_der(PrivatePkcs8KeyDer::from(key.pkcs8().expose()))?;
    // The second half would only be handed back: no copy of the key is made for that.
    let pair = (signer, PrivatePkcs8KeyDer::from(Vec::new()).into());
    let (account, _) = match only_existing {
        true => builder.from_key(pair, directory).await?,
        false => builder.create_from_key(pair, directory).await?,
    };
    Ok(account)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.directory.url())
    }
}

#[async_trait]
impl CertificateAuthority for Client {
    async fn date(&self) -> Result<Timestamp, CaError> {
        self.directory.date(&self.transport).await
    }

    async fn register(&self, key: &AccountKey, contact: &[String], agree_tos: bool) -> Result<String, CaError> {
        if !agree_tos {
            let detail = "the CA's terms of service are not agreed to: read them, then set `agree_tos = true`";
            return Err(CaError::Refused(Problem::new("userActionRequired", detail, None)));
        }
        let (call, account) = self.new_account(key, false).await?;
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        if views::contact(&call.answer()) != contact {
            persist!(call, account.update_contacts(&contact))?;
        }
        Ok(account.id().to_owned())
    }

    async fn find_account(&self, key: &AccountKey) -> Result<Option<String>, CaError> {
        match self.new_account(key, true).await {
            Ok((_, account)) => Ok(Some(account.id().to_owned())),
            Err(CaError::Refused(problem)) if problem.kind == "accountDoesNotExist" => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn roll_key(&self, account: &AccountRef, new: &AccountKey) -> Result<(), CaError> {
        if self.has_key(account, new).await? {
            return Ok(());
        }
        match key_change::send(&self.transport, &self.directory, account, new).await {
            // Perhaps since another node was faster: then the old key, which signs, is the account's no more. A CA that was in the middle of that
            // may also answer that it failed.
            Err(CaError::Refused(_) | CaError::Busy { .. }) if self.has_key(account, new).await == Ok(true) => Ok(()),
            outcome => outcome,
        }
    }

    async fn new_order(&self, account: &AccountRef, names: &[Identifier], profile: Option<&str>) -> Result<OrderView, CaError> {
        let (call, account) = self.call_as(account).await?;
        let identifiers: Vec<_> = names.iter().map(views::identifier).collect();
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(profile) = profile {
            wanted = wanted.profile(profile);
        }
        let order = persist!(call, account.new_order(&wanted))?;
        views::order(&call, order).await
    }

    async fn order(&self, account: &AccountRef, url: &str) -> Result<OrderView, CaError> {
        let (call, account) = self.call_as(account).await?;
        let order = persist!(call, account.order(url.to_owned()))?;
        views::order(&call, order).await
    }

    async fn challenge_ready(&self, account: &AccountRef, challenge_url: &str) -> Result<(), CaError> {
        let (call, account) = self.call_as(account).await?;
        // The library says "ready" only by an order that it has read. Which order it is does not matter to the message: it reads one that
        // holds just this challenge, and no request is made for that.
        call.rehearse(views::order_around(challenge_url));
        let mut order = account.order(challenge_url.to_owned()).await.map_err(|error| call.error(error))?;
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.transpose().map_err(|error| call.error(error))?;
        let Some(mut challenge) = authorization.as_mut().and_then(|known| known.challenge(ChallengeType::Http01)) else {
            return Err(CaError::Malformed(format!("{challenge_url} cannot be told ready")));
        };
        match persist!(call, challenge.set_ready()) {
            // The CA took it, but the challenge holds an error: the order has the news.
            Err(_) if call.failure().is_none() => Ok(()),
            told => told.or_else(|error| look_again(error, "malformed")),
        }
    }

    async fn finalize(&self, account: &AccountRef, order_url: &str, csr_der: &[u8]) -> Result<(), CaError> {
        let (call, account) = self.call_as(account).await?;
        let mut order = persist!(call, account.order(order_url.to_owned()))?;
        if order.state().status != OrderStatus::Ready {
            return Ok(());
        }
        let done = persist!(call, order.finalize_csr(csr_der));
        done.or_else(|error| look_again(error, "orderNotReady"))
    }

    async fn certificate(&self, account: &AccountRef, order_url: &str) -> Result<String, CaError> {
        let (call, account) = self.call_as(account).await?;
        let mut order = persist!(call, account.order(order_url.to_owned()))?;
        let status = order.state().status;
        if status != OrderStatus::Valid {
            return Err(CaError::Malformed(format!("order {order_url} has no certificate: it is {status:?}")));
        }
        let chain = persist!(call, order.certificate())?;
        views::chain(order_url, chain)
    }
}

/// What another node of the fleet did first is no failure: the caller looks at the order again.
fn look_again(error: CaError, kind: &str) -> Result<(), CaError> {
    match error {
        CaError::Refused(problem) if problem.kind == kind => Ok(()),
        other => Err(other),
    }
}
