//! `store`: whether this version has the engine, said where it stands. What comes after the scheme is the engine's own business and is read
//! again when the store is opened.

use super::at::At;
use super::error::Fault;
use super::nearest::nearest;
use super::raw::Store;

/// Engines that the design names and this version has not.
const LATER: [&str; 8] = ["etcd", "postgres", "postgresql", "redis", "rediss", "valkey", "s3", "https"];
const HAVE: &str = "this version has the `file` store: `store = \"file:///srv/certfleet\"`, a directory that all nodes share";

/// The URL, if it is one of an engine that is there. Never shown: other engines' URLs may hold passwords.
pub(crate) fn check(store: &At<Store>) -> Result<String, Fault> {
    let (url, place) = match &store.value {
        Store::Url(url) => (url, store.place),
        Store::Table(table) => (&table.url.value, table.url.place),
    };
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(Fault::at(place, "`store` is not a URL").help(HAVE));
    };
    if scheme != "file" {
        return Err(match nearest(scheme, ["file"]) {
            _ if LATER.contains(&scheme) => Fault::not_in_this_version(place, &format!("the `{scheme}` store"), HAVE),
            near => Fault::at(place, "`store`: there is no store of this kind").help(near.map_or(HAVE, |_| "did you mean `file`?")),
        });
    }
    let path = rest.strip_prefix("//").filter(|path| path.starts_with('/') && path.len() > 1);
    if path.is_none() || url.chars().any(char::is_control) {
        return Err(Fault::at(place, "`store`: this names no directory").help("write `file:///directory`, with three slashes"));
    }
    if let Store::Table(table) = &store.value
        && let Some((key, place)) = table.extras().next()
    {
        return Err(Fault::at(place, format!("`{key}` means nothing to the `file` store")).help("remove the key"));
    }
    Ok(url.clone())
}
