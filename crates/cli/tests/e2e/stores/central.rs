//! A node that serves its store, and workers that see what their roles need.

use std::net::SocketAddr;

use certfleet_core::key::{Key, RecordKey};
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
    let lab = Lab::new(3, |_| {}).await?;
    let host = lab.site.host(CENTRAL).into();
    let mut config = Config::plain(NAME).served(SocketAddr::new(host, free_port(host)));
    config.certificates.push(Certificate { lines: "nodes = [\"n1\", \"n2\"]".into(), ..Certificate::plain(ELSEWHERE) });
    config.granted = [(WORKER, "answer,deploy"), (INSTALLER, "deploy")].into();
    let mut fleet = Fleet::of_strangers(lab, config, 3).await;
    for name in [NAME, ELSEWHERE] {
        fleet.lab.resolve(name, WORKER).await;
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
