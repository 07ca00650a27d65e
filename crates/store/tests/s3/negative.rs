//! What the start-up check is for: a server that knows the conditions of writes and does not hold to them (s3s-fs looks, and then writes).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use certfleet_store::{ErrorKind, ProbeError, probe};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

use super::{BUCKET, made, prefix, shared};

/// How often it is asked: it must be refused each time.
const TIMES: usize = 20;

/// Serves the directories below `root` as buckets, until the test ends.
async fn s3s_fs(root: &Path) -> SocketAddr {
    let secret = std::env::var("PATH").expect("there is a path");
    let mut builder = S3ServiceBuilder::new(FileSystem::new(root).expect("a directory"));
    builder.set_auth(SimpleAuth::from_single("key", secret.trim()));
    let service = builder.build();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
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

/// Each time, for what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_conditions_do_not_hold_is_refused() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(root.path().join(BUCKET)).expect("made");
    let store = made(s3s_fs(root.path()).await, &prefix()).await;
    let mut whys = Vec::new();
    for _ in 0..TIMES {
        match probe(&*store).await {
            Err(error @ ProbeError::Broken { .. }) if error.kind() == ErrorKind::NeedsOperator => whys.push(error.to_string()),
            other => panic!("after {whys:#?}: {other:?}"),
        }
    }
    println!("{whys:#?}");
}

/// And one whose conditions do is not, however often it is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_conditions_hold_is_taken() {
    let Some(server) = shared().await else { return };
    let store = made(server.address(), &prefix()).await;
    for _ in 0..3 {
        assert_eq!(probe(&*store).await, Ok(()));
    }
}
