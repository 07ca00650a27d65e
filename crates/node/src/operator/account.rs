//! What commands do to the fleet's ACME account.

use certfleet_acme::AccountKey;
use certfleet_core::key::RecordKey;
use certfleet_core::records::{AccountKeyRecord, AccountRecord, WrapRecord};
use certfleet_core::secret::Secret;
use certfleet_core::time::Timestamp;
use certfleet_core::view::View;
use certfleet_store::{Settled, Store, put_settled};

use super::{Machine, OperatorError, refused};
use crate::executor::account::seal_account_key;
use crate::identity::Identity;
use crate::refusal::{Refusal, unusable_key};
use crate::trust::{ACCOUNT_PURPOSE, Pen};

/// The account key, if there is one, and the accounts it is registered as.
pub async fn account_show(machine: &Machine) -> Result<(Option<AccountKeyRecord>, Vec<AccountRecord>), OperatorError> {
    let (_, _, view) = machine.standing().await?;
    let accounts = view.accounts.values().map(|seen| seen.value.clone()).collect();
    Ok((view.account_key, accounts))
}

/// The account key as PKCS#8 in PEM.
pub async fn account_export(machine: &Machine) -> Result<Secret, OperatorError> {
    let (store, identity, view) = machine.standing().await?;
    let Some(record) = &view.account_key else {
        return refused("the fleet has no account key yet", "a node with the role `issue` makes one when it runs; or import yours");
    };
    let key = &record.current;
    let wrap = RecordKey::Wrap(key.spki.clone(), identity.node.clone()).key();
    let later = store.get(&wrap).await?.and_then(|stored| stored.envelope.record::<WrapRecord>().ok());
    let opened = Pen::new(&identity).open(&key.key, later.as_ref().map(|later| &later.wrap), ACCOUNT_PURPOSE, &key.spki);
    opened.map_err(|error| {
        let issuers: Vec<String> = key.key.wraps.keys().map(ToString::to_string).collect();
        Refusal::new(error.to_string(), format!("nodes with the role issue can read it: give the command on one of {}", issuers.join(", ")))
            .into()
    })
}

/// Makes `pem` the fleet's account key. Only before another key is in use, unless `replace`.
pub async fn account_import(machine: &Machine, pem: &str, replace: bool) -> Result<(String, bool), OperatorError> {
    let key = AccountKey::from_pem(pem).map_err(unusable_key)?;
    let (store, identity, view) = machine.issuing().await?;
    match &view.account_key {
        Some(record) if record.current.thumbprint == key.thumbprint() => return Ok((record.current.thumbprint.clone(), false)),
        Some(record) if !replace => {
            return refused(
                format!("the fleet has another account key already (thumbprint {})", record.current.thumbprint),
                "with `--replace` it is replaced, and the accounts are registered anew with the imported one",
            );
        }
        _ => {}
    }
    let current = sealed(&identity, &view, &key)?;
    let thumbprint = current.thumbprint.clone();
    write(store.as_ref(), &identity, &view, &AccountKeyRecord { current, next: None, extra: Default::default() }).await?;
    Ok((thumbprint, true))
}

/// Begins to roll the account key over to a fresh one; the daemons do the rest. Gives the old thumbprint and the new one. If a roll-over is
/// under way already, that is the one.
pub async fn account_rotate(machine: &Machine) -> Result<(String, String, bool), OperatorError> {
    let (store, identity, view) = machine.issuing().await?;
    let Some(record) = &view.account_key else {
        return refused("the fleet has no account key yet", "a node with the role `issue` makes one when it runs");
    };
    let old = record.current.thumbprint.clone();
    if let Some(next) = &record.next {
        return Ok((old, next.thumbprint.clone(), false));
    }
    let key = AccountKey::generate().map_err(unusable_key)?;
    let next = sealed(&identity, &view, &key)?;
    let thumbprint = next.thumbprint.clone();
    write(store.as_ref(), &identity, &view, &AccountKeyRecord { next: Some(next), ..record.clone() }).await?;
    Ok((old, thumbprint, true))
}

fn sealed(identity: &Identity, view: &View, key: &AccountKey) -> Result<certfleet_core::records::AccountKey, OperatorError> {
    let sealed = seal_account_key(&Pen::new(identity), key, &view.account_readers(), view.removals(), Timestamp::now());
    sealed.map_err(|error| Refusal::new(error.to_string(), "try again").into())
}

async fn write(store: &dyn Store, identity: &Identity, view: &View, record: &AccountKeyRecord) -> Result<(), OperatorError> {
    let key = RecordKey::AccountKey;
    let expect = view.base(&key.key());
    let envelope = Pen::new(identity).write(&key, record, &expect)?;
    match put_settled(store, &key.key(), &envelope, &expect).await? {
        Settled::Done(_) => Ok(()),
        Settled::Conflict => refused("another key was stored at the same moment", "look with `certfleet account show`"),
    }
}
