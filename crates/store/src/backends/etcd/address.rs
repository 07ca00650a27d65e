//! `etcd://[user[:password]@]host[:port][,host[:port]…][/prefix][?…]`, parsed once.
//!
//! Always holds: a password is in no message and no dump. A URL that has one, or may have one by mistake, is not shown.

use std::path::PathBuf;

use certfleet_core::secret::Secret;

use crate::error::OpenError;
use crate::url::percent_decoded;

/// etcd's port for clients.
const PORT: u16 = 2379;
/// Where the store is if the URL has no path.
const PREFIX: &str = "/certfleet";
/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 512;
/// Most hosts.
const HOSTS_MAX: usize = 32;
const FORM: &str = "write etcd://host:2379,host2:2379/prefix";
const OPTIONS: &str = "`tls`, `ca`, `cert`, `key`, `user`, `password_file`, `password_env` and `password_credential` are known";

/// Which cluster, where in it, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port` each; at least one.
    pub hosts: Vec<String>,
    /// Keys begin with it: a slash first, none at the end.
    pub prefix: String,
    /// `None`: without TLS.
    pub tls: Option<Tls>,
    /// Who we are to etcd, beside the client certificate.
    pub login: Option<Login>,
}

/// How the connection is protected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tls {
    /// Roots; the system's if `None`.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user of etcd's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub user: String,
    pub password: Password,
}

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Password {
    /// It was in the URL.
    Given(Secret),
    /// In a file; read each time that a connection is made, as the next two are.
    File(PathBuf),
    /// In a variable of the environment.
    Env(String),
    /// In a systemd credential.
    Credential(String),
}

/// What stands after the question mark.
#[derive(Default)]
struct Options {
    tls: Option<bool>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    user: Option<String>,
    password: Option<Password>,
}

impl Address {
    /// Reads what follows `etcd:`.
    pub fn parse(rest: &str) -> Result<Self, OpenError> {
        parse(rest).map_err(|why| OpenError::BadUrl { url: shown(rest), why })
    }

    /// Without secrets, for messages.
    pub fn place(&self) -> String {
        format!("etcd://{}{}", self.hosts.join(","), self.prefix)
    }
}

fn parse(rest: &str) -> Result<Address, String> {
    if rest.contains('#') {
        return Err("it has a fragment (`#`); write %23".into());
    }
    let rest = rest.strip_prefix("//").ok_or(FORM)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > HOSTS_MAX {
        return Err(format!("{} hosts, more than the {HOSTS_MAX} that are read", hosts.len()));
    }
    let options = Options::parse(query)?;
    let tls = options.tls()?;
    let login = login(userinfo, options.user, options.password)?;
    if login.is_some() && tls.is_none() && options.tls.is_none() && !hosts.iter().all(|host| is_loopback(host)) {
        let why = "a password would cross the network in the clear; add `tls=on` or `ca=/path/of/roots.pem` (or `tls=off` if the network is safe)";
        return Err(why.into());
    }
    Ok(Address { hosts, prefix: prefix(path)?, tls, login })
}

/// `host`, `host:port` or `[address]:port`, with a port.
fn host(text: &str) -> Result<String, String> {
    // What stands there may be a piece of a password that should have been percent-encoded.
    let bad = || format!("one of the hosts is none; {FORM} (in a password, write %40 for `@`, %2F for `/`, %3F for `?`, %2C for `,`)");
    let (name, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']').ok_or_else(bad)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            (&text[..address.len() + 2], port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or_else(bad)?)
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let named = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !text.starts_with('[') && !named(name) {
        return Err(bad());
    }
    let port = if port.is_empty() && !text.ends_with(':') { PORT } else { port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)? };
    Ok(format!("{name}:{port}"))
}

fn prefix(path: &str) -> Result<String, String> {
    let prefix = percent_decoded(path.trim_end_matches('/'))?;
    let prefix = if prefix.is_empty() { PREFIX.to_owned() } else { prefix };
    if prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("the prefix must be printable ASCII without spaces, {PREFIX_BYTES_MAX} bytes at most"));
    }
    Ok(prefix)
}

fn login(userinfo: Option<&str>, user: Option<String>, password: Option<Password>) -> Result<Option<Login>, String> {
    let (name, given) = match userinfo {
        Some(userinfo) => {
            let (name, given) = userinfo.split_once(':').map_or((userinfo, None), |(name, given)| (name, Some(given)));
            (Some(percent_decoded(name)?), given.map(percent_decoded).transpose()?)
        }
        None => (None, None),
    };
    let user = match (name.filter(|name| !name.is_empty()), user) {
        (Some(_), Some(_)) => return Err("the user stands before the host and in `user=`; give it once".into()),
        (name, user) => name.or(user),
    };
    match (user, given, password) {
        (None, None, None) => Ok(None),
        (None, ..) => Err("there is a password and no user; write `user@` before the host".into()),
        (Some(_), None, None) => Err("there is a user and no password; add `password_file=/path`".into()),
        (Some(_), Some(_), Some(_)) => Err("the password is given twice; leave it out of the part before the host".into()),
        (Some(user), Some(given), None) => Ok(Some(Login { user, password: Password::Given(Secret::from(given)) })),
        (Some(user), None, Some(password)) => Ok(Some(Login { user, password })),
    }
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or_else(|| unknown(option))?;
            let value = percent_decoded(value)?;
            let before = match name {
                "tls" => options.tls.replace(on_or_off(&value)?).is_some(),
                "ca" => options.ca.replace(path(name, &value)?).is_some(),
                "cert" => options.cert.replace(path(name, &value)?).is_some(),
                "key" => options.key.replace(path(name, &value)?).is_some(),
                "user" => options.user.replace(value).is_some(),
                "password_file" => options.password.replace(Password::File(path(name, &value)?)).is_some(),
                "password_env" => options.password.replace(Password::Env(value)).is_some(),
                "password_credential" => options.password.replace(Password::Credential(credential(&value)?)).is_some(),
                "password" => return Err("a password does not belong into the options; write `password_file=/path`".into()),
                _ => return Err(unknown(name)),
            };
            if before {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(options)
    }

    fn tls(&self) -> Result<Option<Tls>, String> {
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => return Err("`cert` and `key` go together".into()),
        };
        let wanted = self.ca.is_some() || identity.is_some();
        match self.tls {
            Some(false) if wanted => Err("`tls=off` and `ca`, `cert` or `key` exclude each other".into()),
            Some(true) => Ok(Some(Tls { ca: self.ca.clone(), identity })),
            _ => Ok(wanted.then(|| Tls { ca: self.ca.clone(), identity })),
        }
    }
}

fn on_or_off(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("`tls` is `on` or `off`".into()),
    }
}

fn path(name: &str, value: &str) -> Result<PathBuf, String> {
    if value.starts_with('/') { Ok(PathBuf::from(value)) } else { Err(format!("`{name}` must be an absolute path")) }
}

/// A name without a way out of its directory.
fn credential(value: &str) -> Result<String, String> {
    let plain = !value.is_empty() && value != "." && value != ".." && !value.contains('/');
    if plain { Ok(value.to_owned()) } else { Err("`password_credential` must be the name of a credential".into()) }
}

fn unknown(name: &str) -> String {
    format!("unknown option `{}`; {OPTIONS}", name.escape_default())
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What is shown of a URL that cannot be read: nothing of one in which a password may stand.
fn shown(rest: &str) -> String {
    if rest.contains(['@', '?']) { "etcd://…".into() } else { format!("etcd:{rest}") }
}

#[cfg(test)]
mod tests;
