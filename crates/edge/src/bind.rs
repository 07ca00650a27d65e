//! Taking an address: TCP or a Unix socket's file.
//!
//! Always holds: an error names the address and what to do; a Unix socket never exists with wider permissions than it ends with.

mod holder;
mod tcp;
mod unix;

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::spawn_blocking;

use crate::address::ListenAddress;
pub(crate) use unix::SocketFile;

/// Why an address cannot be listened on. All of these may pass without a change of the configuration (a port gets free, a floating address
/// arrives), so a daemon says it and tries again at leisure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot listen on {address}: {problem}")]
pub struct BindError {
    /// The address as configured.
    pub address: ListenAddress,
    /// What is in the way.
    pub problem: BindProblem,
}

impl BindError {
    pub(crate) fn other(address: ListenAddress, why: String) -> Self {
        Self { address, problem: BindProblem::Other(why) }
    }
}

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindProblem {
    /// EADDRINUSE.
    #[error("{} has this port; stop it, choose another address, or let it forward the challenges (`certfleet snippet`) and set `http = \"off\"`",
        .holder.as_deref().unwrap_or("another program (as root, `ss -ltnp` says which)"))]
    PortInUse {
        /// The program and its process id, as far as they can be seen.
        holder: Option<String>,
    },
    /// A port below 1024 without the right to take it.
    #[error(
        "port {port} needs a privilege; give the service `AmbientCapabilities=CAP_NET_BIND_SERVICE`, or the program \
         `setcap cap_net_bind_service=+ep`, or choose a port above 1023 and forward to it"
    )]
    Privileged {
        /// The port.
        port: u16,
    },
    /// EADDRNOTAVAIL.
    #[error("this machine does not have that IP address now; `[::]` stands for all that it has and will have")]
    AddressNotHere,
    /// Another process answers on the socket's file.
    #[error("a running process listens on it, probably another `certfleet run`; stop that one or choose another path")]
    SocketInUse,
    /// The file is there and is something else.
    #[error("there is a file that is not a socket; remove it or choose another path")]
    NotASocket,
    /// A socket's path has to fit into the kernel's structure.
    #[error("the path has {bytes} bytes, and {bytes_max} are possible; choose a shorter one")]
    PathTooLong {
        /// Its length.
        bytes: usize,
        /// The longest that works.
        bytes_max: usize,
    },
    /// The group is not there, or the socket cannot be given to it.
    #[error("its group cannot be `{group}`: {problem}; name a group of /etc/group that this user belongs to")]
    Group {
        /// As configured.
        group: String,
        /// What is wrong.
        problem: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A listening socket.
pub(crate) struct Bound {
    /// Where, with the real port.
    pub(crate) address: ListenAddress,
    pub(crate) socket: Socket,
    /// Removed when it is dropped.
    pub(crate) file: Option<SocketFile>,
}

pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Binds and listens. `mode` and `group` are for Unix sockets.
pub(crate) async fn bind(address: ListenAddress, mode: u32, group: Option<String>) -> Result<Bound, BindError> {
    let wanted = address.clone();
    let bound = spawn_blocking(move || match wanted {
        ListenAddress::Tcp(address) => tcp::bind(address).map(Opened::Tcp),
        ListenAddress::Unix(path) => unix::bind(&path, mode, group.as_deref()).map(|(socket, file)| Opened::Unix(socket, file)),
    });
    let opened = bound.await.unwrap_or_else(|e| Err(BindProblem::Other(e.to_string())));
    let result = opened.and_then(|opened| opened.into_bound(&address).map_err(BindProblem::from));
    result.map_err(|problem| BindError { address, problem })
}

/// Bound outside of the run time.
enum Opened {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

impl Opened {
    fn into_bound(self, wanted: &ListenAddress) -> io::Result<Bound> {
        Ok(match self {
            Self::Tcp(socket) => {
                let socket = TcpListener::from_std(socket)?;
                Bound { address: ListenAddress::Tcp(socket.local_addr()?), socket: Socket::Tcp(socket), file: None }
            }
            Self::Unix(socket, file) => {
                let socket = UnixListener::from_std(socket)?;
                Bound { address: wanted.clone(), socket: Socket::Unix(socket), file: Some(file) }
            }
        })
    }
}

impl From<io::Error> for BindProblem {
    fn from(error: io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

fn tcp_problem(address: SocketAddr, error: io::Error) -> BindProblem {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindProblem::PortInUse { holder: holder::of(address) },
        io::ErrorKind::PermissionDenied if address.port() < 1024 => BindProblem::Privileged { port: address.port() },
        io::ErrorKind::AddrNotAvailable => BindProblem::AddressNotHere,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str, kind: io::ErrorKind) -> String {
        let address: SocketAddr = address.parse().unwrap();
        BindError { address: ListenAddress::Tcp(address), problem: tcp_problem(address, kind.into()) }.to_string()
    }

    #[test]
    fn errors_name_the_address_and_what_to_do() {
        let privileged = told("[::]:80", io::ErrorKind::PermissionDenied);
        assert!(privileged.starts_with("cannot listen on [::]:80: port 80 needs a privilege"), "{privileged}");
        assert!(privileged.contains("CAP_NET_BIND_SERVICE") && privileged.contains("setcap"), "{privileged}");
        let nobody_seen = told("127.0.0.1:0", io::ErrorKind::AddrInUse);
        assert!(nobody_seen.contains("another program (as root, `ss -ltnp` says which) has this port"), "{nobody_seen}");
        assert!(told("192.0.2.1:80", io::ErrorKind::AddrNotAvailable).contains("does not have that IP address now"));
        assert!(
            !told("127.0.0.1:8080", io::ErrorKind::PermissionDenied).contains("privilege"),
            "not below 1024: something else forbids it"
        );
    }
}
