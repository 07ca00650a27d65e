//! A small fleet on disk, without daemons: `n1` made it, `n2` was let in by the fleet key, `n3` only deploys and was let in by `n2`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use certfleet_acme::make_key_and_csr;
use certfleet_core::decide::Readers;
use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_core::names::{CertName, Fingerprint, Generation, NodeName, SpkiHash};
use certfleet_core::records::{CertRecord, NodeRecord, Placed, Placement, PrivateKeyRecord, VersionRecord};
use certfleet_core::spec::{ChallengeType, KeyPolicy, KeyType, Role, Roles, Rollout, Specification, all_roles};
use certfleet_core::time::{Timestamp, later};
use certfleet_core::trust::SigningKey;
use certfleet_core::view::{View, is_kept};
use certfleet_store::{Listing, Settled, Store, StoreError, put_settled};
use serde::Serialize;

use super::store::{Problem, Restored, Restoring, store_backup, store_check, store_restore};
use super::{Machine, view_of};
use crate::identity::Identity;
use crate::keeper::Keeper;
use crate::membership::{FleetKeyPlace, Invitation, Joiner, init, invite, join, remove_node};
use crate::trust::Pen;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub struct Lab {
    pub dir: tempfile::TempDir,
    config: PathBuf,
}

pub fn name<T: std::str::FromStr<Err = certfleet_core::names::NameError>>(text: &str) -> T {
    text.parse().expect("a name")
}

pub fn cert() -> CertName {
    name("example.com")
}

pub fn cert_key() -> Key {
    RecordKey::Cert(cert()).key()
}

pub fn now() -> Timestamp {
    Timestamp::now()
}

impl Lab {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let config = dir.path().join("certfleet.toml");
        let at = dir.path().display();
        let nodes: String = (1..=4).map(|n| format!("[node.n{n}]\nstate = \"{at}/n{n}\"\n")).collect();
        let text = format!(
            "[fleet]\nname = \"prod\"\nstore = \"file://{at}/store\"\n[answer]\nhttp = \"off\"\n\
             [issuer.ca]\ndirectory = \"https://127.0.0.1:9/directory\"\nagree_tos = true\n{nodes}"
        );
        std::fs::write(&config, text).expect("writes");
        let lab = Self { dir, config };
        let store = certfleet_store::open_or_create(&lab.machine("n1").settings.store).await.expect("makes a store");
        init(store.as_ref(), &lab.machine("n1").settings, Some(&name("n1")), &FleetKeyPlace::State, now()).await.expect("init");
        lab.let_in_by_fleet_key("n2").await;
        lab.let_in_by("n2", "n3", [Role::Deploy].into()).await;
        lab
    }

    pub fn machine(&self, node: &str) -> Machine {
        Machine::load(&self.config, Some(&name(node))).expect("the configuration is good")
    }

    pub fn identity(&self, node: &str) -> Identity {
        self.machine(node).member().expect("has joined").clone()
    }

    pub fn fleet_key(&self) -> SigningKey {
        self.machine("n1").fleet_key(None).expect("init made it")
    }

    pub async fn store(&self) -> std::sync::Arc<dyn Store> {
        self.machine("n1").store().await.expect("is there")
    }

    pub async fn view(&self, node: &str) -> View {
        let machine = self.machine(node);
        view_of(self.store().await.as_ref(), &machine.settings, &self.identity(node), now()).await.expect("can be read")
    }

    pub async fn let_in_by_fleet_key(&self, node: &str) {
        let fleet = self.identity("n1");
        let machine = self.machine(node);
        let identity =
            Identity::draw(fleet.fleet.clone(), fleet.fleet_name.clone(), fleet.verifying_keys.clone(), name(node)).expect("draws");
        identity.save(&machine.settings.state).expect("saves");
        let (signing_key, sealing_key) = identity.public_keys();
        let record = NodeRecord {
            name: name(node),
            identity: identity.identity.clone(),
            signing_key,
            sealing_key,
            granted: all_roles(),
            joined_at: now(),
            grant: None,
            proof: None,
            extra: Default::default(),
        };
        let key = RecordKey::Node(name(node));
        let envelope = Pen::new(&fleet).write_as_fleet(&key, &record, &Expect::Absent, &self.fleet_key()).expect("signs");
        self.put(&key.key(), &envelope, Expect::Absent).await;
    }

    pub async fn let_in_by(&self, issuer: &str, node: &str, roles: Roles) {
        let machine = self.machine(node);
        let invitation = Invitation { node: node.parse().expect("pattern"), roles, uses: 1, valid_for: DAY, replace: false };
        let token = invite(&self.view("n1").await, (&machine.settings.store, &[]), &invitation, &self.fleet_key(), now()).expect("invites");
        join(self.store().await.as_ref(), &machine.settings, &token, Joiner::new(&machine.settings, &token, None).expect("may ask"), now())
            .await
            .expect("asks");
        let asking: NodeRecord = self.read(&RecordKey::Joining(name(node))).await;
        self.write(issuer, &RecordKey::Node(name(node)), &asking).await;
    }

    pub async fn get(&self, key: &Key) -> Option<Envelope> {
        self.store().await.get(key).await.expect("readable").map(|stored| stored.envelope)
    }

    pub async fn read<T: serde::de::DeserializeOwned>(&self, key: &RecordKey) -> T {
        self.get(&key.key()).await.expect("is there").record().expect("reads")
    }

    pub async fn put(&self, key: &Key, envelope: &Envelope, expect: Expect) {
        let done = put_settled(self.store().await.as_ref(), key, envelope, &expect).await.expect("writes");
        assert!(matches!(done, Settled::Done(_)), "{key}");
    }

    pub async fn expect(&self, key: &Key) -> Expect {
        match self.store().await.get(key).await {
            Ok(stored) => stored.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision)),
            Err(StoreError::Corrupt { revision, .. }) => Expect::Revision(revision),
            Err(error) => panic!("{error}"),
        }
    }

    /// Over whatever is there, as it stands.
    pub async fn plant(&self, key: &Key, envelope: &Envelope) {
        let expect = self.expect(key).await;
        self.put(key, envelope, expect).await;
    }

    /// Over whatever is there, signed by a node.
    pub async fn write<T: Serialize>(&self, node: &str, key: &RecordKey, record: &T) {
        let expect = self.expect(&key.key()).await;
        let envelope = Pen::new(&self.identity(node)).write(key, record, &expect).expect("signs");
        self.put(&key.key(), &envelope, expect).await;
    }

    pub async fn delete(&self, key: &Key) {
        let there = self.store().await.get(key).await.expect("readable").expect("is there");
        certfleet_store::delete_settled(self.store().await.as_ref(), key, &there.revision).await.expect("deletes");
    }

    /// A generation as an attempt of `node` would leave it, its key sealed for the nodes it is placed on.
    pub async fn issue(&self, node: &str, number: u64) -> SpkiHash {
        let made = make_key_and_csr(KeyType::default(), &spec().names).expect("makes a key");
        let readers: Readers = self.view("n1").await.readers(&spec());
        let key = Pen::new(&self.identity(node)).seal(&made.key_pem, cert().as_str(), &made.spki, &readers).expect("seals");
        let sealed = PrivateKeyRecord { cert: cert(), spki: made.spki.clone(), created_at: now(), key, extra: Default::default() };
        self.write(node, &RecordKey::PrivateKey(made.spki.clone()), &sealed).await;
        self.place(node, cert(), number, made.spki.clone()).await;
        made.spki
    }

    pub async fn place(&self, node: &str, cert: CertName, number: u64, key: SpkiHash) {
        let version = VersionRecord {
            cert: cert.clone(),
            generation: Generation(number),
            key: key.clone(),
            issuer: name("ca"),
            chain: format!("chain {number}"),
            after_removals: 0,
            extra: Default::default(),
        };
        let at = RecordKey::Version(cert.clone(), Generation(number));
        self.write(node, &at, &version).await;
        let hash = self.get(&at.key()).await.expect("was written").body_hash();
        self.write(node, &RecordKey::Cert(cert), &record(number, hash, key)).await;
    }

    /// What a daemon on `node` would have on disk.
    pub async fn remember(&self, node: &str) {
        let keeper = Keeper::new(&self.machine(node).settings.state);
        for (key, stored) in self.store().await.list("").await.expect("lists").entries {
            let kept = RecordKey::of(&key).is_some_and(|record| {
                is_kept(&record) || matches!(record, RecordKey::PrivateKey(_) | RecordKey::Wrap(..) | RecordKey::Version(..))
            });
            if kept {
                keeper.keep(&key, &stored.envelope).expect("keeps");
            }
        }
    }

    pub async fn remove(&self, node: &str) {
        let (store, identity, view) = self.machine("n1").standing().await.expect("stands");
        let what = (&name::<NodeName>(node), false);
        let settings = &self.machine("n1").settings;
        remove_node(store.as_ref(), settings, &identity, &view, what, &self.fleet_key(), now()).await.expect("removes");
    }

    pub fn lose_store(&self) {
        std::fs::remove_dir_all(self.dir.path().join("store")).expect("was there");
    }

    pub async fn everything(&self) -> Vec<(Key, Envelope)> {
        let Listing { entries, unreadable } = self.store().await.list("").await.expect("lists");
        assert!(unreadable.is_empty(), "{unreadable:?}");
        entries.into_iter().map(|(key, stored)| (key, stored.envelope)).collect()
    }

    pub async fn check(&self, node: &str) -> Vec<Problem> {
        store_check(&self.machine(node), now()).await.expect("checks").problems
    }

    pub async fn backup(&self) -> String {
        let made = store_backup(&self.machine("n1"), now()).await.expect("backs up");
        assert_eq!(made.left_out, []);
        made.text
    }

    pub async fn restore(&self, node: &str, text: &str, how: Restoring<'_>) -> Result<Restored, String> {
        store_restore(&self.machine(node), text, &how).await.map_err(|error| error.in_two_lines().to_string())
    }

    pub fn key_file(&self) -> PathBuf {
        crate::fleet_key::path(&self.machine("n1").settings.state)
    }
}

pub fn how(fleet_key: Option<&Path>) -> Restoring<'_> {
    Restoring { fleet_key, replace: false, force: false, at: now() }
}

pub fn over(fleet_key: Option<&Path>) -> Restoring<'_> {
    Restoring { replace: true, ..how(fleet_key) }
}

pub fn spec() -> Specification {
    Specification {
        names: vec!["example.com".parse().expect("a name")],
        issuers: vec![name("ca")],
        challenge: ChallengeType::Http01,
        key: KeyType::default(),
        policy: KeyPolicy::Shared,
        reuse: false,
        nodes: Vec::new(),
        deploy: Vec::new(),
        rollout: Rollout::default(),
    }
}

pub fn record(number: u64, version: certfleet_core::names::VersionHash, key: SpkiHash) -> CertRecord {
    let placed = Placed {
        placement: Placement { epoch: 0, seq: number, generation: Generation(number) },
        version,
        names: spec().names,
        issuer: name("ca"),
        serial: format!("{number:02x}"),
        fingerprint: Fingerprint::of(&number.to_be_bytes()),
        key,
        not_before: now(),
        not_after: later(now(), 90 * DAY),
        resumed: false,
        after_removals: 0,
    };
    CertRecord { placed: Some(placed), last_number: Generation(number), ..CertRecord::of(spec()) }
}

pub fn generation(view: &View) -> u64 {
    view.certs[&cert()].value.placed.as_ref().expect("is placed").placement.generation.0
}
