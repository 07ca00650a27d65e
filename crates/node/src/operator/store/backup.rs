//! `store backup`: all that counts, in one file.

use std::collections::BTreeMap;
use std::path::Path;

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::spec::Role;
use certfleet_core::time::Timestamp;
use certfleet_store::Store;

use super::super::{Machine, OperatorError, refused};
use super::file::{self, is_backed_up};
use super::records::{Records, sift};
use crate::disk;

/// In which order the store is read: who wrote a record joined before, and what a record refers to was written before it.
const PREFIXES: [&str; 10] = ["certs", "requests", "accounts", "invitations", "nodes", "fleet", "home", "wraps", "keys", "versions"];

/// What a backup holds.
#[derive(Debug)]
pub struct BackedUp {
    /// The file's text.
    pub text: String,
    /// How many records of each kind.
    pub counts: BTreeMap<&'static str, usize>,
    /// What stands in the store and was left out, and why.
    pub left_out: Vec<(Key, String)>,
}

/// Makes a backup of everything in the store that counts.
pub async fn store_backup(machine: &Machine, at: Timestamp) -> Result<BackedUp, OperatorError> {
    let (store, _) = machine.fleet_store().await?;
    backup_of(store.as_ref(), machine, at).await
}

/// The same of a store that is open.
pub async fn backup_of(store: &dyn Store, machine: &Machine, at: Timestamp) -> Result<BackedUp, OperatorError> {
    let identity = machine.member()?;
    let (mut records, mut left_out) = read(store).await?;
    let Some(sifted) = sift(&machine.settings, identity, &records) else {
        return refused("the store's fleet record does not count", "`certfleet store check` says why");
    };
    if !sifted.roster.members.contains_key(&identity.node) {
        return refused(
            format!("node {} is not a member of the fleet, and nobody would believe its backup", identity.node),
            "give the command on a member",
        );
    }
    if store.withholds() && !sifted.roster.members.get(&identity.node).is_some_and(|member| member.granted.contains(&Role::Issue)) {
        return refused(
            format!("node {} has not the role issue and is not shown everything: its backup would have holes", identity.node),
            "give the command on the node that serves the store, or on another with the role issue",
        );
    }
    records.retain(|key, _| !sifted.faults.contains_key(key));
    left_out.extend(sifted.faults);
    let text = file::write(identity, sifted.fleet.epoch, at, &records);
    let text = text.or_else(|error| refused(format!("the backup cannot be written: {error}"), "try again"))?;
    Ok(BackedUp { text, counts: counts(records.keys()), left_out })
}

/// How many records of each kind there are.
pub(super) fn counts<'k>(keys: impl Iterator<Item = &'k Key>) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for record in keys.filter_map(RecordKey::of) {
        *counts.entry(record.kind()).or_default() += 1;
    }
    counts
}

async fn read(store: &dyn Store) -> Result<(Records, Vec<(Key, String)>), OperatorError> {
    let (mut records, mut unreadable) = (Records::new(), Vec::new());
    for prefix in PREFIXES {
        let listing = store.list(prefix).await?;
        let entries = listing.entries.into_iter().filter(|(key, _)| is_backed_up(key));
        records.extend(entries.map(|(key, stored)| (key, stored.envelope)));
        unreadable.extend(listing.unreadable.into_iter().map(|value| (value.key, value.why)));
    }
    Ok((records, unreadable))
}

/// Writes a backup whole, 0600 from the first byte. Another file is written over only if `force`.
pub fn save_backup(path: &Path, text: &str, force: bool) -> Result<(), OperatorError> {
    let path = std::path::absolute(path)
        .or_else(|error| refused(format!("{} cannot be written: {error}", path.display()), "give another name"))?;
    if !force && path.symlink_metadata().is_ok() {
        return refused(format!("{} exists", path.display()), "give another name, or `--force` to write over it");
    }
    Ok(disk::write_private(&path, text.as_bytes())?)
}
