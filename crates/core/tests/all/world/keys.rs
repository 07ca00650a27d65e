//! Private keys in the world: who can open what, requests and wraps. Sealing is made up: a wrap is the reader's public key.

use std::collections::BTreeMap;

use certfleet_core::decide::{Readers, RequestKey, WantedKey, WantedRequest, WantedWrap};
use certfleet_core::envelope::Expect;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Generation, NodeName, SpkiHash};
use certfleet_core::records::{AccountKeyRecord, PrivateKeyRecord, RequestRecord, WrapRecord};
use certfleet_core::secret::{SealScheme, Sealed, Wrap};
use certfleet_core::spec::Role;
use certfleet_core::trust::SealingKey;
use certfleet_core::view::{MadeKey, Outcome};

use super::ca::write_csr;
use super::{Ticket, World};

/// The public half of what a machine opens with; drawn from its identity.
pub fn sealing_key(identity: &str) -> SealingKey {
    let hex = certfleet_core::hash::sha256_hex(format!("sealing {identity}").as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&hex.as_bytes()[..32]);
    SealingKey::from_bytes(bytes)
}

fn wrap_for(key: &SealingKey) -> Wrap {
    Wrap(key.as_bytes().to_vec())
}

/// The key of this hash, sealed for these readers.
pub fn sealed(spki: &SpkiHash, readers: &Readers) -> Sealed {
    let wraps = readers.iter().map(|(node, key)| (node.clone(), wrap_for(key))).collect();
    Sealed { scheme: SealScheme::HpkeX25519, data: spki.as_str().as_bytes().to_vec(), wraps }
}

impl World {
    /// Whether a machine can open the key, with what stands in the store and on its disk.
    pub fn can_open(&self, id: &str, spki: &SpkiHash) -> bool {
        let Some(machine) = self.machines.get(id) else { return false };
        if machine.own_keys.contains(spki) || machine.opened.contains(spki) {
            return true;
        }
        let Some(sealed) = self.sealed_key(spki).filter(|sealed| sealed.data == spki.as_str().as_bytes()) else { return false };
        let later: Option<WrapRecord> = self.store.record(&RecordKey::Wrap(spki.clone(), machine.node.clone()).key());
        let wraps = sealed.wraps.get(&machine.node).into_iter().chain(later.as_ref().map(|later| &later.wrap));
        wraps.into_iter().any(|wrap| *wrap == wrap_for(&machine.sealing_key()))
    }

    fn sealed_key(&self, spki: &SpkiHash) -> Option<Sealed> {
        let account: Option<AccountKeyRecord> = self.store.record(&RecordKey::AccountKey.key());
        let account = account.and_then(|record| record.keys().find(|key| key.spki == *spki).map(|key| key.key.clone()));
        let certificate = || self.store.record::<PrivateKeyRecord>(&RecordKey::PrivateKey(spki.clone()).key()).map(|record| record.key);
        account.or_else(certificate)
    }

    /// A fresh key of a certificate, or of the account.
    pub(super) fn draw_key(&mut self, cert: Option<&CertName>) -> SpkiHash {
        self.keys_made += 1;
        let spki = SpkiHash::of(format!("key {}", self.keys_made).as_bytes());
        self.watch.key_made(&spki, cert);
        spki
    }

    pub(super) fn make_key(&mut self, ticket: &Ticket, cert: &CertName, number: Generation, wanted: &WantedKey) -> (Vec<Key>, Outcome) {
        let spki = self.draw_key(Some(cert));
        let record = PrivateKeyRecord {
            cert: cert.clone(),
            spki: spki.clone(),
            created_at: self.wall(),
            key: sealed(&spki, &wanted.readers),
            extra: Default::default(),
        };
        self.put(ticket, &RecordKey::PrivateKey(spki.clone()).key(), &record, &Expect::Absent);
        let csr = write_csr(&spki, &wanted.names);
        (Vec::new(), Outcome::KeyMade(cert.clone(), number, MadeKey { key: spki, csr }))
    }

    pub(super) fn request(&mut self, ticket: &Ticket, cert: &CertName, wanted: &WantedRequest, expect: &Expect) -> (Vec<Key>, Outcome) {
        let key = match &wanted.key {
            RequestKey::Kept(spki) if !self.can_open(&ticket.machine, spki) => {
                return (Vec::new(), Outcome::Lacks(spki.clone(), "its wrap cannot be opened".into()));
            }
            RequestKey::Kept(spki) => spki.clone(),
            RequestKey::New(_) => {
                let spki = self.draw_key(Some(cert));
                self.machine(&ticket.machine).own_keys.insert(spki.clone());
                spki
            }
        };
        let record = RequestRecord {
            after: wanted.after,
            names: wanted.names.clone(),
            csr: write_csr(&key, &wanted.names),
            key,
            after_removals: wanted.after_removals,
            at: self.wall(),
            extra: Default::default(),
        };
        let place = RecordKey::Request(cert.clone(), self.machine(&ticket.machine).node.clone()).key();
        if self.put(ticket, &place, &record, expect) {
            self.say(&ticket.machine, &format!("write {place}"));
        }
        (vec![place], Outcome::Done)
    }

    pub(super) fn wrap(&mut self, ticket: &Ticket, wanted: &WantedWrap) -> (Vec<Key>, Outcome) {
        let WantedWrap { spki, node, sealing_key, .. } = wanted;
        if !self.can_open(&ticket.machine, spki) {
            return (Vec::new(), Outcome::Lacks(spki.clone(), "its wrap cannot be opened".into()));
        }
        let key = RecordKey::Wrap(spki.clone(), node.clone()).key();
        let expect = self.store.get(&key).map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision.clone()));
        let record = WrapRecord { spki: spki.clone(), node: node.clone(), wrap: wrap_for(sealing_key), extra: Default::default() };
        if self.put(ticket, &key, &record, &expect) {
            let what = wanted.cert.as_ref().map_or("the account".to_owned(), ToString::to_string);
            self.say(&ticket.machine, &format!("wrap the key of {what} for {node}"));
        }
        (Vec::new(), Outcome::Wrapped(spki.clone(), node.clone()))
    }

    /// After the account key or a wrap was read: which account keys the machine can open.
    pub(super) fn try_account_keys(&mut self, id: &str) {
        let (t, wall) = (self.t, self.wall());
        let Some(view) = self.machines.get(id).and_then(|machine| machine.view.as_ref()) else { return };
        let issues = view.my_roles().contains(&Role::Issue);
        let keys: Vec<SpkiHash> =
            view.account_key.iter().filter(|_| issues).flat_map(|key| key.keys().map(|key| key.spki.clone())).collect();
        for spki in keys {
            let opens = self.can_open(id, &spki);
            let machine = self.machine(id);
            let now = machine.now(t, wall).mono;
            let Some(view) = &mut machine.view else { return };
            if opens {
                machine.opened.insert(spki.clone());
                view.local.lacks.remove(&spki);
                view.local.holds.insert(spki);
            } else {
                view.local.holds.remove(&spki);
                view.local.lacks.entry(spki).or_insert(now);
            }
        }
    }

    /// Who can read the keys that a value seals, and of which certificate (none: of the account).
    pub(super) fn readers_in(&self, key: &Key) -> Vec<(Option<CertName>, BTreeMap<NodeName, Wrap>)> {
        match RecordKey::of(key) {
            Some(RecordKey::PrivateKey(_)) => {
                let record: Option<PrivateKeyRecord> = self.store.record(key);
                record.into_iter().map(|record| (Some(record.cert), record.key.wraps)).collect()
            }
            Some(RecordKey::AccountKey) => {
                let record: Option<AccountKeyRecord> = self.store.record(key);
                record.iter().flat_map(|record| record.keys().map(|key| (None, key.key.wraps.clone()))).collect()
            }
            Some(RecordKey::Wrap(spki, node)) => {
                let record: Option<WrapRecord> = self.store.record(key);
                let cert = self.watch.cert_of(&spki);
                record.into_iter().map(|record| (cert.clone(), [(node.clone(), record.wrap)].into())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The machines, by whatever name, that a wrap is for.
    pub(super) fn opened_by(&self, wrap: &Wrap) -> impl Iterator<Item = (&str, &NodeName)> {
        let for_it = self.machines.values().filter(move |machine| wrap_for(&machine.sealing_key()) == *wrap);
        for_it.map(|machine| (machine.id.as_str(), &machine.node))
    }
}
