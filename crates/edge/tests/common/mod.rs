//! What the tests with real sockets share.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use certfleet_edge::{Answered, Answers, EdgeEvents, Limits, ListenAddress, ListenerHandle, listen_challenges};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

pub const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
pub const THUMBPRINT: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
/// Longest wait for anything that ought to happen at once.
pub const SOON: Duration = Duration::from_secs(10);

/// Counts outcomes and keeps the last host of each.
#[derive(Default)]
pub struct Events(Mutex<BTreeMap<Answered, (usize, String)>>);

impl EdgeEvents for Events {
    fn answered(&self, host: &str, outcome: Answered) {
        let mut seen = self.0.lock().unwrap();
        let entry = seen.entry(outcome).or_default();
        *entry = (entry.0 + 1, host.to_owned());
    }
}

impl Events {
    pub fn count(&self, outcome: Answered) -> usize {
        self.0.lock().unwrap().get(&outcome).map_or(0, |(count, _)| *count)
    }

    pub fn last_host(&self, outcome: Answered) -> Option<String> {
        self.0.lock().unwrap().get(&outcome).map(|(_, host)| host.clone())
    }
}

pub fn answers() -> Answers {
    let managed = ["example.com", "*.example.org", "127.0.0.1"].map(|name| name.parse().unwrap());
    Answers::new(managed, Some(THUMBPRINT.into()), [], true)
}

pub async fn challenge_listener(address: &str, limits: Limits) -> (ListenerHandle, Arc<Events>) {
    let events = Arc::new(Events::default());
    let table = Arc::new(ArcSwap::from_pointee(answers()));
    let handle = listen_challenges(address.parse().unwrap(), table, events.clone(), limits).await.unwrap();
    (handle, events)
}

pub fn tcp(handle: &ListenerHandle) -> SocketAddr {
    match handle.address() {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Unix(path) => panic!("a Unix socket: {}", path.display()),
    }
}

pub fn unix(handle: &ListenerHandle) -> PathBuf {
    match handle.address() {
        ListenAddress::Unix(path) => path.clone(),
        ListenAddress::Tcp(address) => panic!("a TCP socket: {address}"),
    }
}

pub fn challenge_request() -> String {
    format!("GET /.well-known/acme-challenge/{TOKEN} HTTP/1.1\r\nHost: example.com\r\n\r\n")
}

pub fn key_authorization() -> String {
    format!("{TOKEN}.{THUMBPRINT}")
}

/// Sends `request` and gives all that comes back until the other side closes. A connection that is reset gives what came before.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> String {
    converse(TcpStream::connect(address).await.unwrap(), request).await
}

/// As [`exchange`], from a chosen address of this machine.
pub async fn exchange_from(source: &str, address: SocketAddr, request: &[u8]) -> String {
    converse(connect_from(source, address).await, request).await
}

pub async fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(address).await.unwrap()
}

/// As [`exchange`], and the other side has to end it in order: a reset could overtake the reply on a longer way.
pub async fn exchange_to_the_end(address: SocketAddr, request: &[u8]) -> String {
    let (reply, end) = both_ways(TcpStream::connect(address).await.unwrap(), request).await;
    end.expect("no reset");
    reply
}

pub async fn converse(stream: TcpStream, request: &[u8]) -> String {
    both_ways(stream, request).await.0
}

async fn both_ways(stream: TcpStream, request: &[u8]) -> (String, std::io::Result<usize>) {
    let (mut from, mut to) = stream.into_split();
    let mut reply = Vec::new();
    let talk = async {
        let write = async {
            let _ = to.write_all(request).await;
        };
        tokio::join!(from.read_to_end(&mut reply), write).0
    };
    let end = timeout(SOON, talk).await.expect("the connection is closed");
    (String::from_utf8_lossy(&reply).into_owned(), end)
}

/// The value of a header, whatever its case.
pub fn header<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    let head = reply.split("\r\n\r\n").next()?;
    let values = head.lines().filter_map(|line| line.split_once(": "));
    values.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

pub fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no HTTP reply: {reply:?}"))
}

pub fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
