//! HAProxy's runtime API (management guide, section 9.3): one connection for each command, one bounded answer.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use certfleet_core::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::hook::printable;

/// Longest answer that is read, in bytes; the list of all certificates is the longest one.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where the API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(String),
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(Self::Tcp(text.to_owned())),
            _ => Err(format!("socket: `{text}` is neither an absolute path nor `host:port`")),
        }
    }
}

/// The API's commands are words on a line; what would end a word or a command cannot be part of a path.
pub(super) fn plain(path: &str) -> Result<(), String> {
    let odd = path.chars().find(|c| !c.is_ascii_graphic() || matches!(c, ';' | '\\' | '"' | '\'' | '#' | '<'));
    odd.map_or(Ok(()), |c| Err(format!("`{}`: HAProxy's runtime API cannot take {c:?} in a path", printable(path))))
}

/// Serial numbers as this module compares them: HAProxy prints upper case.
pub(super) fn normal(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_lowercase()
}

/// Why a certificate was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody listens on the socket.
    NotRunning(String),
    /// HAProxy, or the connection to it, says no.
    Refused(String),
}

/// A certificate as HAProxy holds it.
struct Held {
    serial: String,
    used: bool,
}

/// One process's API.
#[derive(Debug)]
pub(super) struct Runtime {
    address: Address,
    timeout: Duration,
}

impl Runtime {
    pub fn new(address: Address, timeout: Duration) -> Self {
        Self { address, timeout }
    }

    /// The serial number of what is held under this path, in normal form.
    pub async fn serial(&self, path: &Path) -> Result<Option<String>, Refusal> {
        Ok(self.held(&word(path)?).await?.map(|held| held.serial))
    }

    /// Makes HAProxy serve `pem` under this path, and looks whether it does.
    pub async fn install(&self, path: &Path, pem: &str, serial: &str, crt_list: Option<&str>) -> Result<(), Refusal> {
        let path = word(path)?;
        let list = match self.held(&path).await? {
            Some(held) if held.used => None,
            Some(_) => self.crt_list(&path, crt_list).await?,
            None => {
                let list = self.crt_list(&path, crt_list).await?.ok_or_else(|| unknown(&path))?;
                self.must_say(&format!("new ssl cert {path}"), "New empty").await?;
                Some(list)
            }
        };
        if let Err(refused) = self.replace(&path, pem).await {
            // Neither may be there; the refusal is what counts. `del` only takes what nothing uses.
            let _ = self.say(&format!("abort ssl cert {path}")).await;
            if list.is_some() {
                let _ = self.say(&format!("del ssl cert {path}")).await;
            }
            return Err(refused);
        }
        if let Some(list) = list {
            self.must_say(&format!("add ssl crt-list {list} {path}"), "Success").await?;
        }
        self.holds(&path, serial).await
    }

    async fn replace(&self, path: &str, pem: &str) -> Result<(), Refusal> {
        // An empty line ends the payload, so there is none in it.
        let mut command = Vec::with_capacity(pem.len() + path.len() + 32);
        command.extend_from_slice(format!("set ssl cert {path} <<\n").as_bytes());
        command.extend_from_slice(pem.trim_end().as_bytes());
        command.extend_from_slice(b"\n\n");
        let answer = self.exchange(Secret::new(command)).await?;
        if !answer.contains("Transaction created") && !answer.contains("Transaction updated") {
            return Err(self.refused(&format!("set ssl cert {path}"), &answer));
        }
        self.must_say(&format!("commit ssl cert {path}"), "Success").await
    }

    /// What HAProxy holds now is what counts, not what it said.
    async fn holds(&self, path: &str, serial: &str) -> Result<(), Refusal> {
        match self.held(path).await? {
            Some(held) if held.serial != normal(serial) => {
                Err(Refusal::Refused(format!("HAProxy holds serial {} under {path} after taking {serial}", held.serial)))
            }
            Some(held) if held.used => Ok(()),
            _ => Err(Refusal::Refused(format!("HAProxy took {path}, but nothing uses it; name its crt-list in `crt_list`"))),
        }
    }

    async fn held(&self, path: &str) -> Result<Option<Held>, Refusal> {
        let answer = self.say(&format!("show ssl cert {path}")).await?;
        if answer.contains("Not found") {
            return Ok(None);
        }
        let field = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match field("Status:") {
            Some(status) => Ok(Some(Held { serial: normal(field("Serial:").unwrap_or_default()), used: status != "Unused" })),
            None => Err(self.refused(&format!("show ssl cert {path}"), &answer)),
        }
    }

    /// The list for a new certificate: the configured one, or the directory the file is in, if HAProxy loaded that.
    async fn crt_list(&self, path: &str, configured: Option<&str>) -> Result<Option<String>, Refusal> {
        let dir = path.rsplit_once('/').map_or("/", |(dir, _)| dir);
        let wanted = configured.unwrap_or(dir).trim_end_matches('/');
        let lists = self.say("show ssl crt-list").await?;
        Ok(lists.lines().map(str::trim).find(|list| list.trim_end_matches('/') == wanted).map(str::to_owned))
    }

    async fn must_say(&self, command: &str, sign: &str) -> Result<(), Refusal> {
        let answer = self.say(command).await?;
        if answer.contains(sign) { Ok(()) } else { Err(self.refused(command, &answer)) }
    }

    async fn say(&self, command: &str) -> Result<String, Refusal> {
        self.exchange(Secret::from(format!("{command}\n"))).await
    }

    fn refused(&self, command: &str, answer: &str) -> Refusal {
        let answer = if answer.trim().is_empty() { "nothing" } else { answer };
        Refusal::Refused(format!("HAProxy at {} says to `{command}`: {}", self.place(), printable(answer)))
    }

    fn place(&self) -> String {
        match &self.address {
            Address::Unix(path) => path.display().to_string(),
            Address::Tcp(address) => address.clone(),
        }
    }

    async fn exchange(&self, command: Secret) -> Result<String, Refusal> {
        let answered = tokio::time::timeout(self.timeout, self.connect_and_talk(&command)).await;
        let error = match answered {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(e)) => e,
            Err(_) => return Err(Refusal::Refused(format!("HAProxy at {} did not answer within {:?}", self.place(), self.timeout))),
        };
        let told = format!("{}: {error}", self.place());
        Err(match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Refusal::NotRunning(told),
            _ => Refusal::Refused(told),
        })
    }

    async fn connect_and_talk(&self, command: &Secret) -> io::Result<String> {
        match &self.address {
            Address::Unix(path) => talk(UnixStream::connect(path).await?, command).await,
            Address::Tcp(address) => talk(TcpStream::connect(address).await?, command).await,
        }
    }
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, command: &Secret) -> io::Result<String> {
    stream.write_all(command.expose()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn word(path: &Path) -> Result<String, Refusal> {
    let text = path.display().to_string();
    plain(&text).map_err(Refusal::Refused)?;
    Ok(text)
}

fn unknown(path: &str) -> Refusal {
    Refusal::Refused(format!(
        "HAProxy does not know {path}; name it, or its directory, in a `bind … ssl crt` line by that very path, or name its crt-list in `crt_list`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_paths_or_ports() {
        assert_eq!(Address::parse("/run/h.sock"), Ok(Address::Unix("/run/h.sock".into())));
        assert_eq!(Address::parse("[::1]:9999"), Ok(Address::Tcp("[::1]:9999".into())));
        for bad in ["run/h.sock", "localhost", ":99", "h:0", "h:x", ""] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_cannot_become_commands() {
        assert_eq!(plain("/etc/haproxy/certs/_.example.com.pem"), Ok(()));
        for bad in ["/a;quit", "/a b", "/a\nshow", "/a\\", "/ü"] {
            assert!(plain(bad).is_err(), "{bad:?}");
        }
    }
}
