//! `[issuer.*]`: the CAs, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use certfleet_core::names::IssuerName;
use certfleet_core::spec::IssuerSpec;

use super::at::At;
use super::de::read;
use super::error::Fault;
use super::raw;
use super::source::{Place, Sources};
use super::tree::Entry;

/// Most bytes of a URL, a contact or a profile.
const TEXT_BYTES_MAX: usize = 2000;

/// An issuer and what of it is not the fleet's business.
#[derive(Debug, Clone)]
pub(crate) struct Issuer {
    pub(crate) spec: IssuerSpec,
    pub(crate) root: Option<PathBuf>,
    pub(crate) chain_root: Option<PathBuf>,
    pub(crate) place: Place,
}

/// Reads all `[issuer.*]`.
pub(crate) fn read_issuers(entries: &[Entry], sources: &Sources) -> Result<BTreeMap<IssuerName, Issuer>, Fault> {
    let mut issuers = BTreeMap::new();
    for entry in entries {
        let name: IssuerName =
            entry.key.parse().map_err(|error: certfleet_core::names::NameError| Fault::at(entry.key_place, error.to_string()))?;
        issuers.insert(name, issuer(entry, sources)?);
    }
    Ok(issuers)
}

fn issuer(entry: &Entry, sources: &Sources) -> Result<Issuer, Fault> {
    let raw: raw::Issuer = read(&entry.node)?;
    if let Some(eab) = &raw.eab {
        let help = "use a CA that needs no external account binding, for example Let's Encrypt";
        return Err(Fault::not_in_this_version(eab.place, "`eab`", help));
    }
    if let Some(limits) = &raw.limits {
        return Err(Fault::not_in_this_version(limits.place, "`limits`", "remove the key"));
    }
    check_directory(&raw.directory)?;
    check_terms(&raw, entry)?;
    raw.contact.iter().try_for_each(check_contact)?;
    raw.profile.iter().try_for_each(check_profile)?;
    let root = raw.root.map(|root| beside("root", &root, sources)).transpose()?;
    let chain_root = raw.chain_root.map(|root| beside("chain_root", &root, sources)).transpose()?;
    let spec = IssuerSpec {
        directory: raw.directory.value,
        contact: raw.contact.into_iter().map(|contact| contact.value).collect(),
        agree_tos: true,
        profile: raw.profile.map(|profile| profile.value),
    };
    Ok(Issuer { spec, root, chain_root, place: entry.key_place })
}

fn check_directory(directory: &At<String>) -> Result<(), Fault> {
    let refuse = |problem: &str| {
        let example = "a directory is an https URL, for example `https://acme-v02.api.letsencrypt.org/directory`";
        Fault::at(directory.place, format!("`directory`: {problem}")).help(example)
    };
    if directory.value.len() > TEXT_BYTES_MAX {
        return Err(refuse("this is too long"));
    }
    let url: http::Uri = directory.value.parse().map_err(|_| refuse("this is not a URL"))?;
    let host = url.host().filter(|host| !host.is_empty()).ok_or_else(|| refuse("this URL names no host"))?;
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refuse("this URL has a user name in it"));
    }
    match url.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_loopback(host) => Ok(()),
        Some("http") => Err(refuse("plain http is allowed on this machine's loopback addresses only")),
        _ => Err(refuse("this is not an https URL")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn check_terms(raw: &raw::Issuer, entry: &Entry) -> Result<(), Fault> {
    let help = "read the CA's terms of service and set `agree_tos = true` (RFC 8555 section 7.3): a CA opens no account without";
    match &raw.agree_tos {
        Some(At { value: true, .. }) => Ok(()),
        Some(At { place, .. }) => Err(Fault::at(*place, "the CA's terms of service are not agreed to").help(help)),
        None => Err(Fault::at(entry.key_place, "the key `agree_tos` is missing").label("in this table").help(help)),
    }
}

/// One address and no header fields (RFC 8555 section 7.3).
fn check_contact(contact: &At<String>) -> Result<(), Fault> {
    let refuse = |problem: &str| {
        Fault::at(contact.place, format!("`contact`: {problem}")).help("write `mailto:ops@example.com`, one entry for each address")
    };
    let address = contact.value.strip_prefix("mailto:").ok_or_else(|| refuse("this does not start with `mailto:`"))?;
    let well_formed = address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    let plain = address.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b'?' | b'<' | b'>'));
    if !well_formed || !plain || address.len() > TEXT_BYTES_MAX {
        return Err(refuse("this is not one e-mail address"));
    }
    Ok(())
}

fn check_profile(profile: &At<String>) -> Result<(), Fault> {
    let text = &profile.value;
    if text.is_empty() || text.len() > TEXT_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::at(profile.place, "`profile`: this is not the name of a profile")
            .help("the CA's directory lists its profiles, for example `tlsserver`; leave the key out for the CA's default"));
    }
    Ok(())
}

/// A path is relative to the file that it stands in.
fn beside(key: &str, path: &At<PathBuf>, sources: &Sources) -> Result<PathBuf, Fault> {
    if path.value.as_os_str().is_empty() {
        return Err(Fault::at(path.place, format!("`{key}`: this path is empty")));
    }
    let folder = sources.get(path.place.file).and_then(|file| file.path.parent()).unwrap_or(Path::new("."));
    std::path::absolute(folder.join(&path.value)).map_err(|error| Fault::at(path.place, format!("`{key}`: {error}")))
}
