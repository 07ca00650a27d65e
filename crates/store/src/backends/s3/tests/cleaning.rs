//! Tombstones are removed where that is safe, and only there.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certfleet_core::envelope::{Envelope, Expect};
use certfleet_core::key::Key;
use certfleet_testkit::moto::{Moto, Setup};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use super::super::S3Store;
use super::super::clean::{GRAVE_SECONDS, Graves};
use super::super::list::Listed;
use super::super::url::S3Url;
use crate::{Put, Store, fresh_nonce};

const BUCKET: &str = "fleets";

async fn store(at: SocketAddr) -> Arc<S3Store> {
    let url = format!("//{BUCKET}?endpoint=http://{at}&user=key&password_env=PATH");
    S3Store::open_or_create(S3Url::parse(&url).expect("a URL")).await.expect("made")
}

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

async fn create(store: &S3Store, at: &str) -> certfleet_core::envelope::Revision {
    let value = Envelope::new("lb0".parse().expect("a name"), fresh_nonce().expect("random"), &at).expect("JSON");
    match store.put(&key(at), &value, &Expect::Absent).await {
        Ok(Put::Done(revision)) => revision,
        other => panic!("{other:?}"),
    }
}

/// Two keys, of which `deleted` was; as a list has them.
async fn with_a_tombstone(store: &S3Store) -> Vec<Listed> {
    create(store, "certs/kept").await;
    let revision = create(store, "certs/deleted").await;
    assert!(matches!(store.delete(&key("certs/deleted"), &revision).await, Ok(Put::Done(_))));
    vec![seen(store, "certs/deleted").await, seen(store, "certs/kept").await]
}

async fn seen(store: &S3Store, at: &str) -> Listed {
    let name = format!("certfleet/data/{at}");
    let object = store.0.object(&name).await.expect("read").expect("there");
    Listed { name, etag: object.etag, length: object.length }
}

/// All that is due after a tombstone's time.
fn due(graves: &mut Graves, listed: &[Listed]) -> Vec<Listed> {
    let now = Instant::now();
    assert_eq!(graves.due(listed, now), []);
    assert_eq!(graves.due(listed, now + Duration::from_secs(GRAVE_SECONDS - 1)), []);
    graves.due(listed, now + Duration::from_secs(GRAVE_SECONDS))
}

async fn names(store: &S3Store) -> Vec<String> {
    store.0.listed("").await.expect("listed").into_iter().map(|object| object.name).collect()
}

/// Where a DELETE heeds its condition: the tombstone goes, the values stay, also one that took the tombstone's place meanwhile.
#[tokio::test]
async fn old_tombstones_are_removed() {
    let Some(server) = Moto::start(&Setup::default()).await else { return };
    server.make_bucket(BUCKET).await;
    let store = store(server.address()).await;
    let mut graves = Graves::default();
    let listed = with_a_tombstone(&store).await;
    assert_eq!(store.0.listed("").await, Ok(listed.clone()));
    let overtaken = due(&mut graves, &listed);
    assert_eq!(overtaken.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(), ["certfleet/data/certs/deleted"]);
    let revision = create(&store, "certs/deleted").await;
    graves.remove(&store.0, overtaken.clone()).await;
    assert_eq!(names(&store).await, ["certfleet/data/certs/deleted", "certfleet/data/certs/kept"]);
    let stale = store.0.bucket.delete(&overtaken[0].name, &overtaken[0].etag).await;
    assert_eq!(stale, Ok(super::super::bucket::Written::Mismatch), "the server heeds the condition");
    assert!(matches!(store.delete(&key("certs/deleted"), &revision).await, Ok(Put::Done(_))));
    let listed = store.0.listed("").await.expect("listed");
    let again = due(&mut graves, &listed);
    assert_eq!(again.len(), 1, "its time began anew");
    graves.remove(&store.0, again).await;
    assert_eq!(names(&store).await, ["certfleet/data/certs/kept"]);
    assert!(server.requests().iter().any(|request| request.starts_with("DELETE") && request.contains("/probe/")), "it was tried first");
    assert_eq!(store.get(&key("certs/deleted")).await, Ok(None));
    create(&store, "certs/deleted").await;
}

/// Where it does not: nothing is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_deletes_heed_nothing_tombstones_stay() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(root.path().join(BUCKET)).expect("made");
    let store = store(s3s_fs(root.path()).await).await;
    let mut graves = Graves::default();
    let listed = with_a_tombstone(&store).await;
    let due = due(&mut graves, &listed);
    assert_eq!(due.len(), 1);
    graves.remove(&store.0, due).await;
    seen(&store, "certs/deleted").await;
    seen(&store, "certs/kept").await;
}

/// Serves the directories below `root` as buckets, until the test ends.
async fn s3s_fs(root: &Path) -> SocketAddr {
    let secret = std::env::var("PATH").expect("there is a path");
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).expect("a directory"));
    builder.set_auth(SimpleAuth::from_single("key", secret.trim()));
    let service = builder.build();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}
