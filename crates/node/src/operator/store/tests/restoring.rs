//! `store backup` and `store restore`: there and back, over something newer, after removals, and cut off at every write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certfleet_core::envelope::Revision;
use certfleet_core::records::{FleetRecord, Presence, PresenceState};
use certfleet_store::{Put, StoreError, Stored, Watch};

use super::super::file::Backup;
use super::super::restore::restore_into;
use super::*;

#[tokio::test]
async fn a_backup_fills_an_empty_store_and_nothing_is_lost() {
    let lab = Lab::new().await;
    lab.issue("n2", 1).await;
    lab.remember("n2").await;
    let (text, before) = (lab.backup().await, lab.everything().await);
    lab.lose_store();
    let restored = lab.restore("n2", &text, how(Some(&lab.key_file()))).await.expect("restores");
    assert_eq!((restored.epoch, restored.lost), (1, Vec::new()));
    let after = lab.everything().await;
    let verbatim = |(key, _): &&(Key, Envelope)| !key.is_under("fleet") && !key.is_under("joining");
    assert_eq!(after.iter().filter(verbatim).collect::<Vec<_>>(), before.iter().filter(verbatim).collect::<Vec<_>>());
    for node in ["n1", "n2", "n3"] {
        assert_eq!(lab.check(node).await, [], "{node}");
    }
    assert!(lab.restore("n2", &text, how(Some(&lab.key_file()))).await.expect_err("is full now").contains("--replace"));
}

#[tokio::test]
async fn nodes_take_older_records_after_a_restore_and_only_then() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let (text, old) = (lab.backup().await, lab.get(&cert_key()).await.expect("is there"));
    lab.issue("n2", 2).await;
    lab.remember("n3").await;
    lab.plant(&cert_key(), &old).await;
    let view = lab.view("n3").await;
    assert_eq!((generation(&view), view.strays.len()), (2, 1), "put back by somebody, it does not count");
    lab.issue("n2", 3).await;
    lab.remember("n3").await;

    let refused = lab.restore("n1", &text, how(None)).await.expect_err("the store is not empty");
    assert!(refused.contains("example.com: generation 3 goes back to generation 1") && refused.contains("--replace"), "{refused}");
    assert_eq!(generation(&lab.view("n3").await), 3, "nothing was written");
    let restored = lab.restore("n1", &text, over(None)).await.expect("restores");
    assert_eq!((restored.epoch, restored.lost.len()), (1, 1), "{restored:?}");
    for node in ["n1", "n3"] {
        let view = lab.view(node).await;
        assert_eq!((generation(&view), view.strays.len()), (1, 0), "{node}: {:?}", view.strays);
        assert_eq!(lab.check(node).await, [], "{node}");
    }
    let again = lab.restore("n1", &text, over(None)).await.expect("restores");
    assert_eq!((again.epoch, again.written, again.lost.len()), (2, Vec::new(), 0));
}

#[tokio::test]
async fn membership_never_goes_back() {
    let lab = Lab::new().await;
    lab.issue("n2", 1).await;
    let text = lab.backup().await;
    lab.let_in_by_fleet_key("n4").await;
    lab.remove("n2").await;
    // The cache alone knows of both: the store is lost.
    lab.remember("n1").await;
    lab.lose_store();
    lab.restore("n1", &text, how(None)).await.expect("restores");
    let view = lab.view("n1").await;
    let members: Vec<&str> = view.roster.members.keys().map(NodeName::as_str).collect();
    assert_eq!(members, ["n1", "n3", "n4"], "n2 stays out, n4 stays in, n3 though n2 let it in");
    assert_eq!((generation(&view), lab.get(&cert_key()).await.expect("is there").writer.as_str()), (1, "n1"), "n2's word, said by n1");
    let missing = lab.check("n3").await;
    assert!(missing.iter().all(|problem| problem.what.contains("it is not sealed for n4")) && missing.len() == 1, "{missing:#?}");
    let removed = lab.restore("n2", &text, over(Some(&lab.key_file()))).await.expect_err("n2 is out");
    assert!(removed.contains("node n2 was removed"), "{removed}");
}

#[tokio::test]
async fn only_an_issue_node_vouches_for_what_a_removed_one_wrote() {
    let lab = Lab::new().await;
    lab.issue("n2", 1).await;
    let text = lab.backup().await;
    lab.remove("n2").await;
    let before = lab.everything().await;
    let refused = lab.restore("n3", &text, over(Some(&lab.key_file()))).await.expect_err("it may not");
    assert!(refused.contains("give the command on one of n1"), "{refused}");
    assert_eq!(lab.everything().await, before);
}

#[tokio::test]
async fn running_nodes_are_named() {
    let lab = Lab::new().await;
    let text = lab.backup().await;
    let presence = Presence {
        incarnation: name("a1"),
        beat: 1,
        at: now(),
        version: "0".into(),
        config: certfleet_core::names::ConfigHash::of(b""),
        roles: all_roles(),
        state: PresenceState::Live,
        troubles: Vec::new(),
        lacks: Vec::new(),
        reads_format: 1,
        extra: Default::default(),
    };
    lab.write("n2", &RecordKey::Presence(name("n2")), &presence).await;
    let refused = lab.restore("n1", &text, over(None)).await.expect_err("n2 runs");
    assert!(refused.contains("nodes are running: n2") && refused.contains("--force"), "{refused}");
    lab.restore("n1", &text, Restoring { force: true, ..over(None) }).await.expect("restores");
    lab.write("n2", &RecordKey::Presence(name("n2")), &Presence { state: PresenceState::Leaving, ..presence }).await;
    lab.restore("n1", &text, over(None)).await.expect("restores");
}

#[tokio::test]
async fn keys_that_a_removed_node_made_are_not_lost() {
    let lab = Lab::new().await;
    let spki = lab.issue("n2", 1).await;
    lab.remove("n2").await;
    // As a daemon with the role issue does for what never goes away.
    let certificate: certfleet_core::records::CertRecord = lab.read(&RecordKey::Cert(cert())).await;
    lab.write("n1", &RecordKey::Cert(cert()), &certificate).await;
    for node in ["n1", "n3"] {
        assert_eq!(lab.check(node).await, [], "{node}: nothing has to be done about it");
    }
    let (text, at) = (lab.backup().await, RecordKey::PrivateKey(spki).key());
    lab.lose_store();
    lab.restore("n1", &text, how(None)).await.expect("restores");
    assert_eq!(lab.get(&at).await.expect("is there").writer.as_str(), "n1", "every node believes it again");
    assert_eq!(lab.check("n3").await, []);
    let planted = Envelope { change: 9, ..lab.get(&at).await.expect("is there") };
    let forged = Pen::new(&lab.identity("n3")).write(&RecordKey::Cert(cert()), &certificate, &Expect::Absent).expect("signs");
    lab.plant(&at, &Envelope { writer: name("n2"), signature: forged.signature, ..planted }).await;
    assert!(!lab.check("n1").await.is_empty(), "n2's name alone is not enough");
}

/// A store that takes so many writes and no more; and before the first write of a record somebody else writes something there.
#[derive(Debug)]
struct Disturbed {
    store: Arc<dyn Store>,
    writes: AtomicUsize,
    first: Mutex<Option<(Key, Envelope)>>,
}

#[async_trait::async_trait]
impl Store for Disturbed {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }
    async fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store.get(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        self.store.list(prefix).await
    }
    async fn put(&self, key: &Key, value: &Envelope, expect: &Expect) -> Result<Put, StoreError> {
        let left = self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| StoreError::Away { why: "cut off".into() })?;
        let other = self.first.lock().expect("not poisoned").take_if(|(at, _)| at == key);
        if let Some((key, other)) = other {
            let there = self.store.get(&key).await?.map_or(Expect::Absent, |there| Expect::Revision(there.revision));
            self.store.put(&key, &other, &there).await?;
        }
        self.store.put(key, value, expect).await
    }
    async fn delete(&self, key: &Key, expect: &Revision) -> Result<Put, StoreError> {
        self.store.delete(key, expect).await
    }
    async fn watch(&self, prefix: &str) -> Result<Watch, StoreError> {
        self.store.watch(prefix).await
    }
    fn visibility_delay(&self) -> Duration {
        self.store.visibility_delay()
    }
}

#[tokio::test]
async fn cut_off_at_any_write_it_is_harmless_and_can_be_given_again() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let text = lab.backup().await;
    lab.issue("n1", 2).await;
    lab.remember("n3").await;
    let (machine, identity) = (lab.machine("n1"), lab.identity("n1"));
    for writes in 0.. {
        lab.lose_store();
        let store = machine.store_or_new().await.expect("makes one");
        let store = Disturbed { store, writes: writes.into(), first: Mutex::default() };
        let backup = Backup::read(&text, &identity).expect("reads");
        let sifted = backup.verify(&machine.settings, &identity).expect("is sound");
        let cut = restore_into(&store, &machine, (&backup, sifted), &lab.fleet_key(), &how(None)).await;
        if cut.is_ok() {
            assert!(writes > 5, "{writes}");
            break;
        }
        let view = lab.view("n3").await;
        assert_eq!(generation(&view), 2, "until the last write n3 holds on to what it knows");
        lab.restore("n1", &text, over(None)).await.expect("restores");
        let view = lab.view("n3").await;
        assert_eq!((generation(&view), view.strays.len()), (1, 0), "after {writes} writes");
    }
}

#[tokio::test]
async fn what_others_write_meanwhile_is_not_forgotten() {
    let lab = Lab::new().await;
    lab.issue("n1", 1).await;
    let (text, machine, identity) = (lab.backup().await, lab.machine("n1"), lab.identity("n1"));
    let before = lab.get(&RecordKey::Fleet.key()).await.expect("is there");
    lab.remove("n2").await;
    let removed: FleetRecord = lab.read(&RecordKey::Fleet).await;
    let (at, base) = (RecordKey::Fleet.key(), Expect::Revision(before.revision("1")));
    let removed = FleetRecord { epoch: 6, ..removed };
    let other = Pen::new(&identity).write_as_fleet(&RecordKey::Fleet, &removed, &base, &lab.fleet_key()).expect("signs");
    lab.plant(&at, &before).await;
    let store = Disturbed { store: lab.store().await, writes: 100.into(), first: Mutex::new(Some((at, other))) };
    let backup = Backup::read(&text, &identity).expect("reads");
    let sifted = backup.verify(&machine.settings, &identity).expect("is sound");
    let restored = restore_into(&store, &machine, (&backup, sifted), &lab.fleet_key(), &over(None)).await.expect("restores");
    let fleet: FleetRecord = lab.read(&RecordKey::Fleet).await;
    assert_eq!((restored.epoch, fleet.epoch, fleet.removals.len()), (7, 7, 1), "above the other's, with its removal");
}
