//! Clients that mean harm or know no better: nobody else notices.

mod common;

use std::time::{Duration, Instant};

use certfleet_edge::{Answered, Limits};
use certfleet_testkit::{Site, eventually};
use common::*;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_from_everywhere_do_not_keep_an_honest_one_waiting() {
    let limits = Limits { connections_max: 100, connections_per_peer_max: 10, ..Limits::default() };
    let (listener, events) = challenge_listener("127.0.0.1:0", limits).await;
    let (address, site) = (tcp(&listener), Site::claim());
    let mut slow = Vec::new();
    for n in 0..600_u32 {
        let mut stream = connect_from(&site.host(1 + (n % 200) as u8).to_string(), address).await;
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\nX: ").await;
        slow.push(stream);
        if n % 100 == 99 {
            let start = Instant::now();
            let reply = exchange_from(&site.host(250).to_string(), address, challenge_request().as_bytes()).await;
            assert_eq!((status(&reply), body(&reply)), (200, key_authorization().as_str()));
            assert!(start.elapsed() < Duration::from_secs(1), "{:?} among {n}", start.elapsed());
        }
    }
    assert!(events.count(Answered::TooMany) >= 500, "{}", events.count(Answered::TooMany));
}

#[tokio::test]
async fn one_peer_cannot_take_the_room_of_others() {
    let limits = Limits { connections_max: 100, connections_per_peer_max: 5, ..Limits::default() };
    let (listener, events) = challenge_listener("127.0.0.1:0", limits).await;
    let (address, site) = (tcp(&listener), Site::claim());
    let mut patient = connect_from(&site.host(1).to_string(), address).await;
    let mut greedy = Vec::new();
    for _ in 0..300 {
        greedy.push(connect_from(&site.host(2).to_string(), address).await);
    }
    eventually("the greedy one's oldest are closed", SOON, || async { (events.count(Answered::TooMany) == 295).then_some(()) }).await;
    let end = timeout(SOON, greedy[0].read(&mut [0])).await.expect("its first is closed");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    patient.write_all(challenge_request().as_bytes()).await.unwrap();
    let mut reply = String::new();
    patient.read_to_string(&mut reply).await.unwrap();
    assert_eq!(status(&reply), 200);
}

#[tokio::test]
async fn a_slow_head_and_a_silent_client_are_closed_in_time() {
    let limits = Limits { head_time_max: Duration::from_millis(200), ..Limits::default() };
    let (listener, events) = challenge_listener("127.0.0.1:0", limits).await;
    for start in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: example.com\r\n"] {
        let reply = exchange(tcp(&listener), start.as_bytes()).await;
        assert!(!reply.contains("200 OK"), "{reply}");
    }
    eventually("all three are counted", SOON, || async { (events.count(Answered::TooSlow) == 3).then_some(()) }).await;
}

#[tokio::test]
async fn a_connection_lives_for_its_time_at_most() {
    let limits = Limits { connection_time_max: Duration::from_millis(200), ..Limits::default() };
    let (listener, events) = challenge_listener("127.0.0.1:0", limits).await;
    assert_eq!(exchange(tcp(&listener), b"GET / HTTP/1.1\r\n").await, "");
    assert_eq!(events.count(Answered::TooSlow), 1);
}

#[tokio::test]
async fn oversized_requests_are_refused_with_a_reply() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let big = |n: usize| "a".repeat(n);
    let many_headers: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let cases = [
        format!("GET / HTTP/1.1\r\nHost: example.com\r\nX: {}\r\n\r\n", big(9_000)),
        format!("GET / HTTP/1.1\r\nHost: example.com\r\nX: {}\r\n\r\n", big(60_000)),
        format!("GET /{} HTTP/1.1\r\nHost: example.com\r\n\r\n", big(9_000)),
        format!("GET /{} HTTP/1.1\r\nHost: example.com\r\n\r\n", big(60_000)),
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", big(9_000)),
        format!("GET / HTTP/1.1\r\nHost: example.com\r\n{many_headers}\r\n"),
    ];
    for request in &cases {
        let reply = exchange_to_the_end(tcp(&listener), request.as_bytes()).await;
        assert!([400, 414, 431].contains(&status(&reply)), "{} for {}…", status(&reply), &request[..40]);
    }
    eventually("all are counted", SOON, || async { (events.count(Answered::BadRequest) == cases.len()).then_some(()) }).await;
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let (listener, _) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let cases: [&[u8]; 13] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: example.com\r\nHost: example.com\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: exa mple.com\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : example.com\r\n\r\n",
        b"GET http://u@example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET http://example.com/ HTTP/1.1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ];
    for request in cases {
        let reply = exchange(tcp(&listener), request).await;
        assert_eq!(status(&reply), 400, "{}", String::from_utf8_lossy(request));
    }
    for request in [&b"GET /\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let reply = exchange(tcp(&listener), request).await;
        assert!(reply.is_empty() || status(&reply) == 400, "{reply}");
    }
}

#[tokio::test]
async fn a_pipeline_gets_one_reply_whole_and_then_the_end() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let reply = exchange_to_the_end(tcp(&listener), challenge_request().repeat(50).as_bytes()).await;
    assert_eq!(body(&reply), key_authorization());
    assert_eq!(header(&reply, "connection"), Some("close"));
    assert_eq!(events.count(Answered::Challenge), 1);
}

#[tokio::test]
async fn a_body_is_not_waited_for_and_does_not_destroy_the_reply() {
    let (listener, _) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let upload = format!("POST /up HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1000000000\r\n\r\n{}", "x".repeat(40_000));
    let chunked = "POST /up HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n";
    let expecting = "POST /up HTTP/1.1\r\nHost: example.com\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    for request in [upload.as_str(), chunked, expecting] {
        let reply = exchange_to_the_end(tcp(&listener), request.as_bytes()).await;
        assert_eq!((status(&reply), header(&reply, "location")), (308, Some("https://example.com/up")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_requests_are_all_answered() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let address = tcp(&listener);
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        clients.spawn(async move {
            for _ in 0..100 {
                assert_eq!(body(&exchange(address, challenge_request().as_bytes()).await), key_authorization());
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(events.count(Answered::Challenge), 3_200);
}

#[test]
fn garbage_never_hurts_and_never_gets_an_answer() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let limits = Limits { head_time_max: Duration::from_millis(50), ..Limits::default() };
    let (listener, _) = runtime.block_on(challenge_listener("127.0.0.1:0", limits));
    let address = tcp(&listener);
    let line = prop_oneof![
        "\\PC{0,60}".prop_map(String::into_bytes),
        prop::sample::select(vec!["GET / HTTP/1.1", "Host: example.com", "Host:", "HEAD /a HTTP/1.0", "GET", "Transfer-Encoding: chunked"])
            .prop_map(|s| s.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..200),
    ];
    let bytes = prop::collection::vec(line, 0..8).prop_map(|lines| lines.join(&b"\r\n"[..]));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let result = runner.run(&bytes, |mut bytes| {
        bytes.extend(b"\r\n\r\n");
        let reply = runtime.block_on(exchange(address, &bytes));
        prop_assert!(reply.is_empty() || [308, 400, 404, 405, 414, 431].contains(&status(&reply)), "{reply}");
        Ok(())
    });
    result.unwrap();
    assert_eq!(body(&runtime.block_on(exchange(address, challenge_request().as_bytes()))), key_authorization());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    for request in ["", "GET / HTTP/1.1\r\nHost: exa", &challenge_request()] {
        let mut stream = TcpStream::connect(tcp(&listener)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    eventually("the whole request is counted", SOON, || async { (events.count(Answered::Challenge) == 1).then_some(()) }).await;
    assert_eq!(status(&exchange(tcp(&listener), challenge_request().as_bytes()).await), 200);
    assert_eq!(events.count(Answered::TooSlow), 0);
}
