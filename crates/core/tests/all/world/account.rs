//! The fleet's account in the world: its key, registering it, rolling it over.

use certfleet_core::ca::CaError;
use certfleet_core::decide::Readers;
use certfleet_core::envelope::Expect;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{IssuerName, SpkiHash};
use certfleet_core::records::{AccountKey, AccountKeyRecord, AccountRecord};
use certfleet_core::view::Outcome;

use super::keys::sealed;
use super::{Ticket, World};

impl World {
    fn fresh_account_key(&mut self, readers: &Readers, after_removals: u64) -> AccountKey {
        let spki = self.draw_key(None);
        let thumbprint = format!("thumbprint-{}", self.keys_made);
        AccountKey { thumbprint, key: sealed(&spki, readers), spki, created_at: self.wall(), after_removals }
    }

    pub(super) fn create_account_key(&mut self, ticket: &Ticket, readers: &Readers, removals: u64, expect: &Expect) -> (Vec<Key>, Outcome) {
        let key = RecordKey::AccountKey.key();
        let current = self.fresh_account_key(readers, removals);
        let record = AccountKeyRecord { current, next: None, extra: Default::default() };
        if self.put(ticket, &key, &record, expect) {
            self.say(&ticket.machine, "write accounts/@key");
        }
        (vec![key], Outcome::Done)
    }

    pub(super) fn prepare_account_key(
        &mut self,
        ticket: &Ticket,
        readers: &Readers,
        removals: u64,
        expect: &Expect,
    ) -> (Vec<Key>, Outcome) {
        let key = RecordKey::AccountKey.key();
        let Some(before) = self.known_account_key(ticket) else { return (Vec::new(), Outcome::Failed("there is no account key".into())) };
        let next = Some(self.fresh_account_key(readers, removals));
        if self.put(ticket, &key, &AccountKeyRecord { next, ..before }, expect) {
            self.say(&ticket.machine, "write accounts/@key: the next key");
        }
        (vec![key], Outcome::Done)
    }

    fn known_account_key(&self, ticket: &Ticket) -> Option<AccountKeyRecord> {
        self.machines.get(&ticket.machine)?.view.as_ref()?.account_key.clone()
    }

    /// The account key with this thumbprint, if the machine can open it; else which it lacks.
    pub(super) fn opened_account_key(&self, ticket: &Ticket, thumbprint: &str) -> Result<(), Box<Outcome>> {
        let known = self.known_account_key(ticket);
        let key = known.iter().flat_map(AccountKeyRecord::keys).find(|key| key.thumbprint == thumbprint);
        let spki: SpkiHash =
            key.ok_or_else(|| Box::new(Outcome::Failed("the fleet has no such account key any more".into())))?.spki.clone();
        if self.can_open(&ticket.machine, &spki) {
            Ok(())
        } else {
            Err(Box::new(Outcome::Lacks(spki, "the account key cannot be opened".into())))
        }
    }

    pub(super) fn register(
        &mut self,
        ticket: &Ticket,
        issuer: &IssuerName,
        account: &AccountRecord,
        expect: &Expect,
    ) -> (Vec<Key>, Outcome) {
        if let Err(lacks) = self.opened_account_key(ticket, &account.thumbprint) {
            return (Vec::new(), *lacks);
        }
        if let Err(error) = self.reach(ticket, issuer) {
            return (Vec::new(), Outcome::Registered(issuer.clone(), Err(error)));
        }
        let url = self.ca(issuer).register(&account.thumbprint);
        self.write_account(ticket, issuer, &AccountRecord { url, ..account.clone() }, expect)
    }

    pub(super) fn roll_account(
        &mut self,
        ticket: &Ticket,
        issuer: &IssuerName,
        account: &AccountRecord,
        expect: &Expect,
    ) -> (Vec<Key>, Outcome) {
        let known = self.known_account_key(ticket);
        let Some(old) = known.map(|key| key.current.thumbprint) else {
            return (Vec::new(), Outcome::Failed("there is no account key".into()));
        };
        for thumbprint in [&old, &account.thumbprint] {
            if let Err(lacks) = self.opened_account_key(ticket, thumbprint) {
                return (Vec::new(), *lacks);
            }
        }
        let reached = self.reach(ticket, issuer);
        let rolled: Result<(), CaError> = reached.and_then(|()| self.ca(issuer).roll(&account.url, &old, &account.thumbprint));
        if let Err(error) = rolled {
            self.say(&ticket.machine, &format!("roll the account at {issuer}: {error}"));
            return (Vec::new(), Outcome::Registered(issuer.clone(), Err(error)));
        }
        if self.spring(ticket, "roll-account at the CA", true) {
            return (Vec::new(), Outcome::Done);
        }
        self.write_account(ticket, issuer, account, expect)
    }

    fn write_account(&mut self, ticket: &Ticket, issuer: &IssuerName, account: &AccountRecord, expect: &Expect) -> (Vec<Key>, Outcome) {
        let key = RecordKey::Account(issuer.clone()).key();
        if self.put(ticket, &key, account, expect) {
            self.ca(issuer).answering.clone_from(&account.thumbprint);
            self.say(&ticket.machine, &format!("write accounts/{issuer}"));
        }
        (vec![key], Outcome::Registered(issuer.clone(), Ok(())))
    }
}
