//! What `check --node N --print` shows: the configuration as one node sees it, defaults filled in, as TOML that can be loaded again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use certfleet_core::names::{CertName, Identifier, IssuerName, NodeName, NodePattern, TargetName};
use certfleet_core::spec::{IssuerSpec, KeyPolicy, KeyType, OnFailure, Roles, Rollout, Specification};
use certfleet_deploy::Common;
use serde::Serialize;

use super::settings::{LogFormat, LogLevel, Settings};
use super::tree::{Node, Value};

#[derive(Serialize)]
struct Printed<'a> {
    fleet: Fleet<'a>,
    answer: Answer<'a>,
    admin: Admin<'a>,
    metrics: Metrics,
    log: Log,
    issuer: BTreeMap<&'a IssuerName, Issuer<'a>>,
    deploy: &'a BTreeMap<TargetName, toml::Table>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node: BTreeMap<&'a NodeName, Serving<'a>>,
    certificate: Vec<Certificate<'a>>,
}

/// What can only stand in a node's own table.
#[derive(Serialize)]
struct Serving<'a> {
    store: &'a str,
    serve: &'a str,
}

#[derive(Serialize)]
struct Fleet<'a> {
    name: &'a str,
    store: &'a str,
    state: &'a PathBuf,
    roles: &'a Roles,
}

#[derive(Serialize)]
struct Answer<'a> {
    http: Listeners<'a>,
    redirect: bool,
    stateless: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    thumbprints: BTreeMap<&'a Identifier, &'a String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Listeners<'a> {
    Off(&'static str),
    On(&'a [String]),
}

#[derive(Serialize)]
struct Admin<'a> {
    listen: &'a str,
    group: Option<&'a str>,
}

#[derive(Serialize)]
struct Metrics {
    listen: String,
}

#[derive(Serialize)]
struct Log {
    format: LogFormat,
    level: LogLevel,
}

#[derive(Serialize)]
struct Issuer<'a> {
    directory: &'a str,
    contact: &'a [String],
    agree_tos: bool,
    root: Option<&'a PathBuf>,
    chain_root: Option<&'a PathBuf>,
    profile: Option<&'a str>,
}

#[derive(Serialize)]
struct Certificate<'a> {
    name: &'a CertName,
    names: &'a [Identifier],
    issuer: &'a [IssuerName],
    challenge: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    nodes: &'a [NodePattern],
    deploy: &'a [TargetName],
    key: Key,
    rollout: PrintedRollout,
}

#[derive(Serialize)]
struct Key {
    #[serde(rename = "type")]
    kind: KeyType,
    policy: KeyPolicy,
    reuse: bool,
}

#[derive(Serialize)]
struct PrintedRollout {
    canary: u32,
    on_failure: OnFailure,
    #[serde(rename = "override")]
    yields_below: String,
}

impl Settings {
    /// The configuration as this node sees it. Secrets stay where they are: only their places are known here.
    pub fn print(&self) -> String {
        let body = toml::to_string(&self.printed()).unwrap_or_else(|error| format!("# this cannot be written as TOML: {error}\n"));
        let placed = self.spec.certificates.iter().filter(|(_, spec)| spec.is_placed_on(&self.node));
        format!(
            "# what node `{}` makes of the configuration\n# fleet-wide part: {}\n# targets on this node: {}\n# certificates placed on this node: {} of {}\n\n{body}",
            self.node,
            self.spec.hash,
            listed(self.targets.keys()),
            placed.count(),
            self.spec.certificates.len(),
        )
    }

    fn printed(&self) -> Printed<'_> {
        Printed {
            fleet: Fleet {
                name: &self.fleet,
                store: if self.serve.is_some() { &self.fleet_store } else { &self.store },
                state: &self.state,
                roles: &self.roles,
            },
            answer: Answer {
                http: if self.answer.http.is_empty() { Listeners::Off("off") } else { Listeners::On(&self.answer.http) },
                redirect: self.answer.redirect,
                stateless: true,
                thumbprints: self.answer.thumbprints.iter().map(|(name, print)| (name, print)).collect(),
            },
            admin: Admin { listen: &self.admin.listen, group: self.admin.group.as_deref() },
            metrics: Metrics { listen: self.metrics.map_or_else(|| "off".to_owned(), |address| address.to_string()) },
            log: Log { format: self.log.format, level: self.log.level },
            issuer: self
                .spec
                .issuers
                .iter()
                .map(|(name, spec)| (name, issuer(spec, (self.issuer_roots.get(name), self.chain_roots.get(name)))))
                .collect(),
            deploy: &self.target_tables,
            node: self.serve.iter().map(|serve| (&self.node, Serving { store: &self.store, serve })).collect(),
            certificate: self.spec.certificates.iter().map(|(name, spec)| certificate(name, spec)).collect(),
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a TargetName>) -> String {
    let names: Vec<_> = names.map(TargetName::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn issuer<'a>(spec: &'a IssuerSpec, (root, chain_root): (Option<&'a PathBuf>, Option<&'a PathBuf>)) -> Issuer<'a> {
    let profile = spec.profile.as_deref();
    Issuer { directory: &spec.directory, contact: &spec.contact, agree_tos: spec.agree_tos, root, chain_root, profile }
}

fn certificate<'a>(name: &'a CertName, spec: &'a Specification) -> Certificate<'a> {
    Certificate {
        name,
        names: &spec.names,
        issuer: &spec.issuers,
        challenge: spec.challenge.to_string(),
        nodes: &spec.nodes,
        deploy: &spec.deploy,
        key: Key { kind: spec.key, policy: spec.policy, reuse: spec.reuse },
        rollout: rollout(&spec.rollout),
    }
}

fn rollout(rollout: &Rollout) -> PrintedRollout {
    PrintedRollout { canary: rollout.canary, on_failure: rollout.on_failure, yields_below: format!("{}%", rollout.override_percent) }
}

/// A target's table with the defaults of the fields that every kind has.
pub(super) fn target_table(node: &Node, common: &Common) -> toml::Table {
    let mut table: toml::Table = node.entries().iter().map(|entry| (entry.key.clone(), toml_value(&entry.node))).collect();
    table.insert("run".into(), "each".into());
    table.insert("grace".into(), duration(common.grace).into());
    table.insert("timeout".into(), duration(common.timeout).into());
    table
}

fn duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 { format!("{}s", duration.as_secs()) } else { format!("{}ms", duration.as_millis()) }
}

fn toml_value(node: &Node) -> toml::Value {
    match &node.value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        // No form of a target takes a date, so none gets here.
        Value::Datetime => "".into(),
        Value::Array(items) => toml::Value::Array(items.iter().map(toml_value).collect()),
        Value::Table(entries) => toml::Value::Table(entries.iter().map(|entry| (entry.key.clone(), toml_value(&entry.node))).collect()),
    }
}
