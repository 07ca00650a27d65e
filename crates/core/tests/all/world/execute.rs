//! Carrying out actions: each takes effect at one moment and is heard of at a later one, so that a machine can be hit between the two.

use certfleet_core::ca::CaError;
use certfleet_core::decide::{Action, Call};
use certfleet_core::envelope::Expect;
use certfleet_core::invariants;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, IssuerName, SpkiHash, TargetName};
use certfleet_core::records::{AccountKeyRecord, AccountRecord, CertRecord, Placed, PrivateKeyRecord, TargetState, VersionRecord};
use certfleet_core::secret::{SealScheme, Sealed, Secret};
use certfleet_core::view::{CaReply, InstallResult, MadeKey, Outcome};
use serde::Serialize;

use super::ca::write_csr;
use super::machine::TargetMood;
use super::narrate::point;
use super::{Blow, Happening, Ticket, World};

impl World {
    pub(super) fn effect(&mut self, ticket: Ticket) {
        let point = point(&ticket.action);
        if self.spring(&ticket, &point, false) {
            return;
        }
        let (keys, outcome) = if self.machine(&ticket.machine).cut_from_store && touches_store(&ticket.action) {
            (Vec::new(), Outcome::Failed("the store cannot be reached: timed out".into()))
        } else {
            self.carry_out(&ticket)
        };
        self.count_certificates();
        let delay = self.delay(&ticket.action);
        let trapped = ticket.clone();
        self.later(delay, Happening::Absorb(Box::new((ticket, outcome)), keys));
        self.spring(&trapped, &point, true);
    }

    /// Whether a trap stopped the machine.
    fn spring(&mut self, ticket: &Ticket, point: &str, after: bool) -> bool {
        let Some(index) = self.traps.iter().position(|trap| trap.after == after && trap.point == point) else { return false };
        let trap = self.traps.remove(index);
        let when = if after { "after" } else { "before" };
        match trap.what {
            Blow::Crash => {
                self.say(&ticket.machine, &format!("crashes {when} `{point}`"));
                self.machine(&ticket.machine).die();
            }
            Blow::Pause => {
                self.say(&ticket.machine, &format!("is paused {when} `{point}`"));
                let machine = self.machine(&ticket.machine);
                machine.paused = true;
                if !after {
                    machine.held.push(Happening::Effect(Box::new(ticket.clone())));
                }
            }
        }
        true
    }

    fn put<T: Serialize>(&mut self, ticket: &Ticket, key: &Key, record: &T, expect: &Expect) -> bool {
        let node = self.machine(&ticket.machine).node.clone();
        let done = self.store.put(key, &node, record, expect).is_ok();
        if done {
            self.announce(key, &ticket.machine);
        }
        done
    }

    fn carry_out(&mut self, ticket: &Ticket) -> (Vec<Key>, Outcome) {
        match &ticket.action {
            Action::Beat(presence, expect) => {
                let key = RecordKey::Presence(self.machine(&ticket.machine).node.clone()).key();
                let done = self.put(ticket, &key, presence, expect);
                (vec![key], if done { Outcome::Beaten(presence.clone()) } else { Outcome::Done })
            }
            Action::CreateAccountKey => self.create_account_key(ticket),
            Action::Register(issuer, _, account, expect) => self.register(ticket, issuer, account, expect),
            Action::CheckClock(issuer) => {
                let (t, wall) = (self.t, self.wall());
                let ahead = self.machine(&ticket.machine).now(t, wall).wall.as_second() - wall.as_second();
                (Vec::new(), Outcome::ClockChecked(issuer.clone(), self.reach(ticket, issuer).map(|()| ahead)))
            }
            Action::Reread(_, keys) => (keys.clone(), Outcome::Done),
            Action::MakeKey(cert, number, _, names) => self.make_key(ticket, cert, *number, names),
            Action::Write(cert, expect, record, event) => {
                let done = self.write(ticket, cert, expect, record);
                self.tell_write(&ticket.machine, cert, record, *event, done);
                (vec![RecordKey::Cert(cert.clone()).key()], Outcome::Done)
            }
            Action::Call(cert, number, issuer, call) => {
                let reply = self.call(ticket, cert, issuer, call);
                (Vec::new(), Outcome::Called(cert.clone(), *number, issuer.clone(), reply))
            }
            Action::LookThrough => (Vec::new(), Outcome::LookedThrough(self.store.blobs())),
            Action::Remove(blobs) => {
                self.say(&ticket.machine, &format!("remove {}", blobs.iter().map(|blob| blob.key.as_str()).collect::<Vec<_>>().join(", ")));
                blobs.iter().for_each(|blob| self.store.remove(&blob.key, &blob.revision));
                (Vec::new(), Outcome::Removed(blobs.iter().map(|blob| blob.key.clone()).collect()))
            }
            Action::StoreVersion(cert, version) => self.store_version(ticket, cert, version),
            Action::Install(target, batch) => self.install(ticket, target, batch),
            Action::StandIn(cert, target, _) => (Vec::new(), Outcome::StoodIn(cert.clone(), target.clone())),
            Action::Report(cert, target, report, expect) => {
                let node = self.machine(&ticket.machine).node.clone();
                let key = RecordKey::Report(cert.clone(), node, target.clone()).key();
                self.put(ticket, &key, report, expect);
                (vec![key], Outcome::Done)
            }
        }
    }

    fn reach(&mut self, ticket: &Ticket, issuer: &IssuerName) -> Result<(), CaError> {
        let down = self.cas.get(issuer).is_none_or(|ca| ca.mood.down);
        if down || self.machine(&ticket.machine).cut_from_ca {
            return Err(CaError::Unreachable("connect timed out".into()));
        }
        Ok(())
    }

    fn create_account_key(&mut self, ticket: &Ticket) -> (Vec<Key>, Outcome) {
        let key = RecordKey::AccountKey.key();
        let record = AccountKeyRecord {
            thumbprint: format!("thumbprint-{}", ticket.machine),
            created_at: self.wall(),
            key: Sealed { scheme: SealScheme::None, bytes: Secret::new(Vec::new()) },
            extra: Default::default(),
        };
        if self.put(ticket, &key, &record, &Expect::Absent) {
            self.say(&ticket.machine, "write accounts/@key");
        }
        (vec![key], Outcome::Done)
    }

    fn register(&mut self, ticket: &Ticket, issuer: &IssuerName, account: &AccountRecord, expect: &Expect) -> (Vec<Key>, Outcome) {
        let key = RecordKey::Account(issuer.clone()).key();
        let reached = self.reach(ticket, issuer);
        if reached.is_ok() {
            let account = AccountRecord { url: format!("{issuer}/account/{}", account.thumbprint), ..account.clone() };
            if self.put(ticket, &key, &account, expect) {
                self.say(&ticket.machine, &format!("write accounts/{issuer}"));
            }
        }
        (vec![key], Outcome::Registered(issuer.clone(), reached))
    }

    fn make_key(
        &mut self,
        ticket: &Ticket,
        cert: &CertName,
        number: certfleet_core::names::Generation,
        names: &[certfleet_core::names::Identifier],
    ) -> (Vec<Key>, Outcome) {
        self.keys_made += 1;
        let spki = SpkiHash::of(format!("key {}", self.keys_made).as_bytes());
        let key = Sealed { scheme: SealScheme::None, bytes: Secret::new(Vec::new()) };
        let record = PrivateKeyRecord { cert: cert.clone(), spki: spki.clone(), created_at: self.wall(), key, extra: Default::default() };
        self.put(ticket, &RecordKey::PrivateKey(spki.clone()).key(), &record, &Expect::Absent);
        let csr = write_csr(&spki, names);
        (Vec::new(), Outcome::KeyMade(cert.clone(), number, MadeKey { key: spki, csr }))
    }

    fn write(&mut self, ticket: &Ticket, cert: &CertName, expect: &Expect, record: &CertRecord) -> bool {
        let key = RecordKey::Cert(cert.clone()).key();
        let before: Option<CertRecord> = self.store.record(&key);
        if !self.put(ticket, &key, record, expect) {
            return false;
        }
        let (t, wall) = (self.elapsed(), self.wall());
        let mut cas = std::mem::take(&mut self.cas);
        let step = invariants::record_step(before.as_ref(), record, |order| cas.values_mut().all(|ca| ca.is_over(order, t, wall)));
        self.cas = cas;
        self.insist(step);
        if let Some(attempt) = &record.attempt {
            let booked = self.books.attempt(cert, attempt);
            self.insist(booked);
        }
        true
    }

    fn call(&mut self, ticket: &Ticket, cert: &CertName, issuer: &IssuerName, call: &Call) -> Result<CaReply, CaError> {
        let (t, wall) = (self.elapsed(), self.wall());
        let reached = self.reach(ticket, issuer);
        let reply = match (reached, self.cas.get_mut(issuer)) {
            (Ok(()), Some(ca)) => ca.answer(call, t, wall),
            (Err(error), _) => Err(error),
            (Ok(()), None) => unreachable!("reach looks for it"),
        };
        if matches!((&reply, call), (Ok(CaReply::Finalized), Call::Finalize(..))) {
            let Call::Finalize(_, csr) = call else { unreachable!("matched above") };
            let (key, _): (SpkiHash, Vec<String>) = serde_json::from_slice(csr).expect("is one of ours");
            let record: Option<CertRecord> = self.store.record(&RecordKey::Cert(cert.clone()).key());
            self.insist(invariants::may_be_issued(record.as_ref(), &key));
        }
        let said = match &reply {
            Ok(CaReply::Order(order)) => format!("{:?}", order.status).to_lowercase(),
            Ok(CaReply::Told(_)) => "told".into(),
            Ok(CaReply::Finalized) => "accepted".into(),
            Ok(CaReply::Chain(leaf, _)) => format!("certificate {}", leaf.serial),
            Err(error) => error.to_string(),
        };
        self.tell_call(&ticket.machine, call, &said);
        reply
    }

    /// Certificates that left a CA since the last look go into the books.
    fn count_certificates(&mut self) {
        let fresh: Vec<(IssuerName, super::ca::Issued)> = self
            .cas
            .iter()
            .flat_map(|(name, ca)| {
                ca.issued.iter().skip(*self.counted.get(name).unwrap_or(&0)).map(|issued| (name.clone(), issued.clone()))
            })
            .collect();
        for (name, issued) in fresh {
            *self.counted.entry(name.clone()).or_default() += 1;
            if issued.key == SpkiHash::of(b"an outsider's key") {
                continue;
            }
            let stored = self.store.get(&RecordKey::PrivateKey(issued.key.clone()).key()).is_some();
            let booked = self.books.issued(&issued.key, &format!("{name}/{}", issued.leaf.serial), stored);
            self.insist(booked);
        }
    }

    fn store_version(&mut self, ticket: &Ticket, cert: &CertName, version: &VersionRecord) -> (Vec<Key>, Outcome) {
        let key = RecordKey::Version(cert.clone(), version.generation).key();
        self.put(ticket, &key, version, &Expect::Absent);
        let hash = self.store.get(&key).expect("it is there in any case").0.body_hash();
        (Vec::new(), Outcome::VersionStored(cert.clone(), version.generation, hash))
    }

    fn install(&mut self, ticket: &Ticket, target: &TargetName, batch: &[(CertName, Placed)]) -> (Vec<Key>, Outcome) {
        let results = batch.iter().map(|(cert, placed)| self.install_one(ticket, target, cert, placed)).collect();
        (Vec::new(), Outcome::Installed(target.clone(), results))
    }

    fn install_one(&mut self, ticket: &Ticket, target: &TargetName, cert: &CertName, placed: &Placed) -> InstallResult {
        let machine = self.machine(&ticket.machine);
        let (mood, slot) = (machine.target, (cert.clone(), target.clone()));
        let had = machine.disk.get(&slot).map(|before| before.placement);
        let (state, reason, settled) = match mood {
            TargetMood::Works => (TargetState::Verified, None, true),
            TargetMood::NotRunning => (TargetState::Installed, Some("not running".to_owned()), false),
            TargetMood::Fails => (TargetState::Failed, Some("the server refuses it".to_owned()), false),
        };
        let generation = placed.placement.generation;
        if state != TargetState::Failed {
            machine.disk.insert(slot, placed.clone());
            let node = machine.id.parse().expect("name");
            let booked = self.books.installed(&node, cert, placed.placement.rank());
            self.insist(booked);
        }
        if had != Some(placed.placement) || state != TargetState::Verified {
            let why = reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let state = format!("{state:?}").to_lowercase();
            self.say(&ticket.machine, &format!("install {cert} generation {generation} at {target}: {state}{why}"));
        }
        InstallResult { cert: cert.clone(), placed: placed.clone(), state, reason, settled }
    }
}

fn touches_store(action: &Action) -> bool {
    !matches!(action, Action::Call(..) | Action::CheckClock(_) | Action::StandIn(..))
}
