//! Store URLs, parsed once.

use std::path::PathBuf;
use std::str::FromStr;

#[cfg(feature = "central")]
use crate::backends::central::CentralUrl;
#[cfg(feature = "etcd")]
use crate::backends::etcd::Address as EtcdAddress;
use crate::backends::file::WatchMode;
#[cfg(feature = "postgres")]
use crate::backends::postgres::PostgresUrl;
#[cfg(feature = "redis")]
use crate::backends::redis::RedisUrl;
#[cfg(feature = "s3")]
use crate::backends::s3::S3Url;
use crate::error::OpenError;

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    /// In this process, gone with it.
    Memory,
    /// A node that serves its store.
    #[cfg(feature = "central")]
    Central(CentralUrl),
    /// An etcd cluster.
    #[cfg(feature = "etcd")]
    Etcd(EtcdAddress),
    /// A schema in a PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresUrl>),
    /// A directory.
    File {
        /// Absolute.
        path: PathBuf,
        /// How changes are noticed.
        watch: WatchMode,
    },
    /// A Redis server, or the master that Sentinels know.
    #[cfg(feature = "redis")]
    Redis(Box<RedisUrl>),
    /// A bucket.
    #[cfg(feature = "s3")]
    S3(Box<S3Url>),
}

impl FromStr for StoreUrl {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        let bad = |why: &str| OpenError::BadUrl { url: url.to_owned(), why: why.to_owned() };
        let (scheme, rest) = url.split_once(':').ok_or_else(|| bad("it has no scheme; write file:///directory"))?;
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(bad("nothing may follow `memory:`")),
            #[cfg(feature = "central")]
            "https" => CentralUrl::parse(rest)
                .map(Self::Central)
                .map_err(|why| OpenError::BadUrl { url: without_password(url.split('?').next().unwrap_or(url)), why }),
            #[cfg(feature = "etcd")]
            "etcd" => EtcdAddress::parse(rest).map(Self::Etcd),
            // Nothing of the URL is shown: where it is written wrongly, a password may be anywhere in it.
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => PostgresUrl::parse(rest)
                .map(|url| Self::Postgres(Box::new(url)))
                .map_err(|why| OpenError::BadUrl { url: format!("{scheme}://…"), why }),
            "file" => parse_file(rest).map_err(|why| bad(&why)),
            #[cfg(feature = "redis")]
            _ if RedisUrl::has_scheme(scheme) => {
                let shown = |why| OpenError::BadUrl { url: without_password(url.split('?').next().unwrap_or(url)), why };
                RedisUrl::parse(scheme, rest).map(|url| Self::Redis(Box::new(url))).map_err(shown)
            }
            // Of the options nothing is shown: somebody may have written a secret there.
            #[cfg(feature = "s3")]
            "s3" => {
                let shown = |why| OpenError::BadUrl { url: without_password(url.split('?').next().unwrap_or(url)), why };
                S3Url::parse(rest).map(|url| Self::S3(Box::new(url))).map_err(shown)
            }
            _ => Err(OpenError::UnknownScheme { url: without_password(url), scheme: scheme.to_owned() }),
        }
    }
}

fn parse_file(rest: &str) -> Result<StoreUrl, String> {
    let path = rest.strip_prefix("//").ok_or("write file:///directory, with three slashes")?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if !path.starts_with('/') {
        return Err("the path must be absolute; write file:///directory, with three slashes".into());
    }
    if path.contains('#') {
        return Err("it has a fragment (`#`); write %23 if the directory's name has one".into());
    }
    let mut watch = WatchMode::Auto;
    for option in query.split('&').filter(|option| !option.is_empty()) {
        watch = match option {
            "watch=auto" => WatchMode::Auto,
            "watch=poll" => WatchMode::Poll,
            _ => return Err(format!("unknown option `{option}`; `watch=auto` and `watch=poll` are known")),
        };
    }
    Ok(StoreUrl::File { path: PathBuf::from(percent_decoded(path)?), watch })
}

pub(crate) fn percent_decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => (hex_byte(*high, *low).ok_or("`%` must be followed by two hex digits")?, tail),
            (b'%', _) => return Err("`%` must be followed by two hex digits".into()),
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    if bytes.contains(&0) {
        return Err("the path has a zero byte".into());
    }
    String::from_utf8(bytes).map_err(|_| "the path is not UTF-8".into())
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Where a store is, as it may be shown: neither who asks nor a password, and of the options the prefix alone.
pub fn shown_url(url: &str) -> String {
    let (place, options) = url.split_once('?').unwrap_or((url, ""));
    let shown = match (place.split_once("://"), place.rfind('@')) {
        (Some((scheme, _)), Some(at)) if scheme != "file" => format!("{scheme}://{}", &place[at + 1..]),
        _ => place.to_owned(),
    };
    match options.split('&').find(|option| option.starts_with("prefix=")) {
        Some(prefix) => format!("{shown}?{prefix}"),
        None => shown,
    }
}

/// What is shown of a URL that may have `user:password@` in it.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://…{}", &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_urls() {
        let file = |path: &str, watch| Ok(StoreUrl::File { path: path.into(), watch });
        assert_eq!("file:///srv/certfleet".parse(), file("/srv/certfleet", WatchMode::Auto));
        assert_eq!("file:///srv/a%20b?watch=poll".parse(), file("/srv/a b", WatchMode::Poll));
        for bad in [
            "/srv",
            "file:/srv",
            "file://srv/x",
            "file://srv",
            "file:///x?watch=never",
            "file:///x?a",
            "file:///%2",
            "file:///%zz",
            "file:///%00",
            "file:///a#b",
            "memory:x",
        ] {
            assert!(matches!(bad.parse::<StoreUrl>(), Err(OpenError::BadUrl { .. })), "{bad}");
        }
    }

    #[test]
    fn where_a_store_is_may_be_shown() {
        for (url, shown) in [
            ("file:///srv/a@b?watch=poll", "file:///srv/a@b"),
            ("postgres://me:se%40cret@db1,db2:5433/fleet?sslmode=require&password=x", "postgres://db1,db2:5433/fleet"),
            ("redis://:p@ss@db:6379/2?password_file=/x&prefix=lab", "redis://db:6379/2?prefix=lab"),
            ("etcd://a:2379,b:2379/lab", "etcd://a:2379,b:2379/lab"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn other_engines_are_named_and_passwords_are_not_shown() {
        let error = "ftp://me:secret@db/x".parse::<StoreUrl>().expect_err("unknown").to_string();
        assert_eq!(error, "store URL `ftp://…@db/x`: this version has no `ftp` store; docs/stores.md lists those that there are");
    }
}
