//! TLS, users, and stores that are not what they should be.

use std::os::unix::fs::PermissionsExt;

use certfleet_store::{ErrorKind, Expect, OpenError, StoreError, probe};
use certfleet_testkit::etcd::Setup;
use etcd_client::{Client, Permission, PermissionType};

use crate::lab::{Lab, body, key, made, must_put, value};

/// As docs/store-etcd.md has it: a user that may read and write the prefix, and nothing else.
async fn add_users(mut client: Client) {
    for (user, role) in [("root", "root"), ("certfleet", "certfleet"), ("nobody", "nobody")] {
        client.user_add(user, format!("{user}'s word"), None).await.expect("user added");
        client.role_add(role).await.expect("role added");
        client.user_grant_role(user, role).await.expect("role granted");
    }
    let below = Permission::new(PermissionType::Readwrite, "/fleets/a/").with_prefix();
    client.role_grant_permission("certfleet", below).await.expect("permission granted");
    client.auth_enable().await.expect("enabled");
}

fn write_private(file: &std::path::Path, text: &str) {
    std::fs::write(file, text).expect("written");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_get_in_with_their_password() {
    let Some(mut lab) = Lab::one().await else { return };
    add_users(lab.client(0).await).await;
    let (hosts, dir) = (lab.etcd.hosts(), tempfile::tempdir().expect("a directory"));
    let file = dir.path().join("password");
    write_private(&file, "certfleet's word\n");
    let by_file = format!("etcd://certfleet@{hosts}/fleets/a?password_file={}", file.display());
    let store = made(&by_file).await;
    let other = certfleet_store::open(&format!("etcd://certfleet:certfleet%27s%20word@{hosts}/fleets/a")).await.expect("opened");
    let mut watch = other.watch("").await.expect("watched");
    let revision = must_put(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    assert!(watch.next().await.is_some());
    assert_eq!(body(&other, &key("certs/a")).await, Some(1.into()));
    assert_eq!(probe(&*store).await, Ok(()));
    assert!(!format!("{store:?} {other:?}").contains("word"));
    // Tokens do not outlive the server.
    lab.etcd.kill(0);
    lab.etcd.spawn(0).expect("started");
    lab.etcd.ready(0).await;
    must_put(&store, &key("certs/a"), &value(2), &Expect::Revision(revision)).await;
    for (login, place, wanted) in [
        ("certfleet:wrong-one@", "/fleets/a", "password"),
        ("stranger:x@", "/fleets/a", "user"),
        ("", "/fleets/a", "wants a user"),
        ("certfleet:certfleet%27s%20word@", "/fleets/b", "grant"),
        ("nobody:nobody%27s%20word@", "/fleets/a", "grant"),
    ] {
        let error = certfleet_store::open(&format!("etcd://{login}{hosts}{place}")).await.expect_err(wanted);
        let text = error.to_string();
        assert!(text.contains(wanted) && text.contains(&hosts) && !text.contains("wrong-one"), "{text}");
        assert_eq!(error.kind(), ErrorKind::NeedsOperator, "{text}");
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
    let error = certfleet_store::open(&by_file).await.expect_err("for all to read").to_string();
    assert!(error.contains("chmod o="), "{error}");
    std::fs::remove_file(&file).expect("removed");
    let error = certfleet_store::open(&by_file).await.expect_err("no password").to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_client_certificates() {
    let Some(lab) = Lab::start(&Setup { members: 3, tls: true, arguments: Vec::new() }).await else { return };
    let file = |name: &str| lab.etcd.file(name).display().to_string();
    let (ca, cert, key_file) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let store = made(&format!("{}?ca={ca}&cert={cert}&key={key_file}", lab.url("/fleets/a"))).await;
    must_put(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    assert_eq!(probe(&*store).await, Ok(()));
    let stranger = tempfile::tempdir().expect("a directory");
    let Some(other) = Lab::start(&Setup { tls: true, ..Setup::default() }).await else { return };
    std::fs::copy(other.etcd.file("ca.pem"), stranger.path().join("ca.pem")).expect("copied");
    let wrong_ca = stranger.path().join("ca.pem").display().to_string();
    for (options, what) in [
        (String::new(), "without TLS"),
        (format!("?ca={ca}"), "without a certificate"),
        (format!("?ca={wrong_ca}&cert={cert}&key={key_file}"), "another CA's"),
        ("?tls=on".to_owned(), "the system's roots"),
    ] {
        let error = certfleet_store::open(&format!("{}{options}", lab.url("/fleets/a"))).await.expect_err(what);
        let text = error.to_string();
        assert!(text.contains(&lab.etcd.address(0).to_string()) && text.contains("`cert=` and `key=`"), "{what}: {text}");
        eprintln!("{what}: {text}");
    }
    for (options, named) in
        [(format!("?ca={ca}x"), format!("{ca}x")), (format!("?ca={ca}&cert={key_file}&key={key_file}"), "certificates".into())]
    {
        let error = certfleet_store::open(&format!("{}{options}", lab.url("/fleets/a"))).await.expect_err("unusable");
        assert!(error.to_string().contains(&named), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_stores_are_opened() {
    let Some(lab) = Lab::shared().await else { return };
    let mut client = lab.client(0).await;
    let missing = certfleet_store::open(&lab.url("/none")).await.expect_err("nothing there");
    assert!(matches!(&missing, OpenError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains(&lab.url("/none")) && missing.to_string().contains("certfleet init"), "{missing}");
    client.put("/others/thing", "x", None).await.expect("written");
    let taken = certfleet_store::open_or_create(&lab.url("/others")).await.expect_err("others' things");
    assert!(taken.to_string().contains("/others/thing"), "{taken}");
    client.put("/later/store", r#"{"layout":2,"id":"x","about":""}"#, None).await.expect("written");
    assert!(matches!(certfleet_store::open(&lab.url("/later")).await, Err(OpenError::TooNew { found: 2, known: 1, .. })));
    client.put("/broken/store", "{", None).await.expect("written");
    let broken = certfleet_store::open_or_create(&lab.url("/broken")).await.expect_err("not ours");
    assert!(broken.to_string().contains("/broken/store"), "{broken}");
}

/// Many nodes make it at once, and it is one store; neighbours are not it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_store_comes_of_many_makers() {
    let Some(lab) = Lab::shared().await else { return };
    let makers: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn({
                let url = lab.url("/many");
                async move { made(&url).await }
            })
        })
        .collect();
    let mut stores = Vec::new();
    for maker in makers {
        stores.push(maker.await.expect("made"));
    }
    must_put(&stores[0], &key("certs/a"), &value(1), &Expect::Absent).await;
    for store in &stores {
        assert_eq!(body(store, &key("certs/a")).await, Some(1.into()));
    }
    let neighbour = made(&lab.url("/many2")).await;
    assert_eq!(neighbour.list("").await.expect("listed").entries.len(), 0);
    let mut client = lab.client(0).await;
    client.put("/many/data/not a key", "x", None).await.expect("written");
    let listing = stores[0].list("").await.expect("listed");
    assert_eq!((listing.entries.len(), listing.unreadable.len(), &listing.unreadable[0].revision), (1, 1, &None));
}

/// An etcd that lost the store while it was in use is not an empty store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_is_not_empty() {
    let Some(lab) = Lab::shared().await else { return };
    let store = made(&lab.url("/wiped")).await;
    must_put(&store, &key("certs/a"), &value(1), &Expect::Absent).await;
    let wiped = etcd_client::DeleteOptions::new().with_prefix();
    lab.client(0).await.delete("/wiped/", Some(wiped)).await.expect("deleted");
    for answer in [
        store.get(&key("certs/a")).await.map(|_| ()),
        store.list("").await.map(|_| ()),
        store.put(&key("certs/a"), &value(2), &Expect::Absent).await.map(|_| ()),
    ] {
        assert!(matches!(&answer, Err(StoreError::Away { why }) if why.contains("/wiped/store")), "{answer:?}");
    }
}

/// Large values, many at once: more than one answer may hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_stores_are_listed_in_pages() {
    let Some(lab) = Lab::one().await else { return };
    let store = made(&lab.url("/large")).await;
    let text = "x".repeat(1_000_000);
    for n in 0..80 {
        must_put(&store, &key(&format!("versions/{n}")), &value(&text), &Expect::Absent).await;
    }
    let listing = store.list("versions").await.expect("listed");
    assert_eq!((listing.entries.len(), listing.unreadable.len()), (80, 0));
    assert!(listing.entries.iter().all(|(_, stored)| stored.envelope.body.as_str() == Some(&text)));
}
