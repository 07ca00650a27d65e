//! The admin and metrics listeners, and the command line's way to them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certfleet_edge::{
    AdminClientError, AdminSource, BindError, BindProblem, Health, ListenAddress, ListenerHandle, admin_get, listen_admin, listen_metrics,
};
use common::*;
use tokio::net::UnixListener;

struct Daemon;

impl AdminSource for Daemon {
    fn status(&self) -> String {
        format!(r#"{{"schema":1,"padding":"{}"}}"#, "x".repeat(1_000_000))
    }
    fn healthy(&self) -> Health {
        Health { ok: true, text: "ok\n".into() }
    }
    fn ready(&self) -> Health {
        Health { ok: false, text: "the store is not reached\n".into() }
    }
    fn metrics(&self) -> String {
        "# EOF\n".into()
    }
}

async fn listen(path: &Path, group: Option<&str>) -> Result<ListenerHandle, BindError> {
    listen_admin(ListenAddress::Unix(path.to_owned()), group.map(str::to_owned), Arc::new(Daemon)).await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn all_four_pages_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _listener = listen(&socket, None).await.unwrap();
    let (code, status) = admin_get(&socket, "/status").await.unwrap();
    assert_eq!((code, status.len(), status), (200, Daemon.status().len(), Daemon.status()));
    assert_eq!(admin_get(&socket, "/healthz").await, Ok((200, "ok\n".into())));
    assert_eq!(admin_get(&socket, "/readyz").await, Ok((503, "the store is not reached\n".into())));
    assert_eq!(admin_get(&socket, "/metrics").await, Ok((200, "# EOF\n".into())));
    assert_eq!(admin_get(&socket, "/other").await.unwrap().0, 404);
}

#[tokio::test]
async fn metrics_alone_over_tcp() {
    let listener = listen_metrics("127.0.0.1:0".parse().unwrap(), Arc::new(Daemon)).await.unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let reply = exchange(tcp(&listener), get("/metrics").as_bytes()).await;
    assert_eq!((status(&reply), body(&reply)), (200, "# EOF\n"));
    assert_eq!(header(&reply, "content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(status(&exchange(tcp(&listener), get("/status").as_bytes()).await), 404);
    let post = get("/metrics").replace("GET", "POST");
    assert_eq!(status(&exchange(tcp(&listener), post.as_bytes()).await), 405);
}

#[tokio::test]
async fn the_socket_is_private_or_the_groups() {
    let dir = tempfile::tempdir().unwrap();
    let (private, shared) = (dir.path().join("made/private.sock"), dir.path().join("shared.sock"));
    let _one = listen(&private, None).await.unwrap();
    assert_eq!(mode(&private), 0o600);
    let own_group = std::fs::metadata(dir.path()).unwrap().gid();
    let _two = listen(&shared, Some(&own_group.to_string())).await.unwrap();
    assert_eq!((mode(&shared), std::fs::metadata(&shared).unwrap().gid()), (0o660, own_group));
    let error = listen(&dir.path().join("x"), Some("no-such-group")).await.unwrap_err();
    assert!(matches!(error.problem, BindProblem::Group { .. }) && error.to_string().contains("no-such-group"), "{error}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing else is left behind: {left:?}");
}

/// A watcher looks at the name as fast as it can while sockets come and go: it never sees one that is open to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_private_from_its_first_moment() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let (watched, done) = (socket.clone(), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let until = done.clone();
    let watcher = std::thread::spawn(move || {
        let mut seen = 0;
        while !until.load(std::sync::atomic::Ordering::Relaxed) {
            if let Ok(meta) = std::fs::symlink_metadata(&watched) {
                assert!(meta.file_type().is_socket());
                assert_eq!(meta.permissions().mode() & 0o777, 0o600);
                seen += 1;
            }
        }
        seen
    });
    for _ in 0..200 {
        listen(&socket, None).await.unwrap().stop().await;
    }
    let _last = listen(&socket, None).await.unwrap();
    let end = Instant::now() + SOON;
    while !watcher.is_finished() && Instant::now() < end {
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        tokio::task::yield_now().await;
    }
    assert!(watcher.join().unwrap() > 0);
}

#[tokio::test]
async fn a_dead_processes_socket_is_replaced_and_a_live_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "a dead process leaves its file");
    let alive = listen(&socket, None).await.unwrap();
    let error = listen(&socket, None).await.unwrap_err();
    assert_eq!(error.problem, BindProblem::SocketInUse);
    assert!(error.to_string().contains(&format!("cannot listen on unix:{}", socket.display())), "{error}");
    assert_eq!(admin_get(&socket, "/healthz").await.unwrap().0, 200, "the first still answers");
    alive.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    assert_eq!(listen(&file, None).await.unwrap_err().problem, BindProblem::NotASocket);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert_eq!(listen(&link, None).await.unwrap_err().problem, BindProblem::NotASocket);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
}

#[tokio::test]
async fn the_client_says_that_the_daemon_is_not_running() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let not_running = AdminClientError::NotRunning { socket: socket.clone() };
    assert_eq!(admin_get(&socket, "/status").await, Err(not_running.clone()));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(admin_get(&socket, "/status").await, Err(not_running.clone()));
    assert!(not_running.to_string().contains("certfleet is not running"));
}

#[tokio::test]
async fn the_client_does_not_trust_what_answers() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.unwrap();
    };
    let (got, ()) = tokio::join!(admin_get(&socket, "/status"), answer);
    assert!(matches!(got, Err(AdminClientError::Unusable { .. })), "{got:?}");
    assert!(matches!(admin_get(&socket, "/a b").await, Err(AdminClientError::Unusable { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_client_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("admin.sock");
    let _silent = UnixListener::bind(&socket).unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(admin_get(&socket, "/status").await, Err(AdminClientError::TimedOut { socket }));
    assert!(start.elapsed() < Duration::from_secs(11));
}
