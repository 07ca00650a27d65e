//! `postgres:` URLs: who is asked for what, and with which secrets.
//!
//! Always holds: no message says anything of what stands before the host, and of parameters only the name, so that no password is printed,
//! not even that of a URL which is written wrongly.

use std::path::PathBuf;

use super::password::Password;
use crate::url::percent_decoded;

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_SCHEMA: &str = "certfleet";
/// So that the channel's name, made from it, is a name that PostgreSQL takes (63 bytes).
const SCHEMA_BYTES_MAX: usize = 40;
/// Servers of one cluster, of which the primary is looked for.
const HOSTS_MAX: usize = 16;
const PARAMETERS: &str =
    "`ca`, `cert`, `key`, `password_file`, `password_env`, `password_credential`, `schema`, `tls` (or `sslmode`) and `user` are known";

/// Which database, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) password: Option<Password>,
    pub(super) database: String,
    /// Lower-case letters, digits and `_` only: it stands in statements.
    pub(super) schema: String,
    pub(super) tls: Tls,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address, or the directory of a Unix socket.
    pub(super) name: String,
    pub(super) port: u16,
}

/// Whether the connection is encrypted, and how the server is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    Off,
    Verified {
        /// PEM; the system's roots if there is none.
        ca: Option<PathBuf>,
        /// PEM files of a client certificate and its key.
        identity: Option<(PathBuf, PathBuf)>,
    },
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// As people write it.
    pub(super) fn shown(&self) -> String {
        if self.name.contains(':') { format!("[{}]:{}", self.name, self.port) } else { format!("{}:{}", self.name, self.port) }
    }
}

impl PostgresUrl {
    /// What comes after `postgres:`.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("write postgres://user@host:5432/database")?;
        if rest.contains('#') {
            return Err("it has a fragment (`#`); write %23 for a `#`".into());
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        if database.contains('@') || query.contains('@') || authority.matches('@').count() > 1 {
            return Err("there is an `@` after the one before the host; write %40 for an `@`, %2F for a `/` and %3F for a `?`".into());
        }
        let mut options = Options::parse(query)?;
        let (login, hosts) = authority.split_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
        let (user, given) = match login.map(|login| login.split_once(':').ok_or(login)) {
            Some(Ok((user, password))) => (Some(user), Some(percent_decoded(password).map_err(|why| format!("in the password: {why}"))?)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        let user = match (user, options.user.take()) {
            (Some(_), Some(_)) => return Err("it has a user before the host and a `user`; one of them is enough".into()),
            (Some(user), None) => wanted("user", user)?,
            (None, user) => user.ok_or("it names no user; write postgres://user@host:5432/database")?,
        };
        let mut passwords = std::mem::take(&mut options.passwords);
        passwords.extend(given.map(|text| Password::Given(text.into())));
        if passwords.len() > 1 {
            return Err("it has a password and says where one is, or says that twice; one of them is enough".into());
        }
        let password = passwords.pop();
        let hosts = parse_hosts(hosts)?;
        let schema = options.schema.take().unwrap_or_else(|| DEFAULT_SCHEMA.to_owned());
        let tls = options.tls(hosts.iter().all(Host::is_socket))?;
        Ok(Self { hosts, user, password, database: wanted("database", database)?, schema, tls })
    }

    /// Where it is, without the secrets.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::shown).collect();
        format!("postgres://{}/{} (schema `{}`)", hosts.join(","), self.database, self.schema)
    }
}

fn wanted(what: &str, text: &str) -> Result<String, String> {
    let text = percent_decoded(text).map_err(|why| format!("in the {what}: {why}"))?;
    if text.is_empty() || text.contains('/') {
        return Err(format!("it names no {what}; write postgres://user@host:5432/database"));
    }
    Ok(text)
}

fn parse_hosts(text: &str) -> Result<Vec<Host>, String> {
    let hosts = text.split(',').map(parse_host).collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > HOSTS_MAX {
        return Err(format!("it names {} hosts; {HOSTS_MAX} are the most", hosts.len()));
    }
    Ok(hosts)
}

fn parse_host(text: &str) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, rest)) => (name, Some(rest.strip_prefix(':').ok_or("after `]` only a port may follow")?)),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = match port.map(str::parse) {
        None => DEFAULT_PORT,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err("a port is no number from 1 to 65535 (an IPv6 address stands in brackets)".into()),
    };
    let name = percent_decoded(name).map_err(|why| format!("in the host: {why}"))?;
    if name.is_empty() {
        return Err("it names no host; write postgres://user@host:5432/database".into());
    }
    Ok(Host { name, port })
}

#[derive(Default)]
struct Options {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    /// Where it is said to be.
    passwords: Vec<Password>,
    schema: Option<String>,
    user: Option<String>,
    /// Whether the connection is encrypted, if that is said.
    encrypted: Option<bool>,
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = percent_decoded(value).map_err(|why| format!("in `{name}`: {why}"))?;
            match name {
                "ca" | "sslrootcert" => options.ca = Some(absolute(name, value)?),
                "cert" | "sslcert" => options.cert = Some(absolute(name, value)?),
                "key" | "sslkey" => options.key = Some(absolute(name, value)?),
                "password_file" => options.passwords.push(Password::File(absolute(name, value)?)),
                "password_env" => options.passwords.push(Password::Env(plain(name, value)?)),
                "password_credential" => options.passwords.push(Password::Credential(plain(name, value)?)),
                "schema" => options.schema = Some(schema(value)?),
                "user" if !value.is_empty() => options.user = Some(value),
                "tls" | "sslmode" => options.encrypted = Some(encrypted(&value)?),
                "password" => return Err("a password is no parameter; write it before the host, or use `password_file`".into()),
                _ => return Err(format!("unknown parameter `{name}`; {PARAMETERS}")),
            }
        }
        Ok(options)
    }

    fn tls(self, only_sockets: bool) -> Result<Tls, String> {
        let off = self.encrypted.map_or(only_sockets, |encrypted| !encrypted);
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("`cert` and `key` go together".into()),
        };
        if off && (self.ca.is_some() || identity.is_some()) {
            return Err("`ca`, `cert` and `key` mean nothing without TLS".into());
        }
        Ok(if off { Tls::Off } else { Tls::Verified { ca: self.ca, identity } })
    }
}

fn absolute(name: &str, value: String) -> Result<PathBuf, String> {
    if value.starts_with('/') { Ok(value.into()) } else { Err(format!("`{name}` must be an absolute path")) }
}

/// The name of a variable or a credential.
fn plain(name: &str, value: String) -> Result<String, String> {
    let is_plain = !value.is_empty() && !value.starts_with('.') && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_plain { Ok(value) } else { Err(format!("`{name}` must be a name of letters, digits, `.`, `_` and `-`")) }
}

fn schema(value: String) -> Result<String, String> {
    let first_is_fine = value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let all_are_fine = value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if !first_is_fine || !all_are_fine || value.len() > SCHEMA_BYTES_MAX || value.starts_with("pg_") {
        return Err(format!(
            "`schema` must be of lower-case letters, digits and `_`, {SCHEMA_BYTES_MAX} at most, and not begin with a digit or `pg_`"
        ));
    }
    Ok(value)
}

fn encrypted(value: &str) -> Result<bool, String> {
    match value {
        "on" | "verify-full" => Ok(true),
        "off" | "disable" => Ok(false),
        "allow" | "prefer" | "require" | "verify-ca" => Err(format!(
            "`sslmode={value}` does not make sure who answers; write `tls=on` (the default; with `ca` for a CA of your own) or `tls=off`"
        )),
        _ => Err("`tls` is `on` (the default; `sslmode=verify-full`) or `off` (`sslmode=disable`)".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(rest: &str) -> PostgresUrl {
        PostgresUrl::parse(rest).expect(rest)
    }

    fn system_roots() -> Tls {
        Tls::Verified { ca: None, identity: None }
    }

    #[test]
    fn the_parts_are_read() {
        let url = parsed("//me%40x:p%2Fw%40@db1:6000,[::1],db3/fleet%20a?schema=f_1&ca=/etc/ca.pem&cert=/c&key=/k");
        let shown: Vec<String> = url.hosts.iter().map(Host::shown).collect();
        assert_eq!(shown, ["db1:6000", "[::1]:5432", "db3:5432"]);
        assert_eq!((url.user.as_str(), url.database.as_str(), url.schema.as_str()), ("me@x", "fleet a", "f_1"));
        assert_eq!(url.password, Some(Password::Given("p/w@".to_owned().into())));
        assert_eq!(url.tls, Tls::Verified { ca: Some("/etc/ca.pem".into()), identity: Some(("/c".into(), "/k".into())) });
        assert_eq!(parsed("//me@db/x").tls, system_roots());
        assert_eq!(parsed("//me@db/x?sslmode=disable").tls, Tls::Off);
        assert_eq!((parsed("//db/x?user=a%40b&tls=off").user.as_str(), parsed("//me@db/x?tls=on").tls), ("a@b", system_roots()));
        let socket = parsed("//me@%2Frun%2Fpostgresql/x?password_file=/p");
        assert_eq!((socket.tls, socket.password, socket.schema.as_str()), (Tls::Off, Some(Password::File("/p".into())), "certfleet"));
    }

    #[test]
    fn mistakes_are_named_and_passwords_are_not() {
        let cases = [
            ("//db/x", "names no user"),
            ("me@db/x", "write postgres://user@host"),
            ("//me:hunter2@db", "names no database"),
            ("//me:hunter2@db/a/b", "names no database"),
            ("//:hunter2@db/x", "names no user"),
            ("//me:hunter2@db/x?user=me", "one of them"),
            ("//me:hunter2@/x", "names no host"),
            ("//me:hun?ter2@db/x", "write %40 for an `@`"),
            ("//me:hun/ter2@db/x", "write %40 for an `@`"),
            ("//me:hun@ter2@db/x", "write %40 for an `@`"),
            ("//me:hun#ter2@db/x", "write %23"),
            ("//me:hunter2%@db/x", "two hex digits"),
            ("//me:hunter2@db:port/x", "no number from 1 to 65535"),
            ("//me:hunter2@db:0/x", "no number from 1 to 65535"),
            ("//me:hunter2@::1/x", "no number from 1 to 65535"),
            ("//me@db/x?pasword=hunter2", "unknown parameter `pasword`; `ca`"),
            ("//me@db/x?password=hunter2", "use `password_file`"),
            ("//me:hunter2@db/x?password_file=/p", "one of them"),
            ("//me@db/x?password_file=/p&password_env=P", "one of them"),
            ("//me@db/x?password_credential=../p", "must be a name"),
            ("//me@db/x?password_file=p", "`password_file` must be an absolute path"),
            ("//me@db/x?sslmode=require", "does not make sure who answers"),
            ("//me@db/x?sslmode=hunter2", "`tls` is `on`"),
            ("//me@db/x?sslmode=disable&ca=/ca", "mean nothing without TLS"),
            ("//me@db/x?cert=/c", "go together"),
            ("//me@db/x?schema=a\"b", "`schema` must be"),
            ("//me@db/x?schema=pg_x", "`schema` must be"),
            ("//me@db/x?schema=1x", "`schema` must be"),
        ];
        for (rest, told) in cases {
            let why = PostgresUrl::parse(rest).expect_err(rest);
            assert!(why.contains(told) && !why.contains("hun"), "{rest}: {why}");
        }
        let url = parsed("//me:hunter2@db/x");
        assert!(!format!("{url:?} {}", url.place()).contains("hunter2"), "{url:?}");
    }
}
