//! Out of file descriptors. Alone in its program, since the limit is the process's.

mod common;

use std::fs::File;
use std::time::Duration;

use certfleet_edge::{Answered, Limits};
use common::*;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpSocket;

/// Descriptors of this program while the test runs.
const DESCRIPTORS_MAX: u64 = 64;
/// How long the listener is watched while it cannot accept.
const WATCHED: Duration = Duration::from_millis(500);
/// What it may compute meanwhile.
const SPENT_MAX: Duration = Duration::from_millis(100);

fn cpu_time() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), spent.tv_nsec.unsigned_abs() as u32)
}

fn take_all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn running_out_of_descriptors_neither_spins_nor_ends_the_listener() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS_MAX), maximum }).unwrap();
    let (listener, events) = challenge_listener("127.0.0.1:0", Limits::default()).await;
    let address = tcp(&listener);
    let [first, second] = [TcpSocket::new_v4().unwrap(), TcpSocket::new_v4().unwrap()];

    let mut taken = take_all_descriptors();
    let first = first.connect(address).await.unwrap();
    let before = cpu_time();
    tokio::time::sleep(WATCHED).await;
    let spent = cpu_time() - before;
    assert!(spent < SPENT_MAX, "{spent:?} of {WATCHED:?} spent on a connection that cannot be accepted");

    taken.pop();
    let reply = tokio::spawn(converse(first, b"GET / HTTP/1.1\r\n"));
    let second = second.connect(address).await.unwrap();
    assert_eq!(status(&converse(second, challenge_request().as_bytes()).await), 200, "the oldest made room");
    assert_eq!(reply.await.unwrap(), "");
    assert_eq!(events.count(Answered::TooMany), 1);
}
