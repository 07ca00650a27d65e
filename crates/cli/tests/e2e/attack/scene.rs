//! A fleet with a record of every kind, and somebody who writes into its store behind its back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::{Key, RecordKey};
use certfleet_store::{Put, Store, Stored};

use crate::client::get;
use crate::fleet::{Certificate, Config, Fleet, Lab, audit};

/// The certificate of the whole fleet; its key is kept, so that it is asked for.
pub const SHARED: &str = "shared.example.com";
/// One for each node, with a key that never leaves it.
pub const OWN: &str = "own.example.com";
/// May only install. It is let in when the first certificates are there, so that keys are wrapped for it.
pub const INSTALLER: u8 = 3;
const CHALLENGE: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
/// Kinds that every node watches; of the others each reads what it needs, when it needs it.
const WATCHED: [&str; 9] = ["fleet", "nodes", "joining", "invitations", "presence", "accounts", "certs", "requests", "reports"];
const UNWATCHED: [&str; 3] = ["keys", "wraps", "versions"];

/// The fleet, and what its CA, its web servers and its answers were when the attack began.
pub struct Scene {
    pub fleet: Fleet,
    pub store: Arc<dyn Store>,
    before: Seen,
    read: BTreeMap<u8, Refusals>,
    planted: std::sync::Mutex<Vec<(Key, Envelope)>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    orders: usize,
    issued: usize,
    accounts: usize,
    live: BTreeMap<PathBuf, Vec<u8>>,
    answers: Vec<String>,
}

/// What a node's log says it refused, read up to a place.
#[derive(Default)]
struct Refusals {
    read_to: usize,
    seen: BTreeSet<(String, String)>,
}

impl Scene {
    /// Two nodes that do everything, a third that may only install, all with everything they should have.
    pub async fn new() -> Option<Self> {
        let lab = Lab::new(INSTALLER, |_| {}).await?;
        let mut config = Config::plain(SHARED);
        config.certificates[0].lines = "key = { reuse = true }".into();
        config.certificates.push(Certificate { lines: "key = { policy = \"per-node\" }".into(), ..Certificate::plain(OWN) });
        let mut fleet = Fleet::with(lab, config, 2).await;
        fleet.start_all();
        fleet.all_have_of(SHARED, 1).await;
        let late = fleet.grow_as("deploy").await;
        assert_eq!(late, INSTALLER);
        fleet.start(late);
        fleet.all_have_of(SHARED, 1).await;
        fleet.certfleet(1, &["renew", SHARED]).await.worked();
        fleet.all_have_of(SHARED, 2).await;
        for n in fleet.numbers() {
            let own = format!("{OWN}@n{n}");
            fleet.until("its own certificate", || fleet.has(n, &own, 1)).await;
        }
        let store = fleet.store().await;
        let mut scene = Self { fleet, store, before: Seen::nothing(), read: BTreeMap::new(), planted: Default::default() };
        scene.before = scene.look().await;
        assert!(scene.before.answers[2].starts_with("404"), "who was not granted `answer` answers nothing: {:?}", scene.before.answers);
        Some(scene)
    }

    /// Every record, in the order of the keys.
    pub async fn records(&self) -> Vec<(Key, Stored)> {
        let mut all = Vec::new();
        for kind in WATCHED.iter().chain(&UNWATCHED) {
            all.extend(self.store.list(kind).await.expect("the store can be read").entries);
        }
        all
    }

    async fn look(&self) -> Seen {
        let mut live = BTreeMap::new();
        let mut answers = Vec::new();
        for n in self.fleet.numbers() {
            live.extend(
                audit::files(&self.fleet.dir(n).join("live"))
                    .into_iter()
                    .map(|path| (path.clone(), std::fs::read(path).expect("it can be read"))),
            );
            answers.push(match get(self.fleet.lab.address(n), SHARED, CHALLENGE).await {
                Ok(answer) => format!("{} {}", answer.status, answer.body),
                Err(_) => "none".to_owned(),
            });
        }
        let pebble = &self.fleet.lab.pebble;
        Seen { orders: pebble.orders_seen(), issued: pebble.issued().len(), accounts: pebble.accounts_seen(), live, answers }
    }

    /// Writes over what stands there, whatever it is. Gives the revision, or none if somebody else was faster.
    pub async fn plant(&self, key: &Key, envelope: &Envelope) -> Option<(Key, String)> {
        let expect = match self.store.get(key).await {
            Ok(there) => there.map_or(Expect::Absent, |stored| Expect::Revision(stored.revision)),
            Err(certfleet_store::StoreError::Corrupt { revision, .. }) => Expect::Revision(revision),
            Err(error) => panic!("{key}: {error}"),
        };
        self.planted.lock().expect("no panic while holding it").push((key.clone(), envelope.clone()));
        match self.store.put(key, envelope, &expect).await.expect("the store takes it") {
            Put::Done(revision) => Some((key.clone(), revision.engine)),
            _ => None,
        }
    }

    /// Waits until each of these nodes has refused what was planted, or it was written over; kinds that nodes do not watch are not waited for.
    pub async fn are_refused(&mut self, nodes: &[u8], planted: Vec<(Key, String)>) {
        let watched = planted.into_iter().filter(|(key, _)| WATCHED.iter().any(|kind| key.is_under(kind)));
        let mut waiting: Vec<(Key, String)> = watched.collect();
        let end = std::time::Instant::now() + crate::LIMIT;
        loop {
            for n in nodes {
                self.read_log(*n);
            }
            let mut left = Vec::new();
            for (key, revision) in waiting {
                let pair = (key.to_string(), revision.clone());
                if !nodes.iter().all(|n| self.read[n].seen.contains(&pair)) && self.stands(&key, &revision).await {
                    left.push((key, revision));
                }
            }
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < end, "not refused by all of {nodes:?}: {left:?}");
            waiting = left;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// `store check` names what was planted, also of the kinds that nobody watches; but for what was written over meanwhile.
    pub async fn are_named(&self, planted: &[(Key, String)]) {
        let checked = self.fleet.certfleet(1, &["store", "check", "--json"]).await;
        if checked.stderr.contains("the store holds fleet") {
            assert!(planted.iter().any(|(key, _)| *key == RecordKey::Fleet.key()), "{checked:?}");
            return;
        }
        let checked: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap_or_else(|error| panic!("{error}: {checked:?}"));
        let problems = checked["problems"].as_array().expect("a list");
        for (key, revision) in planted {
            let is_named = problems.iter().any(|problem| problem["key"] == key.as_str());
            assert!(is_named || !self.stands(key, revision).await, "{key} is not named: {checked:#}");
        }
    }

    async fn stands(&self, key: &Key, revision: &str) -> bool {
        match self.store.get(key).await {
            Ok(there) => there.is_some_and(|stored| stored.revision.engine == revision),
            Err(certfleet_store::StoreError::Corrupt { revision: there, .. }) => there.engine == revision,
            Err(error) => panic!("{key}: {error}"),
        }
    }

    fn read_log(&mut self, n: u8) {
        let log = self.fleet.log(n);
        let refusals = self.read.entry(n).or_default();
        let whole = log.rfind('\n').map_or(0, |at| at + 1);
        for line in log[refusals.read_to..whole].lines().filter(|line| line.contains("record-refused")) {
            let value: serde_json::Value = serde_json::from_str(line).expect("a log line");
            let text = |name: &str| value[name].as_str().expect("a text").to_owned();
            refusals.seen.insert((text("key"), text("revision")));
        }
        refusals.read_to = whole;
    }

    /// Waits until what was planted stands nowhere any more among the records that are never removed.
    pub async fn is_put_right(&self) {
        let stands = |(key, stored): &(Key, Stored)| {
            let kept = RecordKey::of(key).is_some_and(|record| certfleet_core::view::is_kept(&record));
            kept && self.is_forged(key, &stored.envelope)
        };
        let look = || async { (!self.records().await.iter().any(stands) && self.is_whole().await).then_some(()) };
        self.fleet.until("what was planted is put right", look).await;
    }

    /// Whether all that should be there is readable.
    async fn is_whole(&self) -> bool {
        for kind in WATCHED {
            if !self.store.list(kind).await.expect("the store can be read").unreadable.is_empty() {
                return false;
            }
        }
        true
    }

    fn is_forged(&self, key: &Key, envelope: &Envelope) -> bool {
        self.planted.lock().expect("no panic while holding it").contains(&(key.clone(), envelope.clone()))
    }

    /// What there is now is what nothing may come of from now on.
    pub async fn is_as_it_was_before(&mut self) {
        self.before = self.look().await;
    }

    /// Nothing was installed, ordered or answered because of it, and nobody died.
    pub async fn nothing_came_of_it(&mut self) {
        for n in self.fleet.numbers() {
            assert!(self.fleet.ended(n).is_none(), "node {n} ended:\n{}", self.fleet.log(n));
        }
        let now = self.look().await;
        assert!(now == self.before, "before: {:?}\nnow: {:?}", self.before.told(), now.told());
    }

    /// All records that are never removed count again, and the fleet does all of its work.
    pub async fn the_fleet_goes_on(&mut self, generation: u64) {
        self.fleet.certfleet_until_it_works(1, &["renew", SHARED]).await;
        self.fleet.all_have_of(SHARED, generation).await;
        assert_eq!(self.fleet.lab.pebble.orders_seen(), self.before.orders + 1, "one order for what was asked for");
        assert_eq!(self.fleet.lab.pebble.accounts_seen(), self.before.accounts);
    }
}

impl Seen {
    fn nothing() -> Self {
        Self { orders: 0, issued: 0, accounts: 0, live: BTreeMap::new(), answers: Vec::new() }
    }

    fn told(&self) -> String {
        let hash = |bytes: &Vec<u8>| certfleet_core::hash::sha256_hex(bytes)[..8].to_owned();
        let live: Vec<String> = self.live.iter().map(|(path, bytes)| format!("{}={}", path.display(), hash(bytes))).collect();
        format!(
            "{} orders, {} certificates, {} accounts, answers {:?}, {}",
            self.orders,
            self.issued,
            self.accounts,
            self.answers,
            live.join(" ")
        )
    }
}

/// Records that node [`INSTALLER`] may write: no node must refuse them, and nothing must come of them all the same.
pub fn may_be_written_by_the_installer(key: &Key) -> bool {
    let name = format!("n{INSTALLER}");
    match RecordKey::of(key).expect("a record's key") {
        RecordKey::Presence(node) | RecordKey::Report(_, node, _) | RecordKey::Request(_, node) => node.as_str() == name,
        RecordKey::PrivateKey(_) | RecordKey::Wrap(..) => true,
        _ => false,
    }
}
