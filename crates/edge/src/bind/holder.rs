//! Which program has a TCP port, as /proc shows it. For an error message only: what cannot be seen is left out, never an error.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Most processes looked at.
const PROCESSES_MAX: usize = 32_768;
/// Most descriptors of one process looked at.
const DESCRIPTORS_MAX: usize = 4_096;
/// The state "listening" in /proc/net/tcp.
const LISTENING: &str = "0A";

/// For example `nginx (process 812)`.
pub(super) fn of(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| listener(line, address))?;
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.take(PROCESSES_MAX).flatten().map(|entry| entry.path());
    let holder = processes.filter(|path| is_process(path)).find(|path| has_open(path, &link))?;
    let name = fs::read_to_string(holder.join("comm")).ok()?;
    Some(format!("`{}` (process {})", name.trim().escape_default(), holder.file_name()?.to_str()?))
}

/// The inode of a line of /proc/net/tcp (proc(5)) if it is a listener that stands in the way of `wanted`.
fn listener(line: &str, wanted: SocketAddr) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let (address, port) = local.split_once(':')?;
    let (address, port) = (parse_address(address)?, u16::from_str_radix(port, 16).ok()?);
    let clashes = address == wanted.ip().to_canonical() || address.is_unspecified() || wanted.ip().is_unspecified();
    (state == LISTENING && port == wanted.port() && clashes).then_some(inode)
}

/// 32-bit words in hex, each in the machine's byte order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |n: usize| hex.get(8 * n..8 * n + 8).and_then(|w| u32::from_str_radix(w, 16).ok()).map(u32::to_ne_bytes);
    match hex.len() {
        8 => word(0).map(|bytes| Ipv4Addr::from(bytes).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
}

fn has_open(process: &Path, link: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.take(DESCRIPTORS_MAX).flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| target.as_os_str() == link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_in_this_process_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let held = std::net::TcpListener::bind(address).unwrap();
            let holder = of(held.local_addr().unwrap()).unwrap();
            assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
        }
    }

    #[test]
    fn only_what_stands_in_the_way_is_named() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = held.local_addr().unwrap().port();
        assert!(of(SocketAddr::from(([0, 0, 0, 0], port))).is_some());
        assert_eq!(of(SocketAddr::from(([127, 0, 0, 2], port))), None);
        let line = "  0: 0100007F:1F90 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4242 1";
        assert_eq!(listener(line, "127.0.0.1:8080".parse().unwrap()), None, "a connection is no listener");
        for nonsense in ["", "a b c", "0: : x 0A 0 0 0 0 0 1", "0: zz:1F90 x 0A 0 0 0 0 0 1", "0: éééé:1F90 x 0A 0 0 0 0 0 1"] {
            assert_eq!(listener(nonsense, "127.0.0.1:8080".parse().unwrap()), None);
        }
    }
}
