//! What one listener spends on its clients at most. Every bound of the HTTP side is here, by name.

use std::time::Duration;

/// Longest request line and headers together, in bytes; also hyper's read buffer of a connection (8 KiB is its smallest).
pub(crate) const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header lines of a request.
pub(crate) const HEADERS_MAX: usize = 64;
/// After a reply, how much more is read and thrown away so that closing does not destroy the reply on its way (RFC 9112 section 9.6).
pub(crate) const LINGER_BYTES_MAX: usize = 64 * 1024;
/// And for how long.
pub(crate) const LINGER_MS_MAX: u64 = 1_000;
/// How long `accept` rests when the process or the machine is out of descriptors or memory.
pub(crate) const ACCEPT_REST_MS: u64 = 50;
/// How long requests in progress may take to finish once a listener is told to stop.
pub(crate) const STOP_MS_MAX: u64 = 300;
/// How often it is looked whether the account is known now.
pub(crate) const ACCOUNT_LOOK_MS: u64 = 25;
/// Connections that the kernel keeps before `accept`; the kernel cuts it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 1_024;

/// Bounds of one listener.
///
/// Nobody is turned away at a bound: the oldest connection makes room for the new one. A client that sends its request at once (a CA does)
/// is answered in the time that it takes others to open `connections_max` more; one that dawdles is the first to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time.
    pub connections_max: usize,
    /// Connections at one time from one IPv4 address or IPv6 /64; has no meaning for Unix sockets.
    pub connections_per_peer_max: usize,
    /// How long a request's head may take to arrive.
    pub head_time_max: Duration,
    /// How long a CA's question for a managed name waits while this node does not know the fleet's account: one that has just started, in a
    /// fleet whose account is as young. Well below what a CA waits, since a refusal costs the order.
    pub account_wait_max: Duration,
    /// How long a connection may live.
    pub connection_time_max: Duration,
}

impl Default for Limits {
    /// For a listener that faces the internet.
    fn default() -> Self {
        Self {
            connections_max: 512,
            connections_per_peer_max: 64,
            head_time_max: Duration::from_secs(5),
            account_wait_max: Duration::from_secs(4),
            connection_time_max: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// For the admin and metrics listeners: few clients, trusted, with long answers.
    pub(crate) fn of_admin() -> Self {
        Self { connections_max: 64, connections_per_peer_max: 64, ..Self::default() }
    }
}
