//! Where a listener listens, as the configuration writes it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// A TCP address or the path of a Unix socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// `[::]:80` (IPv4 too), `127.0.0.1:80`.
    Tcp(SocketAddr),
    /// `unix:/run/certfleet/http.sock`.
    Unix(PathBuf),
}

/// Why a text is no [`ListenAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not an address to listen on: {problem}")]
pub struct AddressError {
    /// What was given, shortened and with control characters escaped.
    pub value: String,
    /// What is wrong, with an example.
    pub problem: &'static str,
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    /// Takes `ADDRESS:PORT`, `unix:/PATH` and a bare `/PATH`.
    fn from_str(value: &str) -> Result<Self, AddressError> {
        let refuse = |problem| AddressError { value: value.chars().take(120).flat_map(char::escape_default).collect(), problem };
        let path = value.strip_prefix("unix:").or_else(|| value.starts_with('/').then_some(value));
        if let Some(path) = path {
            return match path {
                p if !p.starts_with('/') => Err(refuse("a socket's path starts with `/`, as in `unix:/run/certfleet/http.sock`")),
                p if p.ends_with('/') || p.contains('\0') => Err(refuse("the path is not one of a file")),
                p => Ok(Self::Unix(p.into())),
            };
        }
        if let Ok(address) = value.parse() {
            return Ok(Self::Tcp(address));
        }
        Err(refuse(match value.rsplit_once(':') {
            Some(("", _)) => "the address is missing; `[::]:80` stands for all of this machine's",
            Some((host, _)) if host.contains(':') && !host.starts_with('[') => "an IPv6 address stands in brackets, as in `[::]:80`",
            Some((host, _)) if host.bytes().any(|b| b.is_ascii_alphabetic()) && !host.starts_with('[') => {
                "an IP address is wanted, not a name, as in `127.0.0.1:80`"
            }
            Some(_) => "the address or the port is malformed; `[::]:80`, `127.0.0.1:80` and `unix:/run/x.sock` are well formed",
            None => "the port is missing, as in `[::]:80`",
        }))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_it_was_parsed() {
        for text in ["[::]:80", "127.0.0.1:80", "[2001:db8::1]:31080", "unix:/run/x.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert_eq!("/run/x.sock".parse(), Ok(ListenAddress::Unix("/run/x.sock".into())));
    }

    #[test]
    fn says_what_is_wrong() {
        let problem = |s: &str| s.parse::<ListenAddress>().unwrap_err().problem;
        assert!(problem(":80").contains("address is missing"));
        assert!(problem("::1:80").contains("brackets"));
        assert!(problem("localhost:80").contains("not a name"));
        assert!(problem("unix:run/x").contains("starts with `/`"));
        assert!(problem("127.0.0.1").contains("port is missing"));
        for bad in ["", "unix:", "unix:/run/", "127.0.0.1:99999", "[::1:80", "/a\0b"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad:?}");
        }
    }
}
