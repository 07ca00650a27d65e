//! `store`: whether this version has the engine, and whether what is said of it can be used, told where it stands. Nothing is opened.
//!
//! What stands beside `url` becomes options of the URL, so that the rest of the program knows URLs alone. No secret is read here: the URL
//! names where it is.

use std::fmt::Write as _;

use certfleet_store::OpenError;

use super::at::At;
use super::error::Fault;
use super::nearest::nearest;
use super::raw::{Store, StoreTable};
use super::source::Place;

/// Engines that the design names and this version may not have.
const DESIGNED: [&str; 8] = ["etcd", "postgres", "postgresql", "redis", "rediss", "valkey", "s3", "https"];
/// What the URL of a store begins with that a node serves.
pub const SERVED: &str = "https:";
const HAVE: &str = "docs/stores.md lists the stores that there are; the simplest is `store = \"file:///srv/certfleet\"`, a directory that all nodes \
                    share";

/// The URL, if it is one of an engine that is there. Never shown: URLs may hold passwords.
pub(crate) fn check(store: &At<Store>) -> Result<String, Fault> {
    let (url, place) = match &store.value {
        Store::Url(url) => (url, store.place),
        Store::Table(table) => (&table.url.value, table.url.place),
    };
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(Fault::at(place, "`store` is not a URL").help(HAVE));
    };
    if url.chars().any(char::is_control) {
        return Err(Fault::at(place, "`store`: the URL has control characters").help("write them as `%` and two hex digits"));
    }
    match scheme {
        "file" => file(&store.value, rest, place).map(|()| url.clone()),
        // For tests, and gone with the process.
        "memory" => Err(unknown(scheme, place)),
        engine => with_options(&store.value, engine, place),
    }
}

/// Whether it is another node's.
pub(crate) fn is_served(store: &Store) -> bool {
    let url = match store {
        Store::Url(url) => url,
        Store::Table(table) => &table.url.value,
    };
    url.starts_with(SERVED)
}

fn unknown(scheme: &str, place: Place) -> Fault {
    if DESIGNED.contains(&scheme) {
        return Fault::not_in_this_version(place, &format!("the `{scheme}` store"), HAVE);
    }
    let near = nearest(scheme, ["file"].into_iter().chain(DESIGNED));
    Fault::at(place, "`store`: there is no store of this kind").help(near.map_or(HAVE.to_owned(), |near| format!("did you mean `{near}`?")))
}

fn file(store: &Store, rest: &str, place: Place) -> Result<(), Fault> {
    if !rest.strip_prefix("//").is_some_and(|path| path.starts_with('/') && path.len() > 1) {
        return Err(Fault::at(place, "`store`: this names no directory").help("write `file:///directory`, with three slashes"));
    }
    if let Store::Table(table) = store
        && let Some((key, place)) = table.extras().next()
    {
        return Err(Fault::at(place, format!("`{key}` means nothing to the `file` store")).help("remove the key"));
    }
    Ok(())
}

/// One URL of all that is said of the store.
fn with_options(store: &Store, scheme: &str, place: Place) -> Result<String, Fault> {
    let url = match store {
        Store::Url(url) => url.clone(),
        Store::Table(table) => merged(table)?,
    };
    match certfleet_store::check_url(&url) {
        Ok(()) => Ok(url),
        Err(OpenError::BadUrl { why, .. }) => Err(Fault::at(place, format!("`store`: {why}"))),
        Err(_) => Err(unknown(scheme, place)),
    }
}

fn merged(table: &StoreTable) -> Result<String, Fault> {
    let (path, query) = table.url.value.split_once('?').map_or((table.url.value.as_str(), None), |(path, query)| (path, Some(query)));
    let mut url = path.to_owned();
    // The path of a Redis URL is the database's number.
    let (option, path_prefix) = if path.starts_with("redis") { (table.prefix.as_ref(), None) } else { (None, table.prefix.as_ref()) };
    if let Some(prefix) = path_prefix {
        let after_host = path.split_once("://").map_or("", |(_, rest)| rest.split_once('/').map_or("", |(_, below)| below));
        if !after_host.is_empty() {
            return Err(Fault::at(prefix.place, "`prefix`: the URL has a path already").help("give it once"));
        }
        url = format!("{}/{}", path.trim_end_matches('/'), encoded(prefix.value.trim_start_matches('/')));
    }
    let mut separator = '?';
    let beside = table.options().chain(option.map(|prefix| ("prefix", prefix.value.clone())));
    let options = query.map(str::to_owned).into_iter().chain(beside.map(|(name, value)| format!("{name}={}", encoded(&value))));
    for option in options.filter(|option| !option.is_empty()) {
        url.push(separator);
        url.push_str(&option);
        separator = '&';
    }
    Ok(url)
}

/// As it may stand in a URL (RFC 3986 section 2.1); slashes stay.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut url, byte| {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) => url.push(char::from(b)),
            // Writing to a string cannot fail.
            b => _ = write!(url, "%{b:02X}"),
        }
        url
    })
}
