//! Actions about the fleet's ACME account: its key, registering it, rolling it over.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use certfleet_acme::{AccountKey, AccountRef};
use certfleet_core::decide::Readers;
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::names::IssuerName;
use certfleet_core::records::{AccountKey as SealedKey, AccountKeyRecord, AccountRecord};
use certfleet_core::spec::KeyType;
use certfleet_core::view::Outcome;

use super::{ActionError, Done, Executor};
use crate::crash;
use crate::trust::ACCOUNT_PURPOSE;

/// An account key as it was sealed, and opened.
#[derive(Debug, Default)]
pub struct OpenedAccountKey(ArcSwapOption<(SealedKey, AccountKey)>);

impl Executor {
    fn account_key_record(&self) -> Result<AccountKeyRecord, ActionError> {
        self.kept(&RecordKey::AccountKey)?.ok_or_else(|| ActionError::Other("the fleet has no account key yet".into()))
    }

    /// Every step of every order needs it: it is opened once.
    fn open_account_key(&self, key: &SealedKey) -> Result<AccountKey, ActionError> {
        let known = self.opened.0.load_full().filter(|known| known.0 == *key);
        if let Some(known) = known {
            return Ok(known.1.clone());
        }
        let opened = self.opened_anew(key)?;
        self.opened.0.store(Some(Arc::new((key.clone(), opened.clone()))));
        Ok(opened)
    }

    fn opened_anew(&self, key: &SealedKey) -> Result<AccountKey, ActionError> {
        let secret = self.open(&key.key, ACCOUNT_PURPOSE, &key.spki)?;
        let pem = secret.expose_text().ok_or_else(|| ActionError::Other("accounts/@key: the key is not PEM".into()))?;
        AccountKey::from_pem(pem).map_err(|e| ActionError::Other(format!("accounts/@key: {e}")))
    }

    /// The account key with this thumbprint: the one in use, or the next.
    fn account_key(&self, thumbprint: &str) -> Result<AccountKey, ActionError> {
        let record = self.account_key_record()?;
        let key = record.keys().find(|key| key.thumbprint == thumbprint);
        let key = key.ok_or_else(|| ActionError::Other(format!("the fleet has no account key with thumbprint {thumbprint} any more")))?;
        self.open_account_key(key)
    }

    pub(super) fn account(&self, issuer: &IssuerName) -> Result<AccountRef, ActionError> {
        let record: Option<AccountRecord> = self.kept(&RecordKey::Account(issuer.clone()))?;
        let record = record.ok_or_else(|| ActionError::Other(format!("the fleet has no account at issuer {issuer} yet")))?;
        Ok(AccountRef { key: self.account_key(&record.thumbprint)?, url: record.url })
    }

    async fn fresh_account_key(&self, readers: &Readers, after_removals: u64) -> Result<SealedKey, ActionError> {
        let failed = |error: certfleet_acme::KeyError| ActionError::Other(error.to_string());
        let pem = self.keys.draw(KeyType::EcdsaP256).await.map_err(failed)?;
        let pem = pem.expose_text().ok_or_else(|| ActionError::Other("the account key drawn is not PEM".into()))?;
        let key = AccountKey::from_pem(pem).map_err(failed)?;
        seal_account_key(&self.pen, &key, readers, after_removals, self.clock.now().wall)
    }

    pub(super) async fn create_account_key(&self, readers: Readers, after_removals: u64, expect: Expect) -> Done {
        let current = self.fresh_account_key(&readers, after_removals).await?;
        let thumbprint = current.thumbprint.clone();
        let record = AccountKeyRecord { current, next: None, extra: Default::default() };
        crash::point("before-store", "account-key");
        let (found, done) = self.put(&RecordKey::AccountKey, &record, &expect).await?;
        crash::point("after-store", "account-key");
        if done {
            tracing::info!(event = "account-key-made", thumbprint = %thumbprint);
        }
        Ok((vec![found], Outcome::Done))
    }

    /// The next key is in the store before any CA hears of it.
    pub(super) async fn prepare_account_key(&self, readers: Readers, after_removals: u64, expect: Expect) -> Done {
        let next = self.fresh_account_key(&readers, after_removals).await?;
        let record = AccountKeyRecord { next: Some(next.clone()), ..self.account_key_record()? };
        crash::point("before-store", "next-account-key");
        let (found, done) = self.put(&RecordKey::AccountKey, &record, &expect).await?;
        crash::point("after-store", "next-account-key");
        if done {
            tracing::info!(event = "next-account-key-made", thumbprint = %next.thumbprint);
        }
        Ok((vec![found], Outcome::Done))
    }

    pub(super) async fn register(&self, issuer: IssuerName, contact: Vec<String>, mut account: AccountRecord, expect: Expect) -> Done {
        let (authority, key) = (self.authority(&issuer)?, self.account_key(&account.thumbprint)?);
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

    /// Safe to be done again: a CA that has taken the next key says so.
    pub(super) async fn roll_account(&self, issuer: IssuerName, account: AccountRecord, expect: Expect) -> Done {
        let record = self.account_key_record()?;
        let next = record.next.as_ref().filter(|next| next.thumbprint == account.thumbprint);
        let next = next.ok_or_else(|| ActionError::Other("the account's next key is not there any more".into()))?;
        let old = AccountRef { url: account.url.clone(), key: self.open_account_key(&record.current)? };
        let next = self.open_account_key(next)?;
        crash::point("before-ca", "roll-key");
        let rolled = self.authority(&issuer)?.roll_key(&old, &next).await;
        crash::point("after-ca", "roll-key");
        if let Err(error) = rolled {
            tracing::warn!(event = "account-not-rolled", issuer = %issuer, error = %error);
            return Ok((Vec::new(), Outcome::Registered(issuer, Err(error))));
        }
        crash::point("before-store", "rolled-account");
        let (found, done) = self.put(&RecordKey::Account(issuer.clone()), &account, &expect).await?;
        crash::point("after-store", "rolled-account");
        if done {
            tracing::info!(event = "account-rolled", issuer = %issuer, account = %account.url, thumbprint = %account.thumbprint);
        }
        Ok((vec![found], Outcome::Registered(issuer, Ok(()))))
    }
}

/// An account key as it stands in the store.
pub(crate) fn seal_account_key(
    pen: &crate::trust::Pen,
    key: &AccountKey,
    readers: &Readers,
    after_removals: u64,
    created_at: certfleet_core::time::Timestamp,
) -> Result<SealedKey, ActionError> {
    let pem = key.to_pem();
    let spki = certfleet_acme::spki_of_key(&pem).map_err(|e| ActionError::Other(format!("the account key: {e}")))?;
    let sealed = pen.seal(&pem, ACCOUNT_PURPOSE, &spki, readers).map_err(|e| ActionError::Other(e.to_string()))?;
    Ok(SealedKey { thumbprint: key.thumbprint(), spki, created_at, after_removals, key: sealed })
}
