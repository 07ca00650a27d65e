//! Whether an address is on this machine now.
//!
//! Binding to it would not tell: machines that share floating addresses usually set `net.ipv4.ip_nonlocal_bind`. The kernel's tables do.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Looks into the kernel's tables; where there are none, tries to bind.
pub(super) fn is_here(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    let table = match address {
        IpAddr::V4(address) => fs::read_to_string("/proc/net/fib_trie").map(|text| in_fib_trie(&text, address)),
        IpAddr::V6(address) => fs::read_to_string("/proc/net/if_inet6").map(|text| in_if_inet6(&text, address)),
    };
    table.unwrap_or_else(|_| UdpSocket::bind((address, 0)).is_ok())
}

/// An address that is ours stands as `|-- 192.0.2.7`, and below it `/32 host LOCAL`.
fn in_fib_trie(text: &str, address: Ipv4Addr) -> bool {
    let wanted = format!("|-- {address}");
    let mut below_it = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with(['|', '+']) {
            below_it = line == wanted;
        } else if below_it && line.starts_with("/32 host LOCAL") {
            return true;
        }
    }
    false
}

/// Each line starts with the address as 32 hex digits.
fn in_if_inet6(text: &str, address: Ipv6Addr) -> bool {
    let wanted: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    text.lines().any(|line| line.split_whitespace().next() == Some(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.7\n        /24 link UNICAST\n     |-- 192.0.2.8\n        /24 link UNICAST\nLocal:\n     \
                        |-- 192.0.2.7\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";

    #[test]
    fn the_kernels_table_is_read() {
        let here = |text: &str| in_fib_trie(TRIE, text.parse().expect(text));
        assert!(here("192.0.2.7"));
        assert!(!here("192.0.2.8") && !here("192.0.2.255") && !here("192.0.2.70") && !here("192.0.2.9"));
        let inet6 = "20010db8000000000000000000000007 02 40 00 80 eth0\n";
        assert!(
            in_if_inet6(inet6, "2001:db8::7".parse().expect("address")) && !in_if_inet6(inet6, "2001:db8::8".parse().expect("address"))
        );
    }

    #[test]
    fn loopback_is_here_and_documentation_addresses_are_not() {
        assert!(is_here("127.9.9.9".parse().expect("address")) && is_here("::1".parse().expect("address")));
        assert!(!is_here("192.0.2.1".parse().expect("address")) && !is_here("2001:db8::1".parse().expect("address")));
    }
}
