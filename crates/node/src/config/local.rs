//! The part of the configuration that may differ by node: `[fleet]`, `[answer]`, `[admin]`, `[metrics]`, `[log]` and the targets, read from a
//! tree into which a node's overlays were merged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use certfleet_core::names::{Identifier, NameError, TargetName};
use certfleet_core::spec::{Roles, all_roles};
use certfleet_deploy::TargetConfig;
use certfleet_edge::ListenAddress;
use serde::Deserialize;

use super::at::At;
use super::de::read;
use super::error::Fault;
use super::raw;
use super::settings::{ADMIN_DEFAULT, AdminSettings, AnswerSettings, HTTP_DEFAULT, LogSettings, STATE_DEFAULT};
use super::source::Place;
use super::store_url;
use super::targets::{read_target, target_name};
use super::tree::Node;

/// Longest name of a fleet, in bytes.
const FLEET_NAME_BYTES_MAX: usize = 128;
/// A thumbprint is a SHA-256 in base64url (RFC 7638).
const THUMBPRINT_CHARS: usize = 43;

/// What one node reads.
#[derive(Debug, Clone)]
pub(crate) struct Local {
    pub(crate) fleet: String,
    pub(crate) store: String,
    pub(crate) serve: Option<String>,
    pub(crate) state: PathBuf,
    pub(crate) roles: Roles,
    pub(crate) answer: AnswerSettings,
    pub(crate) admin: AdminSettings,
    /// Where `admin.listen` stands, if it does.
    pub(crate) admin_place: Option<Place>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) log: LogSettings,
    pub(crate) targets: BTreeMap<TargetName, TargetConfig>,
}

impl Local {
    /// Reads and checks the tables below `root`.
    pub(crate) fn read(root: &Node) -> Result<Self, Fault> {
        let fleet = root.get("fleet").ok_or_else(|| {
            let example = "add `[fleet]` with `name = \"…\"` and `store = \"file:///srv/certfleet\"`";
            Fault::at(root.place, "the table `[fleet]` is missing").label("in this file").help(example)
        })?;
        let fleet: raw::Fleet = read(fleet)?;
        let admin: raw::Admin = table(root, "admin")?;
        let log: raw::Log = table(root, "log")?;
        check_fleet_name(&fleet.name)?;
        Ok(Self {
            serve: serve(fleet.serve.as_ref(), &fleet.store)?,
            store: store_url::check(&fleet.store)?,
            state: state(fleet.state)?,
            roles: roles(fleet.roles)?,
            fleet: fleet.name.value,
            answer: answer(table(root, "answer")?)?,
            admin_place: admin.listen.as_ref().map(|listen| listen.place),
            admin: admin_settings(admin)?,
            metrics: metrics(table(root, "metrics")?)?,
            log: LogSettings { format: log.format, level: log.level },
            targets: targets(root)?,
        })
    }
}

fn table<'a, T: Default + Deserialize<'a>>(root: &'a Node, key: &str) -> Result<T, Fault> {
    root.get(key).map_or_else(|| Ok(T::default()), read)
}

fn targets(root: &Node) -> Result<BTreeMap<TargetName, TargetConfig>, Fault> {
    let entries = root.get("deploy").map(Node::entries).unwrap_or_default();
    let read = entries.iter().map(|entry| {
        let name = target_name(entry)?;
        let config = read_target(&name, &entry.node)?;
        Ok((name.value, config))
    });
    read.collect()
}

fn check_fleet_name(name: &At<String>) -> Result<(), Fault> {
    let text = &name.value;
    if text.is_empty() || text.len() > FLEET_NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Fault::at(name.place, "`name`: this is not the name of a fleet")
            .help(format!("give it up to {FLEET_NAME_BYTES_MAX} bytes of plain text, for example `prod`")));
    }
    Ok(())
}

/// A node that serves a store has one that is no other node's.
fn serve(serve: Option<&At<String>>, store: &At<raw::Store>) -> Result<Option<String>, Fault> {
    let Some(serve) = serve else { return Ok(None) };
    if let ListenAddress::Unix(_) = listen_address("serve", serve)? {
        return Err(Fault::at(serve.place, "`serve`: the store is served to other machines")
            .help("give an address and a port: `serve = \"[::]:7443\"`"));
    }
    if store_url::is_served(&store.value) {
        return Err(Fault::at(serve.place, "`serve`: this node has no store of its own to serve")
            .also(store.place, "this is the one that others use")
            .help("beside `serve` write `store = \"file:///var/lib/certfleet/store\"`"));
    }
    Ok(Some(serve.value.clone()))
}

fn state(state: Option<At<PathBuf>>) -> Result<PathBuf, Fault> {
    let Some(state) = state else { return Ok(STATE_DEFAULT.into()) };
    if !state.value.is_absolute() {
        return Err(Fault::at(state.place, "`state`: the path of the node's own directory starts with `/`")
            .help(format!("leave it out for `{STATE_DEFAULT}`")));
    }
    Ok(state.value)
}

fn roles(roles: Option<At<Vec<At<certfleet_core::spec::Role>>>>) -> Result<Roles, Fault> {
    let Some(roles) = roles else { return Ok(all_roles()) };
    if roles.value.is_empty() {
        return Err(Fault::at(roles.place, "`roles` is empty: the node would do nothing").help("roles are `issue`, `answer` and `deploy`"));
    }
    Ok(roles.value.into_iter().map(|role| role.value).collect())
}

fn answer(raw: raw::Answer) -> Result<AnswerSettings, Fault> {
    if let Some(stateless) = raw.stateless.filter(|stateless| !stateless.value) {
        return Err(Fault::not_in_this_version(stateless.place, "`stateless = false`", "remove the key"));
    }
    if let Some(peers) = raw.peers.filter(|peers| !peers.value.is_empty()) {
        return Err(Fault::not_in_this_version(peers.place, "`peers`", "let the nodes share a store, and remove the key"));
    }
    let http = match raw.http {
        Some(http) => listeners(&http.value.0, http.place)?,
        None => vec![HTTP_DEFAULT.to_owned()],
    };
    let thumbprints = raw.thumbprints.into_iter().map(|(name, print)| thumbprint(&name, &print)).collect::<Result<_, _>>()?;
    Ok(AnswerSettings { http, redirect: raw.redirect.unwrap_or(true), thumbprints })
}

fn listeners(http: &[At<String>], place: Place) -> Result<Vec<String>, Fault> {
    match http {
        [] => return Err(Fault::at(place, "`http` is an empty list").help("write `http = \"off\"` if the web server forwards challenges")),
        [only] if only.value == "off" => return Ok(Vec::new()),
        _ => {}
    }
    let mut list: Vec<String> = Vec::with_capacity(http.len());
    for address in http {
        let text = listen_address("http", address)?.to_string();
        if list.contains(&text) {
            return Err(Fault::at(address.place, format!("`{text}` stands twice in `http`")).help("remove one of them"));
        }
        list.push(text);
    }
    Ok(list)
}

fn listen_address(key: &str, address: &At<String>) -> Result<ListenAddress, Fault> {
    if address.value == "off" {
        return Err(
            Fault::at(address.place, format!("`{key}`: `off` stands alone, or not at all")).help("remove it, or the addresses beside it")
        );
    }
    address.value.parse().map_err(|error: certfleet_edge::AddressError| Fault::at(address.place, format!("`{key}`: {error}")))
}

fn thumbprint(name: &At<String>, print: &At<String>) -> Result<(Identifier, String), Fault> {
    let identifier: Identifier = name.value.parse().map_err(|error: NameError| Fault::at(name.place, error.to_string()))?;
    let is_base64url = print.value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if print.value.len() != THUMBPRINT_CHARS || !is_base64url {
        return Err(Fault::at(print.place, "this is not the thumbprint of an account")
            .help(format!("a thumbprint is {THUMBPRINT_CHARS} characters of base64url (RFC 7638); `certfleet account show` prints it")));
    }
    Ok((identifier, print.value.clone()))
}

fn admin_settings(raw: raw::Admin) -> Result<AdminSettings, Fault> {
    let listen = match &raw.listen {
        None => ADMIN_DEFAULT.to_owned(),
        Some(listen) => match listen_address("listen", listen)? {
            ListenAddress::Unix(path) => path.display().to_string(),
            tcp @ ListenAddress::Tcp(_) => tcp.to_string(),
        },
    };
    if let Some(group) = &raw.group {
        let is_name = !group.value.is_empty() && group.value.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b'/'));
        if !is_name {
            return Err(
                Fault::at(group.place, "`group`: this is not the name of a group").help("give a name from /etc/group, for example `adm`")
            );
        }
    }
    Ok(AdminSettings { listen, group: raw.group.map(|group| group.value) })
}

fn metrics(raw: raw::Metrics) -> Result<Option<SocketAddr>, Fault> {
    let Some(listen) = raw.listen.filter(|listen| listen.value != "off") else { return Ok(None) };
    match listen_address("listen", &listen)? {
        ListenAddress::Tcp(address) => Ok(Some(address)),
        ListenAddress::Unix(_) => Err(Fault::at(listen.place, "`listen`: metrics are served on an address and a port")
            .help("the admin socket serves `/metrics` too; for Prometheus write `listen = \"127.0.0.1:9464\"`")),
    }
}
