//! `redis://`, `rediss://` and `redis[s]+sentinel://` URLs, parsed once.
//!
//! Always holds: a password never prints; errors say what is wrong and never repeat what may be secret.

use std::fmt;
use std::path::PathBuf;

use certfleet_core::secret::Secret;

use crate::url::percent_decoded;

/// The port of a server whose URL names none.
const SERVER_PORT: u16 = 6379;
/// The port of a Sentinel whose URL names none.
const SENTINEL_PORT: u16 = 26379;
/// What all names begin with, unless the URL says otherwise.
const PREFIX: &str = "certfleet:";
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 256;
/// Most replicas that `wait` may name.
const WAIT_MAX: u32 = 16;
const OPTIONS: &str = "`ca`, `cert`, `key`, `user`, `password_file`, `password_env`, `password_credential`, `prefix`, `wait`, and with Sentinel `sentinel_user` and `sentinel_password_file` are known";

/// Which Redis, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<TlsFiles>,
    pub(super) db: i64,
    pub(super) login: Login,
    /// What all names begin with.
    pub(super) prefix: String,
    /// Replicas that must have a write before it is `Done`.
    pub(super) wait: u32,
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Server(Address),
    /// Wherever these say.
    Sentinel {
        sentinels: Vec<Address>,
        service: String,
        login: Login,
    },
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TlsFiles {
    /// Instead of the system's roots.
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Who certfleet is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<Password>,
}

/// A password, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Password {
    Given(Secret),
    /// Read at each connection, so that it can be changed.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
    /// A credential that systemd gives the service, by its name.
    Credential(String),
}

/// The parts of a URL before they are looked at.
struct Parts<'a> {
    login: Option<&'a str>,
    hosts: &'a str,
    segments: Vec<&'a str>,
    query: &'a str,
}

impl RedisUrl {
    /// Whether `scheme` is one of these.
    pub(crate) fn has_scheme(scheme: &str) -> bool {
        matches!(scheme, "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel")
    }

    /// Reads what stands after `scheme:`.
    pub(crate) fn parse(scheme: &str, rest: &str) -> Result<Self, String> {
        let parts = Parts::of(rest)?;
        let (endpoint, db) = endpoint(scheme, &parts)?;
        let mut url = Self {
            endpoint,
            tls: scheme.starts_with("rediss").then(TlsFiles::default),
            db: db.map_or(Ok(0), |text| text.parse()).ok().filter(|db| *db >= 0).ok_or("the database is a number, as in /0")?,
            login: parts.login.map_or(Ok(Login::default()), login)?,
            prefix: PREFIX.to_owned(),
            wait: 0,
        };
        for option in parts.query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| format!("an option has no value; {OPTIONS}"))?;
            url.set(name, percent_decoded(value)?)?;
        }
        url.check()?;
        Ok(url)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        if value.is_empty() {
            return Err(format!("`{name}` has no value"));
        }
        match (name, &mut self.tls, &mut self.endpoint) {
            ("ca", Some(tls), _) => tls.ca = Some(absolute(name, value)?),
            ("cert", Some(tls), _) => tls.cert = Some(absolute(name, value)?),
            ("key", Some(tls), _) => tls.key = Some(absolute(name, value)?),
            ("ca" | "cert" | "key", None, _) => return Err(format!("`{name}` is of use with TLS alone; write rediss://")),
            ("user", ..) if self.login.user.is_some() => return Err("it has two users".into()),
            ("user", ..) => self.login.user = Some(value),
            ("password_file" | "password_env" | "password_credential", ..) if self.login.password.is_some() => {
                return Err("it has two passwords".into());
            }
            ("password_file", ..) => self.login.password = Some(Password::File(absolute(name, value)?)),
            ("password_env", ..) => self.login.password = Some(Password::Env(value)),
            ("password_credential", ..) if value.contains('/') => return Err("`password_credential` is a name without `/`".into()),
            ("password_credential", ..) => self.login.password = Some(Password::Credential(value)),
            ("prefix", ..) => self.prefix = value,
            ("wait", ..) => {
                let wait = value.parse().ok().filter(|wait| *wait <= WAIT_MAX);
                self.wait = wait.ok_or(format!("`wait` is how many replicas must have a write, {WAIT_MAX} at most"))?;
            }
            ("sentinel_user", _, Endpoint::Sentinel { login, .. }) => login.user = Some(value),
            ("sentinel_password_file", _, Endpoint::Sentinel { login, .. }) => {
                login.password = Some(Password::File(absolute(name, value)?))
            }
            ("sentinel_user" | "sentinel_password_file", ..) => {
                return Err(format!("`{name}` is of use with Sentinel alone; write redis+sentinel://"));
            }
            ("password", ..) => return Err("a password does not belong into the options; write `password_file=/path`".into()),
            _ => return Err(format!("unknown option `{}`; {OPTIONS}", name.escape_default())),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        if self.tls.as_ref().is_some_and(|tls| tls.cert.is_some() != tls.key.is_some()) {
            return Err("`cert` and `key` go together".into());
        }
        let logins = match &self.endpoint {
            Endpoint::Server(_) => vec![&self.login],
            Endpoint::Sentinel { login, .. } => vec![&self.login, login],
        };
        if logins.iter().any(|login| login.user.is_some() && login.password.is_none()) {
            return Err("it has a user and no password; add `password_file=/path` (`sentinel_password_file` for a `sentinel_user`)".into());
        }
        if self.prefix.len() > PREFIX_BYTES_MAX || !self.prefix.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("`prefix` is printable ASCII, {PREFIX_BYTES_MAX} bytes at most"));
        }
        Ok(())
    }
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("write redis://host:port/database, with two slashes")?;
        if rest.contains('#') {
            return Err("it has a fragment (`#`); write %23 if it belongs to a password or a name".into());
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let segments = path.split('/').filter(|segment| !segment.is_empty()).collect();
        Ok(Self { login, hosts, segments, query })
    }
}

/// Where the server is, and which of its databases.
fn endpoint<'a>(scheme: &str, parts: &Parts<'a>) -> Result<(Endpoint, Option<&'a str>), String> {
    if !scheme.ends_with("+sentinel") {
        let db = match parts.segments[..] {
            [] => None,
            [db] => Some(db),
            _ => return Err("the path is the database's number alone, as in redis://host:6379/0".into()),
        };
        if parts.hosts.contains(',') {
            return Err("it names several servers; give one, or let Sentinel find it: redis+sentinel://host,host/service".into());
        }
        return Ok((Endpoint::Server(address(parts.hosts, SERVER_PORT)?), db));
    }
    let (service, db) = match parts.segments[..] {
        [service] => (service, None),
        [service, db] => (service, Some(db)),
        _ => {
            return Err(
                "write redis+sentinel://sentinel:26379,sentinel:26379/service, with the name that the Sentinels give the master".into()
            );
        }
    };
    let sentinels = parts.hosts.split(',').map(|host| address(host, SENTINEL_PORT)).collect::<Result<_, _>>()?;
    Ok((Endpoint::Sentinel { sentinels, service: percent_decoded(service)?, login: Login::default() }, db))
}

fn absolute(name: &str, value: String) -> Result<PathBuf, String> {
    if value.starts_with('/') { Ok(value.into()) } else { Err(format!("`{name}` is the absolute path of a file")) }
}

fn login(text: &str) -> Result<Login, String> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let user = Some(percent_decoded(user)?).filter(|user| !user.is_empty());
    let password = Some(percent_decoded(password)?).filter(|password| !password.is_empty());
    Ok(Login { user, password: password.map(|password| Password::Given(password.into())) })
}

fn address(text: &str, default_port: u16) -> Result<Address, String> {
    let bad = || "a host is a name or an address and perhaps a port: redis.example.com:6379, [2001:db8::1]:6379".to_owned();
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(bad)?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        None => return Err(bad()),
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?,
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
    if host.is_empty() || !host.bytes().all(allowed) { Err(bad()) } else { Ok(Address { host: host.to_owned(), port }) }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        match &self.endpoint {
            Endpoint::Server(address) => write!(f, "{scheme}://{address}/{}", self.db),
            Endpoint::Sentinel { sentinels, service, .. } => {
                let sentinels: Vec<String> = sentinels.iter().map(Address::to_string).collect();
                write!(f, "{scheme}+sentinel://{}/{service}/{}", sentinels.join(","), self.db)
            }
        }
    }
}
