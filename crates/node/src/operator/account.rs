//! What commands do to the fleet's ACME account.

use certfleet_acme::AccountKey;
use certfleet_core::envelope::Expect;
use certfleet_core::key::RecordKey;
use certfleet_core::records::{AccountKeyRecord, AccountRecord};
use certfleet_core::secret::Secret;
use certfleet_core::time::Timestamp;
use certfleet_store::{Settled, put_settled};

use super::{Machine, OperatorError, refused};
use crate::membership::read;
use crate::refusal::unusable_key;
use crate::trust;

/// The account key, if there is one, and the accounts it is registered as.
pub async fn account_show(machine: &Machine) -> Result<(Option<AccountKeyRecord>, Vec<AccountRecord>), OperatorError> {
    let (store, _) = machine.fleet_store().await?;
    let key = read::<AccountKeyRecord>(store.as_ref(), &RecordKey::AccountKey).await?.map(|(record, _)| record);
    let listing = store.list("accounts").await?;
    let accounts = listing.entries.into_iter().filter_map(|(_, stored)| stored.envelope.record().ok()).collect();
    Ok((key, accounts))
}

/// The account key as PKCS#8 in PEM.
pub async fn account_export(machine: &Machine) -> Result<Secret, OperatorError> {
    match account_show(machine).await?.0 {
        Some(record) => Ok(trust::open(&record.key)),
        None => refused("the fleet has no account key yet", "a node with the role `issue` makes one when it runs; or import yours"),
    }
}

/// Makes `pem` the fleet's account key. Only before another key is in use, unless `replace`.
pub async fn account_import(machine: &Machine, pem: &str, replace: bool) -> Result<(String, bool), OperatorError> {
    let key = AccountKey::from_pem(pem).map_err(unusable_key)?;
    let (store, identity) = machine.fleet_store().await?;
    let before = read::<AccountKeyRecord>(store.as_ref(), &RecordKey::AccountKey).await?;
    let expect = match before {
        Some((record, _)) if record.thumbprint == key.thumbprint() => return Ok((record.thumbprint, false)),
        Some((record, _)) if !replace => {
            return refused(
                format!("the fleet has another account key already (thumbprint {})", record.thumbprint),
                "with `--replace` it is replaced, and the accounts are registered anew with the imported one",
            );
        }
        Some((_, revision)) => Expect::Revision(revision),
        None => Expect::Absent,
    };
    let record = AccountKeyRecord {
        thumbprint: key.thumbprint(),
        created_at: Timestamp::now(),
        key: trust::seal(&key.to_pem()),
        extra: Default::default(),
    };
    let envelope = trust::wrap(&identity.node, &record)?;
    match put_settled(store.as_ref(), &RecordKey::AccountKey.key(), &envelope, &expect).await? {
        Settled::Done(_) => Ok((record.thumbprint, true)),
        Settled::Conflict => refused("another key was stored at the same moment", "look with `certfleet account show`"),
    }
}
