//! Carrying out actions: each takes effect at one moment and is heard of at a later one, so that a machine can be hit between the two.

use certfleet_core::ca::CaError;
use certfleet_core::decide::{Action, Call};
use certfleet_core::envelope::{Envelope, Expect, Revision};
use certfleet_core::invariants;
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, IssuerName, SpkiHash, TargetName};
use certfleet_core::records::{AccountRecord, CertRecord, Placed, TargetState, VersionRecord};
use certfleet_core::view::{CaReply, InstallResult, KeySeen, Outcome};
use serde::Serialize;

use super::ca::FakeCa;
use super::machine::TargetMood;
use super::narrate::point;
use super::{Blow, Happening, Ticket, World};

impl World {
    pub(super) fn effect(&mut self, ticket: Ticket) {
        self.look_at_action(&ticket.machine, &ticket.action);
        let point = point(&ticket.action);
        if self.spring(&ticket, &point, false) {
            return;
        }
        let (keys, outcome) = if self.machine(&ticket.machine).cut_from_store && touches_store(&ticket.action) {
            (Vec::new(), Outcome::Away("the store cannot be reached: timed out".into()))
        } else {
            self.carry_out(&ticket)
        };
        self.count_certificates();
        let delay = self.delay(&ticket.action);
        let trapped = ticket.clone();
        let found = keys.iter().map(|key| self.find(key)).collect();
        self.later(delay, Happening::Absorb(Box::new((ticket, outcome)), found));
        self.spring(&trapped, &point, true);
    }

    /// Whether a trap stopped the machine.
    pub(super) fn spring(&mut self, ticket: &Ticket, point: &str, after: bool) -> bool {
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

    /// A machine writes a record in its own name.
    pub(super) fn put<T: Serialize>(&mut self, ticket: &Ticket, key: &Key, record: &T, expect: &Expect) -> bool {
        self.put_after(0, ticket, key, record, expect)
    }

    fn put_after<T: Serialize>(&mut self, change: u64, ticket: &Ticket, key: &Key, record: &T, expect: &Expect) -> bool {
        let machine = self.machine(&ticket.machine);
        let (node, pen) = (machine.node.clone(), machine.pen());
        let Ok(envelope) = self.store.put_after(change, key, (&node, &pen), record, expect) else { return false };
        self.book(key, &envelope);
        self.announce(key, &ticket.machine);
        true
    }

    fn carry_out(&mut self, ticket: &Ticket) -> (Vec<Key>, Outcome) {
        match &ticket.action {
            Action::Beat(presence, expect) => {
                let key = RecordKey::Presence(self.machine(&ticket.machine).node.clone()).key();
                let done = self.put(ticket, &key, presence, expect);
                (vec![key], if done { Outcome::Beaten(presence.clone()) } else { Outcome::Done })
            }
            Action::CreateAccountKey(readers, removals, expect) => self.create_account_key(ticket, readers, *removals, expect),
            Action::PrepareAccountKey(readers, removals, expect) => self.prepare_account_key(ticket, readers, *removals, expect),
            Action::RollAccount(issuer, account, expect) => self.roll_account(ticket, issuer, account, expect),
            Action::Request(cert, wanted, expect) => self.request(ticket, cert, wanted, expect),
            Action::Wrap(wanted) => self.wrap(ticket, wanted),
            Action::LetIn(node, asking) => {
                let key = RecordKey::Joining(node.clone()).key();
                self.store.remove(&key, asking);
                self.announce(&key, &ticket.machine);
                self.say(&ticket.machine, &format!("let {node} in"));
                (vec![key], Outcome::Done)
            }
            Action::Record(record, value, expect, change) => {
                let done = self.put_after(*change, ticket, &record.key(), value, expect);
                self.say(&ticket.machine, &format!("write {record}{}", if done { "" } else { ": refused, another was faster" }));
                (vec![record.key()], Outcome::Done)
            }
            Action::PutBack(key, envelope, expect) => {
                let done = self.store.put_back(key, envelope, expect).is_ok();
                if done {
                    self.book(key, envelope);
                    self.announce(key, &ticket.machine);
                }
                self.say(&ticket.machine, &format!("put back {key}{}", if done { "" } else { ": refused, another was faster" }));
                (vec![key.clone()], Outcome::Done)
            }
            Action::Register(issuer, _, account, expect) => self.register(ticket, issuer, account, expect),
            Action::CheckClock(issuer) => {
                let (t, wall) = (self.t, self.wall());
                let ahead = self.machine(&ticket.machine).now(t, wall).wall.as_second() - wall.as_second();
                (Vec::new(), Outcome::ClockChecked(issuer.clone(), self.reach(ticket, issuer).map(|()| ahead)))
            }
            Action::Reread(_, keys) => (keys.clone(), Outcome::Done),
            Action::MakeKey(cert, number, wanted) => self.make_key(ticket, cert, *number, wanted),
            Action::Write(cert, expect, record, event) => {
                let done = self.write(ticket, cert, expect, record);
                self.tell_write(&ticket.machine, cert, record, *event, done);
                (vec![RecordKey::Cert(cert.clone()).key()], Outcome::Done)
            }
            Action::Call(cert, number, issuer, call) => {
                let reply = self.call(ticket, cert, issuer, call);
                (Vec::new(), reply.map_or_else(|lacks| *lacks, |reply| Outcome::Called(cert.clone(), *number, issuer.clone(), reply)))
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

    pub(super) fn ca(&mut self, issuer: &IssuerName) -> &mut FakeCa {
        self.cas.get_mut(issuer).expect("reach looks for it")
    }

    pub(super) fn reach(&mut self, ticket: &Ticket, issuer: &IssuerName) -> Result<(), CaError> {
        let down = self.cas.get(issuer).is_none_or(|ca| ca.mood.down);
        if down || self.machine(&ticket.machine).cut_from_ca {
            return Err(CaError::Unreachable("connect timed out".into()));
        }
        Ok(())
    }

    fn write(&mut self, ticket: &Ticket, cert: &CertName, expect: &Expect, record: &CertRecord) -> bool {
        let key = RecordKey::Cert(cert.clone()).key();
        let before: Option<CertRecord> = self.known_record(cert);
        if !self.put(ticket, &key, record, expect) {
            return false;
        }
        let (t, wall) = (self.elapsed(), self.wall());
        let mut cas = std::mem::take(&mut self.cas);
        let step = invariants::record_step(before.as_ref(), record, |order| cas.values_mut().all(|ca| ca.is_over(order, t, wall)));
        self.cas = cas;
        let booked = record.attempt.as_ref().map_or(Ok(()), |attempt| self.books.attempt(cert, attempt));
        if !self.watch.has_lost(cert) {
            self.insist(step.and(booked));
        }
        true
    }

    /// The account that the machine knows of, if it can open its key.
    fn account(&self, ticket: &Ticket, issuer: &IssuerName) -> Result<AccountRecord, Box<Outcome>> {
        let view = self.machines[&ticket.machine].view.as_ref();
        let account = view.and_then(|view| view.accounts.get(issuer)).map(|seen| seen.value.clone());
        let account = account.ok_or_else(|| Box::new(Outcome::Failed("the fleet has no account yet".into())))?;
        self.opened_account_key(ticket, &account.thumbprint).map(|()| account)
    }

    fn call(
        &mut self,
        ticket: &Ticket,
        cert: &CertName,
        issuer: &IssuerName,
        call: &Call,
    ) -> Result<Result<CaReply, CaError>, Box<Outcome>> {
        let account = self.account(ticket, issuer)?;
        let (t, wall) = (self.elapsed(), self.wall());
        let reached = self.reach(ticket, issuer);
        let reply = reached.and_then(|()| self.ca(issuer).answer((&account.url, &account.thumbprint), call, t, wall));
        if matches!((&reply, call), (Ok(CaReply::Finalized), Call::Finalize(..))) {
            let Call::Finalize(_, csr) = call else { unreachable!("matched above") };
            let (key, _): (SpkiHash, Vec<String>) = serde_json::from_slice(csr).expect("is one of ours");
            let record: Option<CertRecord> = self.watch.truth(&RecordKey::Cert(cert.clone()));
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
        Ok(reply)
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
            let stored = self.has_key(&issued.key);
            let Some((cert, number)) = self.watch.attempt_of(&issued.order, &issued.key) else {
                self.fail(&format!("INVARIANT: a certificate is issued for order {}, which is no attempt's", issued.order));
            };
            let booked = self.books.issued(&cert, number, &format!("{name}/{}", issued.leaf.serial), stored);
            if !self.watch.has_lost(&cert) {
                self.insist(booked);
            }
        }
    }

    fn store_version(&mut self, ticket: &Ticket, cert: &CertName, version: &VersionRecord) -> (Vec<Key>, Outcome) {
        let key = RecordKey::Version(cert.clone(), version.generation).key();
        let stands = self.store.get(&key).map(|(envelope, revision)| (envelope.clone(), revision.clone()));
        let counts = |(envelope, _): &(Envelope, Revision)| {
            let roster = self.machines[&ticket.machine].view.as_ref().map(|view| &view.roster);
            roster.is_some_and(|roster| roster.check(&RecordKey::Version(cert.clone(), version.generation), envelope).is_ok())
        };
        let expect =
            stands.as_ref().filter(|stands| !counts(stands)).map_or(Expect::Absent, |(_, revision)| Expect::Revision(revision.clone()));
        self.put(ticket, &key, version, &expect);
        let hash = self.store.get(&key).expect("it is there in any case").0.body_hash();
        (Vec::new(), Outcome::VersionStored(cert.clone(), version.generation, hash))
    }

    /// What a node looks at before it installs anything: the version's hash, and the key.
    fn may_install(&self, id: &str, cert: &CertName, placed: &Placed) -> Result<(), (String, KeySeen)> {
        let key = RecordKey::Version(cert.clone(), placed.placement.generation).key();
        match self.store.get(&key) {
            None => return Err((format!("{key} is not in the store"), KeySeen::Untried)),
            Some((envelope, _)) if envelope.body_hash() != placed.version => {
                return Err((format!("{key} is not what the certificate's record vouches for"), KeySeen::Untried));
            }
            Some(_) => {}
        }
        let now = self.machines[id].now(self.t, self.wall()).wall;
        match () {
            () if !self.can_open(id, &placed.key) => Err(("its key cannot be opened".into(), KeySeen::Lacks)),
            () if placed.not_after <= now => Err(("it has expired".into(), KeySeen::Opened)),
            () => Ok(()),
        }
    }

    fn install(&mut self, ticket: &Ticket, target: &TargetName, batch: &[(CertName, Placed)]) -> (Vec<Key>, Outcome) {
        let results = batch.iter().map(|(cert, placed)| self.install_one(ticket, target, cert, placed)).collect();
        (Vec::new(), Outcome::Installed(target.clone(), results))
    }

    fn install_one(&mut self, ticket: &Ticket, target: &TargetName, cert: &CertName, placed: &Placed) -> InstallResult {
        if let Err((why, key)) = self.may_install(&ticket.machine, cert, placed) {
            self.say(&ticket.machine, &format!("install {cert} generation {} at {target}: refused ({why})", placed.placement.generation));
            let (state, reason) = (TargetState::Failed, Some(why));
            return InstallResult { cert: cert.clone(), placed: placed.clone(), state, reason, settled: false, key };
        }
        let machine = self.machine(&ticket.machine);
        machine.opened.insert(placed.key.clone());
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
        InstallResult { cert: cert.clone(), placed: placed.clone(), state, reason, settled, key: KeySeen::Opened }
    }
}

fn touches_store(action: &Action) -> bool {
    !matches!(action, Action::Call(..) | Action::CheckClock(_) | Action::StandIn(..))
}
