//! Actions that make certificates' keys, and what opens and wraps sealed ones.

use certfleet_acme::{KeyAndCsr, csr_with_key, with_csr};
use certfleet_core::decide::{RequestKey, WantedKey, WantedRequest, WantedWrap};
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::mutants::{Mutant, has};
use certfleet_core::names::{CertName, Generation, Identifier, SpkiHash, VersionHash};
use certfleet_core::records::{AccountKeyRecord, CertRecord, PrivateKeyRecord, RequestRecord, WrapRecord};
use certfleet_core::secret::{Sealed, Secret, Wrap};
use certfleet_core::spec::KeyType;
use certfleet_core::view::{MadeKey, Outcome};
use certfleet_store::StoreError;
use serde::de::DeserializeOwned;

use super::{ActionError, Done, Executor};
use crate::crash;
use crate::trust::ACCOUNT_PURPOSE;

impl Executor {
    /// The record that this node took for good last.
    pub(super) fn kept<T: DeserializeOwned>(&self, key: &RecordKey) -> Result<Option<T>, ActionError> {
        let Some(envelope) = self.keeper.get(&key.key()) else { return Ok(None) };
        envelope.record().map(Some).map_err(|e| ActionError::Other(format!("{key}: {e}")))
    }

    /// Opens a secret with the wraps that are known here.
    pub(super) fn open(&self, sealed: &Sealed, purpose: &str, spki: &SpkiHash) -> Result<Secret, ActionError> {
        let later: Option<WrapRecord> = self.kept(&RecordKey::Wrap(spki.clone(), self.pen.node().clone()))?;
        let opened = self.pen.open(sealed, later.as_ref().map(|later| &later.wrap), purpose, spki);
        opened.map_err(|e| ActionError::Lacks(spki.clone(), e.to_string()))
    }

    /// The key is stored before any CSR names it. Who is not among its readers forgets it here.
    pub(super) async fn make_key(&self, cert: CertName, number: Generation, wanted: WantedKey) -> Done {
        let made = self.fresh(&cert, wanted.kind, &wanted.names).await?;
        let sealed = self.pen.seal(&made.key_pem, cert.as_str(), &made.spki, &wanted.readers);
        let record = PrivateKeyRecord {
            cert: cert.clone(),
            spki: made.spki.clone(),
            created_at: self.clock.now().wall,
            key: sealed.map_err(|e| ActionError::Other(e.to_string()))?,
            extra: Default::default(),
        };
        drop(made.key_pem);
        if has(Mutant::KeyNotStored) {
            return Ok((Vec::new(), Outcome::KeyMade(cert, number, MadeKey { key: made.spki, csr: made.csr_der })));
        }
        let key = RecordKey::PrivateKey(made.spki.clone());
        let envelope = self.pen.write(&key, &record, &Expect::Absent)?;
        // On a full disk nothing is stored either: the next try makes another key.
        self.keeper.keep_made(&cert, &key.key(), &envelope).map_err(|e| ActionError::Other(e.to_string()))?;
        crash::point("before-store", "key");
        let (_, done) = self.put_envelope(key.key(), envelope, &Expect::Absent).await?;
        crash::point("after-store", "key");
        if !done {
            return Err(ActionError::Other(format!("{cert}: a fresh key's hash is in the store already")));
        }
        Ok((Vec::new(), Outcome::KeyMade(cert, number, MadeKey { key: made.spki, csr: made.csr_der })))
    }

    async fn fresh(&self, cert: &CertName, kind: KeyType, names: &[Identifier]) -> Result<KeyAndCsr, ActionError> {
        let failed = |error: certfleet_acme::KeyError| ActionError::Other(format!("{cert}: {error}"));
        let key = self.keys.draw(kind).await.map_err(failed)?;
        with_csr(key, names).map_err(failed)
    }

    /// A request with a key that this node has, or with a new one that never leaves it.
    pub(super) async fn request(&self, cert: CertName, wanted: WantedRequest, expect: Expect) -> Done {
        let (key, csr) = match &wanted.key {
            RequestKey::New(kind) => self.make_own_key(&cert, *kind, wanted.names.clone()).await?,
            RequestKey::Kept(spki) => {
                let pem = self.private_key(&cert, spki).await?;
                if cert.node().is_none() {
                    self.put_key_right(spki).await?;
                }
                let text = pem.expose_text().ok_or_else(|| ActionError::Other(format!("{cert}: its key is not PEM")))?;
                let csr = csr_with_key(text, &wanted.names).map_err(|e| ActionError::Other(format!("{cert}: {e}")))?;
                (spki.clone(), csr)
            }
        };
        let record = RequestRecord {
            after: wanted.after,
            names: wanted.names,
            key,
            csr,
            after_removals: wanted.after_removals,
            at: self.clock.now().wall,
            extra: Default::default(),
        };
        crash::point("before-store", "request");
        let (found, done) = self.put(&RecordKey::Request(cert.clone(), self.pen.node().clone()), &record, &expect).await?;
        crash::point("after-store", "request");
        if done {
            tracing::info!(event = "requested", cert = %cert, key = record.key.as_str());
        }
        Ok((vec![found], Outcome::Done))
    }

    /// It is on disk, sealed for this node, before the CSR is seen by anybody.
    async fn make_own_key(&self, cert: &CertName, kind: KeyType, names: Vec<Identifier>) -> Result<(SpkiHash, Vec<u8>), ActionError> {
        let made = self.fresh(cert, kind, &names).await?;
        let sealed = self.pen.seal_for_myself(&made.key_pem, cert.as_str(), &made.spki).map_err(|e| ActionError::Other(e.to_string()))?;
        let record = PrivateKeyRecord {
            cert: cert.clone(),
            spki: made.spki.clone(),
            created_at: self.clock.now().wall,
            key: sealed,
            extra: Default::default(),
        };
        let key = RecordKey::PrivateKey(made.spki.clone());
        let envelope = self.pen.write(&key, &record, &Expect::Absent)?;
        self.keeper.keep(&key.key(), &envelope).map_err(|e| ActionError::Other(e.to_string()))?;
        if has(Mutant::OwnKeyInStore) {
            self.put_envelope(key.key(), envelope, &Expect::Absent).await?;
        }
        Ok((made.spki, made.csr_der))
    }

    /// A key that this node is meant to read: from its cache, else from the store; with a later wrap if its own does not open. What does not
    /// count, or does not open, is as good as none: then somebody who has the key wraps it for this node, and puts the record right.
    pub(super) async fn private_key(&self, cert: &CertName, spki: &SpkiHash) -> Result<Secret, ActionError> {
        let key = RecordKey::PrivateKey(spki.clone());
        self.keep_what_was_made(cert, &key);
        let kept: Option<PrivateKeyRecord> = self.kept(&key).ok().flatten();
        let opened = || kept.as_ref().and_then(|record| self.open_key(cert, spki, record).ok());
        if let Some(secret) = opened() {
            return Ok(secret);
        }
        self.take_later_wrap(spki).await?;
        if let Some(secret) = opened() {
            return Ok(secret);
        }
        let lacks = |why: String| ActionError::Lacks(spki.clone(), why);
        // Whoever wrote it, and is a member no more: the certificate's record vouches for the key by its hash.
        let envelope = match self.read(&key.key()).await {
            Ok((_, stored)) => stored.ok_or_else(|| lacks(format!("{key} is not in the store")))?.envelope,
            Err(ActionError::Store(StoreError::Corrupt { why, .. })) => return Err(lacks(format!("{key}: {why}"))),
            Err(error) => return Err(error),
        };
        let record = envelope.record().map_err(|error| lacks(format!("{key}: {error}")))?;
        let secret = self.open_key(cert, spki, &record)?;
        self.cache(&key.key(), &envelope);
        Ok(secret)
    }

    /// A key that this node made and is meant to read need not be in the store any more.
    fn keep_what_was_made(&self, cert: &CertName, key: &RecordKey) {
        if let Some(made) = self.keeper.made(cert, &key.key()).filter(|_| self.keeper.get(&key.key()).is_none()) {
            self.cache(&key.key(), &made);
        }
    }

    /// The wrap that somebody made for this node since. One that does not count is none.
    async fn take_later_wrap(&self, spki: &SpkiHash) -> Result<(), ActionError> {
        let key = RecordKey::Wrap(spki.clone(), self.pen.node().clone());
        match self.read_trusted(&key).await {
            Ok(Some(later)) => self.keep(&key, &later),
            Ok(None) => Ok(()),
            Err(ActionError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(event = "wrap-ignored", key = %key, error = %error);
                Ok(())
            }
        }
    }

    fn open_key(&self, cert: &CertName, spki: &SpkiHash, record: &PrivateKeyRecord) -> Result<Secret, ActionError> {
        let secret = self.open(&record.key, record.cert.as_str(), spki)?;
        let is_it = certfleet_acme::spki_of_key(&secret).is_ok_and(|found| found == *spki) && record.cert == *cert;
        if is_it { Ok(secret) } else { Err(ActionError::Lacks(spki.clone(), format!("keys/{spki} holds another key"))) }
    }

    /// Keeps what the store has too. A full disk is no reason not to place or install a certificate.
    pub(super) fn cache(&self, key: &Key, envelope: &Envelope) {
        if let Err(error) = self.keeper.keep(key, envelope) {
            tracing::error!(event = "not-kept", key = %key, error = %error);
        }
    }

    fn keep(&self, key: &RecordKey, envelope: &Envelope) -> Result<(), ActionError> {
        self.keeper.keep(&key.key(), envelope).map_err(|e| ActionError::Other(e.to_string()))
    }

    /// Wraps a key for a node that cannot open it.
    pub(super) async fn wrap(&self, wanted: WantedWrap) -> Done {
        let WantedWrap { spki, cert, node, sealing_key } = wanted;
        let (sealed, purpose) = self.sealed(&spki, cert.as_ref()).await?;
        if let Some(cert) = &cert {
            self.put_key_right(&spki).await?;
            self.put_versions_right(cert, &spki).await?;
        }
        let later: Option<WrapRecord> = self.kept(&RecordKey::Wrap(spki.clone(), self.pen.node().clone()))?;
        let later: Option<&Wrap> = later.as_ref().map(|later| &later.wrap);
        let wrap = self.pen.wrap_for(&sealed, later, (&purpose, &spki), (&node, &sealing_key));
        let wrap = wrap.map_err(|e| ActionError::Other(format!("keys/{spki} for {node}: {e}")))?;
        let key = RecordKey::Wrap(spki.clone(), node.clone());
        let expect = self.base(&key).await?;
        let record = WrapRecord { spki: spki.clone(), node: node.clone(), wrap, extra: Default::default() };
        crash::point("before-store", "wrap");
        let (_, done) = self.put(&key, &record, &expect).await?;
        crash::point("after-store", "wrap");
        if done {
            tracing::info!(event = "wrapped", key = spki.as_str(), reader = %node);
        }
        Ok((Vec::new(), Outcome::Wrapped(spki, node)))
    }

    /// What this node has of a key is put into the store again, if something else or nothing stands there.
    async fn put_key_right(&self, spki: &SpkiHash) -> Result<(), ActionError> {
        let key = RecordKey::PrivateKey(spki.clone());
        let Some(kept) = self.keeper.get(&key.key()) else { return Ok(()) };
        let is_there = matches!(self.read_trusted(&key).await, Ok(Some(there)) if there.body == kept.body);
        if !is_there {
            let expect = self.base(&key).await?;
            self.put(&key, &kept.body, &expect).await?;
            tracing::warn!(event = "key-put-right", key = %key, "what stood there was not the key that its readers have");
        }
        Ok(())
    }

    /// The same of the chains that this key is in. Which of two is right only the record says, of the one that is placed.
    async fn put_versions_right(&self, cert: &CertName, spki: &SpkiHash) -> Result<(), ActionError> {
        let record: Option<CertRecord> = self.kept(&RecordKey::Cert(cert.clone()))?;
        let placed = record.and_then(|record| record.placed);
        for (number, _) in self.keeper.generations(cert).into_iter().filter(|(_, key)| key == spki) {
            let key = RecordKey::Version(cert.clone(), number);
            match placed.as_ref().filter(|placed| placed.placement.generation == number) {
                Some(placed) => self.put_version_right(&key, &placed.version).await?,
                None => self.put_back_lost(&key.key(), |key| self.keeper.get(key)).await?,
            }
        }
        Ok(())
    }

    async fn put_version_right(&self, key: &RecordKey, vouched: &VersionHash) -> Result<(), ActionError> {
        let is_there = matches!(self.read(&key.key()).await, Ok((_, Some(there))) if there.envelope.body_hash() == *vouched);
        if let Some(kept) = self.keeper.get(&key.key()).filter(|kept| !is_there && kept.body_hash() == *vouched) {
            let expect = self.base(key).await?;
            self.put_envelope(key.key(), kept, &expect).await?;
            tracing::warn!(event = "chain-put-right", key = %key.key(), "what stood there was not the chain that the certificate's record vouches for");
        }
        Ok(())
    }

    /// An engine that loses acknowledged writes may have lost what an attempt is built on: the key that was made for it, the chain that was
    /// stored. What this node has of it is put back before the CA, or the fleet, is told to rely on it. A key that is one node's own was never there.
    pub(super) async fn see_to_key(&self, cert: &CertName, spki: &SpkiHash) -> Result<(), ActionError> {
        if cert.node().is_some() {
            return Ok(());
        }
        self.put_back_lost(&RecordKey::PrivateKey(spki.clone()).key(), |key| self.keeper.get(key).or_else(|| self.keeper.made(cert, key)))
            .await
    }

    /// The same of a chain.
    pub(super) async fn see_to_version(&self, cert: &CertName, number: Generation) -> Result<(), ActionError> {
        self.put_back_lost(&RecordKey::Version(cert.clone(), number).key(), |key| self.keeper.get(key)).await
    }

    async fn put_back_lost(&self, key: &Key, kept: impl Fn(&Key) -> Option<Envelope>) -> Result<(), ActionError> {
        if !matches!(self.read(key).await, Ok((_, None))) {
            return Ok(());
        }
        if let Some(envelope) = kept(key) {
            self.put_envelope(key.clone(), envelope, &Expect::Absent).await?;
            tracing::warn!(event = "lost-and-put-back", key = %key, "the store lost what it had acknowledged");
        }
        Ok(())
    }

    async fn sealed(&self, spki: &SpkiHash, cert: Option<&CertName>) -> Result<(Sealed, String), ActionError> {
        let Some(cert) = cert else {
            let record: Option<AccountKeyRecord> = self.kept(&RecordKey::AccountKey)?;
            let key = record.and_then(|record| record.keys().find(|key| key.spki == *spki).cloned());
            let key = key.ok_or_else(|| ActionError::Other(format!("the account key {spki} is not there any more")))?;
            return Ok((key.key, ACCOUNT_PURPOSE.to_owned()));
        };
        self.private_key(cert, spki).await?;
        let record: Option<PrivateKeyRecord> = self.kept(&RecordKey::PrivateKey(spki.clone()))?;
        let record = record.ok_or_else(|| ActionError::Other(format!("keys/{spki} is not here")))?;
        Ok((record.key, record.cert.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arc_swap::ArcSwap;
    use certfleet_acme::SystemKeys;
    use certfleet_core::records::VersionRecord;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::Full;
    use crate::keeper::Keeper;
    use crate::operator::lab::{Lab, cert, name, spec};
    use crate::trust::Pen;

    async fn executor(lab: &Lab, node: &str) -> Executor {
        Executor {
            pen: Pen::new(&lab.identity(node)),
            roster: Arc::new(ArcSwap::new(lab.view(node).await.roster.arc().clone())),
            keeper: Keeper::new(&lab.machine(node).settings.state),
            store: lab.store().await,
            authorities: Default::default(),
            targets: Default::default(),
            roots: Default::default(),
            keys: Arc::new(SystemKeys),
            clock: Arc::new(SystemClock::start()),
            metrics: Arc::default(),
            opened: Default::default(),
        }
    }

    #[tokio::test]
    async fn a_key_is_known_by_its_hash_though_its_maker_is_in_no_more() {
        let lab = Lab::new().await;
        let spki = lab.issue("n2", 1).await;
        lab.remove("n2").await;
        let n3 = executor(&lab, "n3").await;
        assert!(n3.private_key(&cert(), &spki).await.is_ok());
        let key = RecordKey::PrivateKey(spki.clone()).key();
        n3.keeper.forget(&key);
        let other = lab.issue("n1", 2).await;
        let planted = lab.get(&RecordKey::PrivateKey(other).key()).await.expect("is there");
        lab.plant(&key, &planted).await;
        let refused = n3.private_key(&cert(), &spki).await.map(|_| ()).expect_err("it is another key");
        assert!(matches!(refused, ActionError::Lacks(lacked, _) if lacked == spki));
    }

    /// Else each try leaves one there.
    #[tokio::test]
    async fn on_a_full_disk_no_key_gets_into_the_store() {
        let (lab, number) = (Lab::new().await, Generation(1));
        let (n1, readers) = (executor(&lab, "n1").await, lab.view("n1").await.readers(&spec()));
        let wanted = WantedKey { kind: KeyType::default(), names: spec().names, readers, after_removals: 0 };
        let full = Full::of(&lab.machine("n1").settings.state);
        for _ in 0..3 {
            assert!(n1.make_key(cert(), number, wanted.clone()).await.is_err(), "there is no room");
        }
        let stored = async || lab.everything().await.iter().filter(|(key, _)| key.is_under("keys")).count();
        assert_eq!(stored().await, 0);
        drop(full);
        assert!(n1.make_key(cert(), number, wanted).await.is_ok());
        assert_eq!(stored().await, 1);
    }

    fn version(number: u64, key: &SpkiHash, chain: &str) -> VersionRecord {
        VersionRecord {
            cert: cert(),
            generation: Generation(number),
            key: key.clone(),
            issuer: name("ca"),
            chain: chain.to_owned(),
            after_removals: 0,
            extra: Default::default(),
        }
    }

    /// It is of no use to anybody but who made it before the backup was restored.
    #[tokio::test]
    async fn a_chain_of_an_undone_attempt_gives_way_to_that_of_the_next_with_its_number() {
        let (lab, chains) = (Lab::new().await, ["old.example", "new.example"].map(certificate));
        let n1 = executor(&lab, "n1").await;
        let spki = SpkiHash::of(b"a key");
        for chain in &chains {
            n1.store_version(cert(), version(4, &spki, chain)).await.expect("it is stored");
            let stored: VersionRecord = lab.read(&RecordKey::Version(cert(), Generation(4))).await;
            assert_eq!(stored.chain, *chain);
        }
    }

    fn certificate(name: &str) -> String {
        rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate").cert.pem()
    }

    #[tokio::test]
    async fn who_has_a_key_puts_the_placed_chain_right() {
        let lab = Lab::new().await;
        let spki = lab.issue("n2", 1).await;
        lab.remember("n3").await;
        let (n3, at) = (executor(&lab, "n3").await, RecordKey::Version(cert(), Generation(1)));
        let good = lab.get(&at.key()).await.expect("is there");
        lab.plant(&at.key(), &Envelope { body: serde_json::json!({ "chain": "spoilt" }), ..good.clone() }).await;
        n3.put_versions_right(&cert(), &spki).await.expect("it is put right");
        assert_eq!(lab.get(&at.key()).await.expect("is there").body, good.body);
        lab.delete(&at.key()).await;
        n3.put_versions_right(&cert(), &spki).await.expect("it is put back");
        assert_eq!(lab.get(&at.key()).await.expect("is there").body, good.body);
    }
}
