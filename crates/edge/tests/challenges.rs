//! The challenge listener as a CA and a browser see it, over real sockets.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use certfleet_edge::{Answered, Answers, BindProblem, Limits, ListenAddress, listen_challenges};
use certfleet_testkit::{Site, eventually};
use common::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

#[tokio::test]
async fn a_challenge_is_answered_as_rfc_8555_asks() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let reply = exchange(tcp(&listener), challenge_request().as_bytes()).await;
    assert_eq!((status(&reply), body(&reply)), (200, key_authorization().as_str()));
    assert_eq!(header(&reply, "content-type"), Some("application/octet-stream"));
    assert_eq!(header(&reply, "x-content-type-options"), Some("nosniff"));
    assert_eq!(header(&reply, "cache-control"), Some("no-store"));
    assert_eq!(header(&reply, "content-length"), Some(key_authorization().len().to_string().as_str()));
    assert_eq!(events.last_host(Answered::Challenge).as_deref(), Some("example.com"));
}

#[tokio::test]
async fn head_gives_the_headers_alone() {
    let (listener, _) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let reply = exchange(tcp(&listener), challenge_request().replace("GET", "HEAD").as_bytes()).await;
    assert_eq!((status(&reply), body(&reply)), (200, ""));
    assert_eq!(header(&reply, "content-length"), Some(key_authorization().len().to_string().as_str()));
}

#[tokio::test]
async fn everything_else_is_sent_to_https() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let address = tcp(&listener);
    let cases = [
        ("GET /a//b/%2e%2E?x=%0d%0a&y HTTP/1.1\r\nHost: Example.com.:80\r\n\r\n", "https://example.com/a//b/%2e%2E?x=%0d%0a&y"),
        ("POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\n\r\nbody", "https://example.com/form"),
        ("GET http://www.example.org/x HTTP/1.1\r\nHost: unmanaged.example\r\n\r\n", "https://www.example.org/x"),
        ("GET http://example.com?q HTTP/1.1\r\nHost: example.com\r\n\r\n", "https://example.com/?q"),
        ("GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n", "https://example.com/"),
        ("GET / HTTP/1.0\r\nHost: 127.0.0.1:8080\r\n\r\n", "https://127.0.0.1/"),
    ];
    for (request, location) in cases {
        let reply = exchange(address, request.as_bytes()).await;
        assert_eq!((status(&reply), header(&reply, "location")), (308, Some(location)), "{request}");
    }
    assert_eq!(events.count(Answered::Redirect), cases.len());
}

#[tokio::test]
async fn unmanaged_hosts_are_not_echoed() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    for path in ["/".to_owned(), format!("/.well-known/acme-challenge/{TOKEN}")] {
        let reply = exchange(tcp(&listener), format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&reply), 404);
        assert!(!reply.contains("evil") && !reply.contains(TOKEN), "{reply}");
    }
    assert_eq!((events.count(Answered::NotManaged), events.last_host(Answered::NotManaged).as_deref()), (2, Some("evil.example")));
}

#[tokio::test]
async fn the_table_is_swapped_under_a_running_listener() {
    let table = Arc::new(ArcSwap::from_pointee(Answers::default()));
    let events = Arc::new(Events::default());
    let listener = listen_challenges("127.0.0.1:0".parse().unwrap(), table.clone(), events, Limits::default()).await.unwrap();
    assert_eq!(status(&exchange(tcp(&listener), challenge_request().as_bytes()).await), 404);
    table.store(Arc::new(answers()));
    assert_eq!(status(&exchange(tcp(&listener), challenge_request().as_bytes()).await), 200);
}

/// A node that has just started may be asked before it has read the account of a fleet that is as young; a refusal would cost the order.
#[tokio::test]
async fn a_question_that_comes_before_the_account_is_waited_with() {
    let table = Arc::new(ArcSwap::from_pointee(Answers::new(["example.com".parse().unwrap()], None, [], true)));
    let limits = Limits { account_wait_max: SOON, ..Limits::default() };
    let events = Arc::new(Events::default());
    let listener = listen_challenges("127.0.0.1:0".parse().unwrap(), table.clone(), events.clone(), limits).await.unwrap();
    let address = tcp(&listener);
    let mut asked = TcpStream::connect(address).await.unwrap();
    asked.write_all(challenge_request().as_bytes()).await.unwrap();
    // A question that nothing is known about is not kept waiting behind it.
    let other = exchange(address, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert_eq!((status(&other), events.count(Answered::NoAnswer)), (404, 0));
    table.store(Arc::new(answers()));
    let reply = converse(asked, b"").await;
    assert_eq!((status(&reply), body(&reply)), (200, key_authorization().as_str()));
}

#[tokio::test]
async fn an_account_that_never_comes_is_waited_for_no_longer_than_allowed() {
    let table = Arc::new(ArcSwap::from_pointee(Answers::new(["example.com".parse().unwrap()], None, [], true)));
    let limits = Limits { account_wait_max: Duration::from_millis(100), ..Limits::default() };
    let events = Arc::new(Events::default());
    let listener = listen_challenges("127.0.0.1:0".parse().unwrap(), table, events.clone(), limits).await.unwrap();
    let start = Instant::now();
    assert_eq!(status(&exchange(tcp(&listener), challenge_request().as_bytes()).await), 404);
    assert!(start.elapsed() >= limits.account_wait_max);
    assert_eq!(events.count(Answered::NoAnswer), 1);
}

#[tokio::test]
async fn all_addresses_are_both_families() {
    let (listener, _) = challenge_listener("[::]:0", Limits::default()).await;
    for ip in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(ip.parse().unwrap(), tcp(&listener).port());
        assert_eq!(status(&exchange(address, challenge_request().as_bytes()).await), 200, "{ip}");
    }
}

#[tokio::test]
async fn a_unix_socket_serves_a_web_server_that_forwards() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, _) = challenge_listener(&format!("unix:{}/http.sock", dir.path().display()), Limits::default()).await;
    let mut stream = UnixStream::connect(unix(&listener)).await.unwrap();
    stream.write_all(challenge_request().as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!(body(&reply), key_authorization());
    let path = unix(&listener);
    listener.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_port_in_use_names_its_holder() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = ListenAddress::Tcp(held.local_addr().unwrap());
    let table = Arc::new(ArcSwap::from_pointee(answers()));
    let error = listen_challenges(address.clone(), table, Arc::new(Events::default()), Limits::default()).await.unwrap_err();
    let BindProblem::PortInUse { holder: Some(holder) } = &error.problem else { panic!("{error:?}") };
    assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}");
    let told = error.to_string();
    assert!(told.starts_with(&format!("cannot listen on {address}: `")) && told.contains("stop it, choose another address"), "{told}");
}

#[tokio::test]
async fn an_address_of_another_machine_is_named() {
    let table = Arc::new(ArcSwap::from_pointee(answers()));
    let address: ListenAddress = "192.0.2.1:80".parse().unwrap();
    let error = listen_challenges(address, table, Arc::new(Events::default()), Limits::default()).await.unwrap_err();
    assert_eq!(error.problem, BindProblem::AddressNotHere);
    assert!(error.to_string().contains("192.0.2.1:80"), "{error}");
}

#[tokio::test]
async fn stopping_is_quick_and_frees_the_port() {
    let site = Site::claim();
    let address = SocketAddr::new(site.host(1).into(), site.port_on_all(1));
    let (listener, _) = challenge_listener(&address.to_string(), Limits::default()).await;
    let mut half_open = TcpStream::connect(address).await.unwrap();
    half_open.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(status(&exchange(address, challenge_request().as_bytes()).await), 200);
    let start = Instant::now();
    listener.stop().await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(matches!(half_open.read(&mut [0; 16]).await, Ok(0) | Err(_)), "it is closed");
    let (again, _) = challenge_listener(&address.to_string(), Limits::default()).await;
    assert_eq!(status(&exchange(address, challenge_request().as_bytes()).await), 200);
    drop(again);
    eventually("a dropped listener is closed", SOON, || async { TcpStream::connect(address).await.err() }).await;
}
