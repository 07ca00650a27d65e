//! A node that serves its store, and workers that see what their roles need.

use std::net::SocketAddr;

use certfleet_core::key::{Key, RecordKey};
use certfleet_core::trust::SigningKey;
use certfleet_node::identity::Identity;
use certfleet_store::{Credentials, ErrorKind, Store, StoreError};
use certfleet_testkit::free_port;

use crate::fleet::{Certificate, Config, Fleet, Lab};

const NAME: &str = "central.example.com";
/// Placed on nodes 1 and 2 alone.
const ELSEWHERE: &str = "elsewhere.example.com";
const CENTRAL: u8 = 1;
/// It answers and deploys.
const WORKER: u8 = 2;
/// It deploys and nothing else.
const INSTALLER: u8 = 3;

async fn fleet() -> Option<Fleet> {
    fleet_of("answer,deploy").await
}

fn place(lab: &Lab, n: u8) -> SocketAddr {
    let host = lab.site.host(n).into();
    SocketAddr::new(host, free_port(host))
}

/// The worker is granted these roles.
async fn fleet_of(roles: &'static str) -> Option<Fleet> {
    let lab = Lab::new(3, |_| {}).await?;
    let mut config = Config::plain(NAME).served(CENTRAL, place(&lab, CENTRAL));
    config.certificates.push(Certificate { lines: "nodes = [\"n1\", \"n2\"]".into(), ..Certificate::plain(ELSEWHERE) });
    config.granted = [(WORKER, roles), (INSTALLER, "deploy")].into();
    let mut fleet = Fleet::of_strangers(lab, config, 3).await;
    // The worker answers: it is there also while the central node is not.
    for name in [NAME, ELSEWHERE] {
        fleet.lab.pebble.set_a(name, &[fleet.lab.site.host(WORKER)]).await;
    }
    fleet.found().await;
    fleet.start_all();
    fleet.all_have_of(NAME, 1).await;
    fleet.have([CENTRAL, WORKER], ELSEWHERE, 1).await;
    Some(fleet)
}

/// The store as node `n` sees it over the wire.
async fn wire(fleet: &Fleet, n: u8) -> std::sync::Arc<dyn Store> {
    let identity = |n: u8| Identity::load(&fleet.dir(n).join("state")).expect("it can be read").expect("it has joined");
    let server = identity(CENTRAL).signing_key.verifying_key();
    let credentials = Credentials { key: identity(n).signing_key, servers: std::sync::Arc::new(move || vec![server]) };
    certfleet_store::open_with(&fleet.config.store, Some(&credentials)).await.expect("the node serves its store")
}

async fn is_well(fleet: &Fleet, n: u8) {
    fleet.until("the node is well", || async { fleet.admin(n, "/healthz").await.filter(|health| health.status == 200) }).await;
}

/// The node that serves the store dies in the middle of a renewal, and comes back; nothing is issued twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_outlives_its_central_node() {
    let Some(mut fleet) = fleet().await else { return };
    let issued = fleet.lab.pebble.issued().len();
    assert_eq!(issued, 2, "{}", fleet.lab.pebble.log());
    fleet.certfleet(CENTRAL, &["renew", NAME]).await.worked();
    fleet.kill(CENTRAL);
    let away = |health: &crate::client::Answer| health.status == 503 && health.body.contains("cannot be reached");
    for n in [WORKER, INSTALLER] {
        fleet.until("the worker says that its store is away", || async { fleet.admin(n, "/healthz").await.filter(away) }).await;
    }
    // What it serves it also serves after a restart.
    let before = fleet.live(INSTALLER, NAME);
    fleet.stop(INSTALLER);
    fleet.start(INSTALLER);
    fleet.until("the worker says so again", || async { fleet.admin(INSTALLER, "/healthz").await.filter(away) }).await;
    assert_eq!(fleet.live(INSTALLER, NAME), before);
    fleet.start(CENTRAL);
    fleet.all_have(NAME, 2, issued + 1).await;
    for n in fleet.numbers() {
        is_well(&fleet, n).await;
    }
    fleet.certfleet_until_it_works(CENTRAL, &["renew", NAME]).await;
    fleet.all_have(NAME, 3, issued + 2).await;
    assert_eq!(fleet.lab.pebble.orders_seen(), issued + 2, "{}", fleet.lab.pebble.log());
    assert_eq!(fleet.lab.pebble.accounts_seen(), 1);
}

/// A node with the role `deploy` sees what is placed on it, also on the wire, and is content with that.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_sees_what_its_roles_need() {
    let Some(fleet) = fleet().await else { return };
    let all = fleet.store().await.list("").await.expect("readable").entries;
    let elsewhere = fleet.record(ELSEWHERE).await.placed.expect("it is placed").key;
    let hidden = |key: &Key| match RecordKey::of(key) {
        Some(RecordKey::Cert(cert) | RecordKey::Version(cert, _) | RecordKey::Report(cert, ..)) => cert.as_str() == ELSEWHERE,
        Some(RecordKey::PrivateKey(key) | RecordKey::Wrap(key, _)) => key == elsewhere,
        Some(RecordKey::Invitation(_) | RecordKey::AccountKey | RecordKey::Account(_)) => true,
        _ => false,
    };
    assert!(all.iter().filter(|(key, _)| hidden(key)).count() > 5, "{all:?}");
    let installer = wire(&fleet, INSTALLER).await;
    let shown = installer.list("").await.expect("listed");
    assert!(shown.unreadable.is_empty());
    let keys = |entries: &[(Key, certfleet_store::Stored)], prefix: &str| -> Vec<Key> {
        entries.iter().map(|(key, _)| key.clone()).filter(|key| key.is_under(prefix) && !hidden(key)).collect()
    };
    for prefix in ["fleet", "nodes", "certs", "versions", "keys", "reports", "presence"] {
        let wanted = keys(&all, prefix);
        assert_eq!(keys(&shown.entries, prefix), wanted, "{prefix}");
        assert!(!wanted.is_empty() && shown.entries.iter().all(|(key, _)| !hidden(key)), "{prefix}");
    }
    for (key, stored) in &all {
        let there = installer.get(key).await.expect("answered");
        assert_eq!(there.is_none(), hidden(key) && !key.is_under("joining"), "{key}");
        // Nor may it write what it must not, or remove it.
        let put = installer.put(key, &stored.envelope, &certfleet_store::Expect::Revision(stored.revision.clone())).await;
        let delete = installer.delete(key, &stored.revision).await;
        if hidden(key) || key.is_under("certs") || key.is_under("fleet") {
            assert!(
                matches!(&delete, Err(error) if error.kind() == ErrorKind::NeedsOperator && error.to_string().contains(key.as_str())),
                "{key}: {delete:?}"
            );
        }
        if hidden(key) {
            assert!(matches!(&put, Err(StoreError::NeedsOperator { what, .. }) if what.contains(key.as_str())), "{key}: {put:?}");
        }
    }
    is_well(&fleet, INSTALLER).await;
    assert!(fleet.told(INSTALLER, "trouble").iter().all(|line| !line.to_string().contains("does not count")), "{}", fleet.log(INSTALLER));
}

/// The central node is lost with its disk. Another one with the role `issue` serves what it remembers, and the others know it.
#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_over_from_one_that_is_lost() {
    let Some(mut fleet) = fleet_of("issue,answer,deploy").await else { return };
    let issued = fleet.lab.pebble.issued().len();
    fleet.kill(CENTRAL);
    fleet.stop(WORKER);
    std::fs::remove_dir_all(fleet.store_dir()).expect("it is lost");
    fleet.config.overlays.remove(&CENTRAL);
    fleet.config = fleet.config.clone().served(WORKER, place(&fleet.lab, WORKER));
    fleet.write_config();
    let recovered = fleet.certfleet(WORKER, &["store", "recover"]).await;
    assert!(recovered.code == Some(0) && !recovered.stderr.contains("left out"), "{recovered:?}");
    fleet.start(WORKER);
    fleet.stop(INSTALLER);
    fleet.start(INSTALLER);
    for n in [WORKER, INSTALLER] {
        is_well(&fleet, n).await;
    }
    fleet.certfleet(WORKER, &["renew", NAME]).await.worked();
    fleet.have([WORKER, INSTALLER], NAME, 2).await;
    assert_eq!(fleet.lab.pebble.issued().len(), issued + 1, "{}", fleet.lab.pebble.log());
    fleet.certfleet(WORKER, &["store", "check"]).await.worked();
}

/// What commands on a worker cannot see they say.
#[tokio::test(flavor = "multi_thread")]
async fn commands_on_a_worker_say_what_they_do_not_see() {
    let Some(fleet) = fleet().await else { return };
    let status = fleet.status(INSTALLER).await.expect("it runs");
    assert_eq!(status.certificates.iter().map(|cert| cert.name.as_str()).collect::<Vec<_>>(), [NAME]);
    assert_eq!(status.hidden.iter().map(|cert| cert.as_str()).collect::<Vec<_>>(), [ELSEWHERE]);
    let said = fleet.certfleet(INSTALLER, &["status"]).await.worked();
    assert!(said.contains(&format!("not shown to n3, whose roles do not need them: {ELSEWHERE}")), "{said}");
    let refused = fleet.certfleet(INSTALLER, &["status", ELSEWHERE]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("not shown to n3"), "{refused:?}");
    let ls = fleet.certfleet(INSTALLER, &["node", "ls"]).await.worked();
    assert!(["n1", "n2", "n3"].iter().all(|node| ls.contains(node)), "{ls}");
    for n in [WORKER, INSTALLER] {
        let check = fleet.certfleet(n, &["store", "check"]).await;
        assert!(check.code == Some(0) && check.stdout.contains("what its roles need"), "{check:?}");
        let backup = fleet.certfleet(n, &["store", "backup", "-"]).await;
        assert!(backup.code == Some(1) && backup.stderr.contains("would have holes"), "{backup:?}");
        let renew = fleet.certfleet(n, &["renew", NAME]).await;
        assert!(renew.code == Some(1) && renew.stderr.contains("give the command on one of n1"), "{renew:?}");
    }
    assert!(!fleet.certfleet(CENTRAL, &["store", "check"]).await.worked().contains("what its roles need"));
}

/// Who is no member sees the fleet's record and nothing else, and writes nothing but a good asking of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing() {
    let Some(fleet) = fleet().await else { return };
    let server = Identity::load(&fleet.dir(CENTRAL).join("state")).expect("readable").expect("it has joined").signing_key.verifying_key();
    let credentials = Credentials { key: SigningKey::from_seed(&[77; 32]), servers: std::sync::Arc::new(move || vec![server]) };
    let store = certfleet_store::open_with(&fleet.config.store, Some(&credentials)).await.expect("anybody may knock");
    for prefix in ["", "fleet", "nodes", "certs"] {
        let shown = store.list(prefix).await.expect("listed").entries;
        let wanted: &[&str] = if "fleet".starts_with(prefix) { &["fleet"] } else { &[] };
        assert_eq!(shown.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), wanted, "{prefix}");
    }
    for (key, stored) in fleet.store().await.list("").await.expect("readable").entries {
        let shown = store.get(&key).await.expect("answered");
        assert_eq!(shown.is_some(), key.as_str() == "fleet", "{key}");
        let put = store.put(&key, &stored.envelope, &certfleet_store::Expect::Revision(stored.revision.clone())).await;
        assert!(matches!(&put, Err(error) if error.kind() == ErrorKind::NeedsOperator), "{key}: {put:?}");
        assert!(store.delete(&key, &stored.revision).await.is_err(), "{key}");
    }
    // What a member once asked with, which counts, brought by somebody else.
    let asked = fleet.store().await.get(&RecordKey::Node(fleet.name(WORKER)).key()).await.expect("readable").expect("there");
    let put = store.put(&RecordKey::Joining(fleet.name(WORKER)).key(), &asked.envelope, &certfleet_store::Expect::Absent).await;
    assert!(matches!(&put, Err(error) if error.kind() == ErrorKind::NeedsOperator), "{put:?}");
}

/// Which node serves the store a worker learns from its token, and anew from another.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_who_serves_the_store() {
    let Some(mut fleet) = fleet().await else { return };
    let n = fleet.grow_as("deploy").await;
    let look = || async { (fleet.certfleet(n, &["node", "ls"]).await.code == Some(0)).then_some(()) };
    fleet.until("it is let in", look).await;
    // As if the node that it was told of had been replaced.
    let servers = fleet.dir(n).join("state/servers.json");
    let kept = std::fs::read_to_string(&servers).expect("join kept it");
    let other = SigningKey::from_seed(&[78; 32]).verifying_key();
    std::fs::write(&servers, serde_json::json!({ "servers": [other] }).to_string()).expect("written");
    let refused = fleet.certfleet(n, &["node", "ls"]).await;
    assert!(
        refused.code == Some(1) && refused.stderr.contains(&other.fingerprint()) && refused.stderr.contains("certfleet join"),
        "{refused:?}"
    );
    let tokens = fleet.lab.dir.path().join("tokens").display().to_string();
    let used = std::fs::read_to_string(format!("{tokens}/n4.token")).expect("it was written");
    fleet.certfleet(CENTRAL, &["invite", "n4", "--replace", "--roles", "deploy", "--out", &tokens]).await.worked();
    let again = fleet.certfleet(n, &["join", &format!("{tokens}/n4.token")]).await;
    assert!(again.code == Some(0) && again.stderr.contains("already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&servers).expect("readable"), kept);
    fleet.certfleet(n, &["node", "ls"]).await.worked();
    // A used token is refused where it is brought, with the reason.
    let identity = fleet.dir(n).join("state/identity.json");
    std::fs::remove_file(&identity).expect("removed");
    let refused = fleet.certfleet(n, &["join", used.trim()]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("joining/n4") && refused.stderr.contains("--replace"), "{refused:?}");
    assert!(!identity.exists(), "it is as if it had not asked");
}

/// A node that was removed gets nothing any more, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_worker_is_refused() {
    let Some(fleet) = fleet().await else { return };
    let (store, before) = (wire(&fleet, INSTALLER).await, fleet.live(INSTALLER, NAME));
    let mut watch = store.watch("").await.expect("watched");
    assert!(store.get(&RecordKey::Fleet.key()).await.expect("answered").is_some());
    fleet.certfleet(CENTRAL, &["node", "remove", "n3"]).await.worked();
    let refused = || async { store.get(&RecordKey::Fleet.key()).await.err() };
    let error = fleet.until("it is refused", refused).await;
    assert!(error.kind() == ErrorKind::NeedsOperator && error.to_string().contains("node n3 was removed from the fleet"), "{error}");
    assert!(store.watch("").await.is_err());
    let over = async { while watch.next().await.is_some() {} };
    tokio::time::timeout(crate::LIMIT, over).await.expect("the watch that was begun before ends");
    let told = |health: &crate::client::Answer| health.status == 503 && health.body.contains("was removed from the fleet");
    fleet.until("the node knows", || async { fleet.admin(INSTALLER, "/healthz").await.filter(told) }).await;
    assert_eq!(fleet.live(INSTALLER, NAME), before, "what is served stays");
    fleet.certfleet(CENTRAL, &["renew", NAME]).await.worked();
    fleet.have([CENTRAL, WORKER], NAME, 2).await;
}
