//! A TCP listener; `[::]` takes IPv4 too, whatever `net.ipv6.bindv6only` says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind as bind_socket, listen, socket_with, sockopt};

use super::{BindProblem, tcp_problem};
use crate::limits::BACKLOG;

pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, BindProblem> {
    match open(address) {
        Err(error) if is_all_of_ipv6(address) && lacks_ipv6(&error) => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            open(address).map_err(|e| tcp_problem(address, e))
        }
        result => result.map_err(|e| tcp_problem(address, e)),
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if is_all_of_ipv6(address) {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind_socket(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

fn is_all_of_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// The kernel was built or started without IPv6.
fn lacks_ipv6(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL))
}
