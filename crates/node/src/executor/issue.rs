//! Actions that make keys and talk to a CA.

use std::sync::Arc;

use certfleet_acme::{AccountKey, AccountRef, CertificateAuthority, make_key_and_csr};
use certfleet_core::ca::CaError;
use certfleet_core::decide::Call;
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::{CertName, Generation, Identifier, IssuerName};
use certfleet_core::records::{AccountKeyRecord, AccountRecord, PrivateKeyRecord, VersionRecord};
use certfleet_core::spec::KeyType;
use certfleet_core::view::{CaReply, MadeKey, Outcome};
use certfleet_core::x509::Leaf;

use super::{ActionError, Done, Executor, Found};
use crate::{crash, trust};

impl Executor {
    fn authority(&self, issuer: &IssuerName) -> Result<&Arc<dyn CertificateAuthority>, ActionError> {
        self.authorities.get(issuer).ok_or_else(|| ActionError::Other(format!("issuer {issuer} is not in this node's configuration")))
    }

    /// The account key of the fleet.
    async fn account_key(&self) -> Result<AccountKey, ActionError> {
        let (_, stored) = self.read(&RecordKey::AccountKey.key()).await?;
        let stored = stored.ok_or_else(|| ActionError::Other("the fleet has no account key yet".into()))?;
        let record: AccountKeyRecord = stored.envelope.record().map_err(|e| ActionError::Other(format!("accounts/@key: {e}")))?;
        let secret = trust::open(&record.key);
        let pem = secret.expose_text().ok_or_else(|| ActionError::Other("accounts/@key: the key is not PEM".into()))?;
        AccountKey::from_pem(pem).map_err(|e| ActionError::Other(format!("accounts/@key: {e}")))
    }

    async fn account(&self, issuer: &IssuerName) -> Result<AccountRef, ActionError> {
        let (_, stored) = self.read(&RecordKey::Account(issuer.clone()).key()).await?;
        let stored = stored.ok_or_else(|| ActionError::Other(format!("the fleet has no account at issuer {issuer} yet")))?;
        let record: AccountRecord = stored.envelope.record().map_err(|e| ActionError::Other(format!("accounts/{issuer}: {e}")))?;
        Ok(AccountRef { url: record.url, key: self.account_key().await? })
    }

    pub(super) async fn create_account_key(&self) -> Done {
        let key = AccountKey::generate().map_err(|e| ActionError::Other(e.to_string()))?;
        let record = AccountKeyRecord {
            thumbprint: key.thumbprint(),
            created_at: self.clock.now().wall,
            key: trust::seal(&key.to_pem()),
            extra: Default::default(),
        };
        crash::point("before-store", "account-key");
        let (found, done) = self.put(&RecordKey::AccountKey, &record, &Expect::Absent).await?;
        crash::point("after-store", "account-key");
        if done {
            tracing::info!(event = "account-key-made", thumbprint = %record.thumbprint);
        }
        Ok((vec![found], Outcome::Done))
    }

    pub(super) async fn register(&self, issuer: IssuerName, contact: Vec<String>, mut account: AccountRecord, expect: Expect) -> Done {
        let (authority, key) = (self.authority(&issuer)?, self.account_key().await?);
        crash::point("before-ca", "register");
        let registered = authority.register(&key, &contact, true).await;
        crash::point("after-ca", "register");
        let url = match registered {
            Ok(url) => url,
            Err(error) => {
                tracing::warn!(event = "account-not-registered", issuer = %issuer, error = %error);
                return Ok((Vec::new(), Outcome::Registered(issuer, Err(error))));
            }
        };
        account.url = url;
        account.registered_at = self.clock.now().wall;
        let (found, done) = self.put(&RecordKey::Account(issuer.clone()), &account, &expect).await?;
        if done {
            tracing::info!(event = "account-registered", issuer = %issuer, account = %account.url);
        }
        Ok((vec![found], Outcome::Registered(issuer, Ok(()))))
    }

    pub(super) async fn check_clock(&self, issuer: IssuerName) -> Done {
        let date = self.authority(&issuer)?.date().await;
        let own = self.clock.now().wall;
        let ahead = date.map(|ca| own.as_second().saturating_sub(ca.as_second()));
        if let Err(error) = &ahead {
            tracing::warn!(event = "ca-unreachable", issuer = %issuer, error = %error);
        }
        Ok((Vec::new(), Outcome::ClockChecked(issuer, ahead)))
    }

    /// The key is stored before any CSR names it.
    pub(super) async fn make_key(&self, cert: CertName, number: Generation, kind: KeyType, names: Vec<Identifier>) -> Done {
        let made = tokio::task::spawn_blocking(move || make_key_and_csr(kind, &names)).await;
        let made = made.map_err(|e| ActionError::Other(e.to_string()))?.map_err(|e| ActionError::Other(format!("{cert}: {e}")))?;
        let record = PrivateKeyRecord {
            cert: cert.clone(),
            spki: made.spki.clone(),
            created_at: self.clock.now().wall,
            key: trust::seal(&made.key_pem),
            extra: Default::default(),
        };
        crash::point("before-store", "key");
        let (_, done) = self.put(&RecordKey::PrivateKey(made.spki.clone()), &record, &Expect::Absent).await?;
        crash::point("after-store", "key");
        if !done {
            return Err(ActionError::Other(format!("{cert}: a fresh key's hash is in the store already")));
        }
        Ok((Vec::new(), Outcome::KeyMade(cert, number, MadeKey { key: made.spki, csr: made.csr_der })))
    }

    pub(super) async fn call(&self, cert: CertName, number: Generation, issuer: IssuerName, call: Call) -> Done {
        let (authority, account) = (self.authority(&issuer)?, self.account(&issuer).await?);
        let name = call.name();
        crash::point("before-ca", name);
        let reply = ask(authority.as_ref(), &account, call).await;
        crash::point("after-ca", name);
        self.metrics.ca_call(&issuer, name, reply.is_ok());
        match &reply {
            Ok(_) => tracing::debug!(event = "ca-call", cert = %cert, attempt = number.0, call = name),
            Err(error) => tracing::warn!(event = "ca-call-failed", cert = %cert, attempt = number.0, call = name, error = %error),
        }
        Ok((Vec::new(), Outcome::Called(cert, number, issuer, reply)))
    }

    /// Created once; of two holders who both store it, the second takes what the first wrote.
    pub(super) async fn store_version(&self, cert: CertName, version: VersionRecord) -> Done {
        let number = version.generation;
        crash::point("before-store", "version");
        let (found, _) = self.put(&RecordKey::Version(cert.clone(), number), &version, &Expect::Absent).await?;
        crash::point("after-store", "version");
        let hash = stored_version(&found, &version)?;
        Ok((Vec::new(), Outcome::VersionStored(cert, number, hash)))
    }
}

/// The hash of what stands there now, if it is the same certificate.
fn stored_version(found: &Found, version: &VersionRecord) -> Result<certfleet_core::names::VersionHash, ActionError> {
    let (key, stored) = found;
    let stored = stored.as_ref().ok_or_else(|| ActionError::Other(format!("{key} vanished while it was written")))?;
    let there: VersionRecord = stored.envelope.record().map_err(|e| ActionError::Other(format!("{key}: {e}")))?;
    let leaf = |chain: &str| Leaf::from_pem(chain).map(|leaf| leaf.fingerprint).map_err(|e| ActionError::Other(format!("{key}: {e}")));
    if leaf(&there.chain)? != leaf(&version.chain)? {
        return Err(ActionError::Other(format!("{key} holds another certificate than the CA issued for this attempt")));
    }
    Ok(stored.envelope.body_hash())
}

async fn ask(authority: &dyn CertificateAuthority, account: &AccountRef, call: Call) -> Result<CaReply, CaError> {
    match call {
        Call::NewOrder(names, profile) => authority.new_order(account, &names, profile.as_deref()).await.map(CaReply::Order),
        Call::Look(order) => authority.order(account, &order).await.map(CaReply::Order),
        Call::Ready(challenges) => {
            for challenge in &challenges {
                authority.challenge_ready(account, challenge).await?;
            }
            Ok(CaReply::Told(challenges))
        }
        Call::Finalize(order, csr) => authority.finalize(account, &order, &csr).await.map(|()| CaReply::Finalized),
        Call::Fetch(order) => {
            let chain = authority.certificate(account, &order).await?;
            let leaf = Leaf::from_pem(&chain).map_err(|e| CaError::Malformed(format!("the certificate of order {order}: {e}")))?;
            Ok(CaReply::Chain(Box::new(leaf), chain))
        }
    }
}
