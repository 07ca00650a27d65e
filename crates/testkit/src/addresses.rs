//! Loopback addresses and ports that no other test uses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that was free on `address` a moment ago.
pub fn free_port(address: IpAddr) -> u16 {
    let listener = TcpListener::bind(SocketAddr::new(address, 0)).expect("a loopback address can be bound");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A /24 of loopback addresses that no other test of this or another process uses at the same time, so that many "hosts" can share one
/// port number.
#[derive(Debug)]
pub struct Site {
    second: u8,
    third: u8,
    /// Holds the network: nobody else can bind its `.254` on this port.
    _claim: TcpListener,
}

/// The port on which `.254` is held.
const CLAIM_PORT: u16 = 59_999;

impl Site {
    /// Takes a free network between 127.64.0.0 and 127.254.255.0.
    pub fn claim() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() as u16).wrapping_mul(251);
        for _ in 0..2000 {
            let n = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let (second, third) = (64 + (n >> 8) as u8 % 190, n as u8);
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(127, second, third, 254), CLAIM_PORT)) {
                return Self { second, third, _claim: claim };
            }
        }
        panic!("no loopback network is free");
    }

    /// The address of "host" `n` (1 to 250).
    pub fn host(&self, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, self.second, self.third, n)
    }

    /// A port that is free on the first `hosts` hosts of this network.
    pub fn port_on_all(&self, hosts: u8) -> u16 {
        for _ in 0..100 {
            let port = free_port(self.host(1).into());
            if (1..=hosts).all(|n| TcpListener::bind((self.host(n), port)).is_ok()) {
                return port;
            }
        }
        panic!("no port is free on {hosts} hosts of 127.{}.{}.0/24", self.second, self.third);
    }
}
