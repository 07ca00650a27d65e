//! Memory under attack. Alone in its program, so that the figures are its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use certfleet_edge::Limits;
use common::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The most that a full house of clients with nearly full heads may cost.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn thousands_of_half_requests_cost_what_the_limits_say() {
    let limits = Limits { connections_per_peer_max: 512, head_time_max: Duration::from_secs(60), ..Limits::default() };
    let (listener, _) = challenge_listener("127.0.0.1:0", limits).await;
    let address = tcp(&listener);
    assert_eq!(status(&exchange(address, challenge_request().as_bytes()).await), 200);
    let before = resident_kib();
    let half = format!("GET / HTTP/1.1\r\nHost: example.com\r\nX: {}", "x".repeat(7_900));
    let mut clients = Vec::with_capacity(4_000);
    for _ in 0..4_000 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(half.as_bytes()).await;
        clients.push(stream);
    }
    assert_eq!(status(&exchange(address, challenge_request().as_bytes()).await), 200);
    let growth = resident_kib().saturating_sub(before);
    println!("growth: {growth} KiB");
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}
