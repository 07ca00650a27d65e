//! `s3://bucket[/prefix][?…]`, parsed once.
//!
//! Always holds: no secret stands in the URL, so none can be shown; of an option that is wrong only the name is.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::credentials::{Login, Place};
use crate::url::percent_decoded;

/// Where the store is if the URL has no path.
const PREFIX: &str = "certfleet";
/// Longest prefix, in bytes: with it, the keys of all records are names that S3 takes.
const PREFIX_BYTES_MAX: usize = 256;
/// Bucket names have so many bytes (the rules of general purpose buckets).
const BUCKET_BYTES: (usize, usize) = (3, 63);
/// How often changes are looked for unless the URL says, and the range of what it may say, in seconds.
const POLL_SECONDS: (u64, u64, u64) = (30, 1, 300);
const OPTIONS: &str = "`region`, `endpoint`, `style`, `tls`, `ca`, `user`, `password_file`, `password_env`, `password_credential` and `poll` \
                       are known";
const FORM: &str = "write s3://bucket/prefix?region=eu-central-1";

/// Which bucket, where in it, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Url {
    pub(super) bucket: String,
    /// Segments that are not empty, parted by `/`.
    pub(super) prefix: String,
    pub(super) region: Option<String>,
    /// `None`: AWS.
    pub(super) endpoint: Option<Endpoint>,
    /// The bucket is part of the host's name.
    pub(super) is_virtual_hosted: bool,
    /// PEM; the system's roots if there is none.
    pub(super) ca: Option<PathBuf>,
    /// `None`: what AWS offers.
    pub(super) login: Option<Login>,
    /// Between two looks for changes.
    pub(super) poll: Duration,
}

/// Where a compatible server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) is_tls: bool,
    /// With the port, if it is not the usual one.
    pub(super) host: String,
}

impl S3Url {
    /// Reads what follows `s3:`.
    pub(crate) fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or(FORM)?;
        if rest.contains('#') {
            return Err("it has a fragment (`#`); write %23".into());
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err("keys do not belong into the URL; write `user=` (the access key's id) and `password_file=` (its secret)".into());
        }
        let (name, path) = place.split_once('/').unwrap_or((place, ""));
        let options = Options::parse(query)?;
        let endpoint = options.endpoint.as_deref().map(|text| endpoint(text, options.tls_off)).transpose()?;
        if options.tls_off && endpoint.as_ref().is_none_or(|endpoint| endpoint.is_tls) {
            return Err("`tls=off` goes with an `endpoint=http://…` alone".into());
        }
        let bucket = bucket(name)?;
        // A dot in the name fits no wildcard certificate.
        let is_virtual_hosted = options.is_virtual_hosted.unwrap_or(endpoint.is_none() && !bucket.contains('.'));
        let (poll, low, high) = POLL_SECONDS;
        let poll = options.poll.unwrap_or(poll);
        if !(low..=high).contains(&poll) {
            return Err(format!("`poll` is the number of seconds between two looks for changes, {low} to {high}"));
        }
        let login = match (options.user, options.secret) {
            (None, None) => None,
            (Some(user), Some(secret)) => Some(Login { user, secret }),
            (Some(_), None) => return Err("it has a user and no secret; add `password_file=/path`".into()),
            (None, Some(_)) => return Err("it has a secret and no user; add `user=`, the access key's id".into()),
        };
        let (region, ca, poll) = (options.region, options.ca, Duration::from_secs(poll));
        Ok(Self { bucket, prefix: prefix(path)?, region, endpoint, is_virtual_hosted, ca, login, poll })
    }

    /// Host and port, as people know them.
    pub(super) fn host(&self) -> &str {
        self.endpoint.as_ref().map_or("AWS", |endpoint| &endpoint.host)
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)?;
        self.endpoint.as_ref().map_or(Ok(()), |endpoint| write!(f, " at {}", endpoint.host))
    }
}

#[derive(Default)]
struct Options {
    region: Option<String>,
    endpoint: Option<String>,
    is_virtual_hosted: Option<bool>,
    tls_off: bool,
    ca: Option<PathBuf>,
    user: Option<String>,
    secret: Option<Place>,
    poll: Option<u64>,
}

impl Options {
    fn parse(query: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = percent_decoded(value).map_err(|why| format!("in `{}`: {why}", name.escape_default()))?;
            if value.is_empty() && Self::knows(name) {
                return Err(format!("`{name}` has no value"));
            }
            if options.set(name, value)? {
                return Err(format!("`{name}` is given twice"));
            }
        }
        Ok(options)
    }

    fn knows(name: &str) -> bool {
        OPTIONS.split('`').any(|known| known == name)
    }

    /// Whether it was there already.
    fn set(&mut self, name: &str, value: String) -> Result<bool, String> {
        let before = match name {
            "region" => self.region.replace(region(value)?).is_some(),
            "endpoint" => self.endpoint.replace(value).is_some(),
            "style" => self.is_virtual_hosted.replace(is_virtual(&value)?).is_some(),
            "tls" => std::mem::replace(&mut self.tls_off, is_off(&value)?),
            "ca" => self.ca.replace(absolute(name, value)?).is_some(),
            "user" => self.user.replace(value).is_some(),
            "password_file" => self.secret.replace(Place::File(absolute(name, value)?)).is_some(),
            "password_env" => self.secret.replace(Place::Env(value)).is_some(),
            "password_credential" if value.contains('/') || value.starts_with('.') => {
                return Err("`password_credential` must be the name of a credential".into());
            }
            "password_credential" => self.secret.replace(Place::Credential(value)).is_some(),
            "poll" => self.poll.replace(value.parse().map_err(|_| "`poll` is a number of seconds")?).is_some(),
            "password" => return Err("a secret does not belong into the options; write `password_file=/path`".into()),
            _ => return Err(format!("unknown option `{}`; {OPTIONS}", name.escape_default())),
        };
        Ok(before)
    }
}

fn bucket(name: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let (least, most) = BUCKET_BYTES;
    let is_well_formed = (least..=most).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['.', '-']);
    if is_well_formed {
        return Ok(name.to_owned());
    }
    Err(format!("a bucket's name has {least} to {most} lower-case letters, digits, dots and hyphens; {FORM}"))
}

fn prefix(path: &str) -> Result<String, String> {
    let prefix = percent_decoded(path.trim_end_matches('/'))?;
    let prefix = if prefix.is_empty() { PREFIX.to_owned() } else { prefix };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let well_formed = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    if prefix.len() > PREFIX_BYTES_MAX || !prefix.split('/').all(well_formed) {
        return Err(format!("the prefix is of letters, digits, `.`, `_`, `-` and single slashes, {PREFIX_BYTES_MAX} bytes at most"));
    }
    Ok(prefix)
}

fn endpoint(text: &str, tls_off: bool) -> Result<Endpoint, String> {
    let bad = || "`endpoint` is where a compatible server listens: https://s3.example.com, https://[2001:db8::1]:9000".to_owned();
    let (is_tls, host) = match text.split_once("://").ok_or_else(bad)? {
        ("https", host) => (true, host),
        ("http", host) => (false, host),
        _ => return Err(bad()),
    };
    let host = host.trim_end_matches('/');
    let authority: http::uri::Authority = host.parse().map_err(|_| bad())?;
    let port = host.strip_prefix(authority.host()).ok_or_else(bad)?;
    let is_port = |text: &str| text.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).is_some_and(|port| port > 0);
    if authority.host().is_empty() || !(port.is_empty() || is_port(port)) {
        return Err(bad());
    }
    if !is_tls && !tls_off && !is_loopback(authority.host()) {
        return Err("without TLS, whoever is on the way can change what is read; write `endpoint=https://…`, or add `tls=off` if the network is safe".into());
    }
    Ok(Endpoint { is_tls, host: host.to_ascii_lowercase() })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn region(value: String) -> Result<String, String> {
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if plain { Ok(value) } else { Err("`region` is a name as `eu-central-1`".into()) }
}

fn is_virtual(value: &str) -> Result<bool, String> {
    match value {
        "path" => Ok(false),
        "virtual" => Ok(true),
        _ => Err("`style` is `path` (https://host/bucket) or `virtual` (https://bucket.host)".into()),
    }
}

fn is_off(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(false),
        "off" => Ok(true),
        _ => Err("`tls` is `on` or `off`".into()),
    }
}

fn absolute(name: &str, value: String) -> Result<PathBuf, String> {
    if value.starts_with('/') { Ok(value.into()) } else { Err(format!("`{name}` must be an absolute path")) }
}
