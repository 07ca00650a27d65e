//! A configuration as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use certfleet_core::names::{CertName, ConfigHash, IssuerName, NodeName, NodePattern, TargetName};
use certfleet_core::spec::{FleetSpec, TargetSpec};

use super::certificates::{self, Known, Resolved};
use super::error::{ConfigError, Fault};
use super::files::{self, Tables};
use super::issuers::{self, Issuer};
use super::local::Local;
use super::overlay::{self, Overlays};
use super::settings::Settings;
use super::source::{Place, Sources};
use super::targets::target_name;
use super::tree::{Entry, Node, Value};
use super::{de, hash, print, raw};

/// Where the configuration is if neither the command line nor `$CERTFLEET_CONFIG` says so.
const PATH_DEFAULT: &str = "/etc/certfleet/certfleet.toml";
/// Most warnings that are kept; certificates may be many.
const WARNINGS_MAX: usize = 100;

/// Everything that the files say, checked.
#[derive(Debug)]
pub struct Configuration {
    sources: Sources,
    spec: FleetSpec,
    issuer_roots: BTreeMap<IssuerName, PathBuf>,
    chain_roots: BTreeMap<IssuerName, PathBuf>,
    /// The tables that an overlay may change, as written.
    base: Node,
    overlays: Overlays,
    named: BTreeSet<NodeName>,
    /// What the files say for nodes whose table says nothing else.
    fleet_store: String,
    server: Option<NodeName>,
    warnings: Vec<ConfigError>,
}

/// Where the configuration is if the command line does not say so: `$CERTFLEET_CONFIG`, else `/etc/certfleet/certfleet.toml`.
pub fn default_path() -> PathBuf {
    std::env::var_os("CERTFLEET_CONFIG").filter(|path| !path.is_empty()).map_or_else(|| PATH_DEFAULT.into(), PathBuf::from)
}

/// Reads `path` and the files it includes, and checks all of it, for all nodes.
pub fn load(path: &Path) -> Result<Configuration, ConfigError> {
    let mut sources = Sources::default();
    let tables = files::read_all(path, &mut sources)?;
    Configuration::build(tables, sources)
}

impl Configuration {
    /// What `node` makes of it. Fails if two patterns set one key for this node, or if what is merged does not go together.
    pub fn for_node(&self, node: &NodeName) -> Result<Settings, ConfigError> {
        let (root, local) = overlay::for_node(&self.base, &self.overlays, node).map_err(|fault| fault.into_error(&self.sources))?;
        let tables = root.get("deploy").map(Node::entries).unwrap_or_default();
        let table_of = |entry: &Entry| {
            let (name, config) = local.targets.get_key_value(&entry.key.parse::<TargetName>().ok()?)?;
            Some((name.clone(), print::target_table(&entry.node, &config.common())))
        };
        Ok(Settings {
            node: node.clone(),
            target_tables: tables.iter().filter_map(table_of).collect(),
            fleet: local.fleet,
            store: local.store,
            fleet_store: self.fleet_store.clone(),
            serve: local.serve,
            server: self.server.clone(),
            state: local.state,
            roles: local.roles,
            answer: local.answer,
            admin: local.admin,
            metrics: local.metrics,
            log: local.log,
            spec: self.spec.clone(),
            issuer_roots: self.issuer_roots.clone(),
            chain_roots: self.chain_roots.clone(),
            targets: local.targets.into_iter().filter(|(name, _)| self.spec.targets.get(name).is_some_and(|t| t.is_on(node))).collect(),
        })
    }

    /// The hash over what must be the same on every node.
    pub fn hash(&self) -> ConfigHash {
        self.spec.hash.clone()
    }

    /// What is the same on every node.
    pub fn spec(&self) -> &FleetSpec {
        &self.spec
    }

    /// The nodes that the files name exactly, not by a pattern.
    pub fn nodes_named(&self) -> &BTreeSet<NodeName> {
        &self.named
    }

    /// What is allowed and perhaps not meant; shown by `check`. Their severity is [`miette::Severity::Warning`].
    pub fn warnings(&self) -> &[ConfigError] {
        &self.warnings
    }

    /// The files that were read, the given one first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.paths()
    }

    fn build(tables: Tables, sources: Sources) -> Result<Self, ConfigError> {
        let mut warnings = Vec::new();
        match Self::check(tables, &sources, &mut warnings) {
            Ok(checked) => {
                let warnings = warnings.into_iter().take(WARNINGS_MAX).map(|fault| fault.into_warning(&sources)).collect();
                let Checked { spec, issuer_roots, chain_roots, base, overlays, named, fleet_store, server } = checked;
                Ok(Self { sources, spec, issuer_roots, chain_roots, base, overlays, named, fleet_store, server, warnings })
            }
            Err(fault) => Err(fault.into_error(&sources)),
        }
    }

    fn check(tables: Tables, sources: &Sources, warnings: &mut Vec<Fault>) -> Result<Checked, Fault> {
        let Tables { single, defaults, issuers, targets, overlays, certificates, .. } = tables;
        let base = base(single, targets);
        if let Some(serve) = base.get("fleet").and_then(|fleet| fleet.entries().iter().find(|entry| entry.key == "serve")) {
            let help = "set it in that node's table: `[node.\"NAME\"]` with `serve` and a `store` of its own";
            return Err(Fault::at(serve.key_place, "`serve`: one node serves the store, not all").help(help));
        }
        let local = Local::read(&base)?;
        let issuers = issuers::read_issuers(&issuers, sources)?;
        let target_places = base.get("deploy").map(Node::entries).unwrap_or_default().iter().map(target_name);
        let target_places = target_places.map(|name| name.map(|at| (at.value, at.place))).collect::<Result<BTreeMap<_, _>, _>>()?;
        let defaults: raw::Defaults = defaults.map(|entry| de::read(&entry.node)).transpose()?.unwrap_or_default();
        let known = Known { issuers: &issuers, targets: &target_places, defaults };
        let Resolved { certificates, not_installed } = certificates::resolve(certificates, &known)?;
        let overlays =
            overlays.iter().map(|entry| overlay::read_overlay(entry, &base)).collect::<Result<Vec<_>, _>>().map(Overlays::new)?;
        let spec = fleet_spec(certificates, &issuers, &local, &base);
        warn(&spec, &issuers, &target_places, not_installed, &local, warnings);
        let named = nodes_named(&spec, &overlays);
        overlay::check_named(&base, &overlays, &named)?;
        let chain_roots = issuers.iter().filter_map(|(name, issuer)| issuer.chain_root.clone().map(|root| (name.clone(), root))).collect();
        let issuer_roots = issuers.into_iter().filter_map(|(name, issuer)| issuer.root.map(|root| (name, root))).collect();
        let server = overlay::server(&overlays)?;
        Ok(Checked { spec, issuer_roots, chain_roots, base, overlays, named, fleet_store: local.store, server })
    }
}

struct Checked {
    spec: FleetSpec,
    issuer_roots: BTreeMap<IssuerName, PathBuf>,
    chain_roots: BTreeMap<IssuerName, PathBuf>,
    base: Node,
    overlays: Overlays,
    named: BTreeSet<NodeName>,
    fleet_store: String,
    server: Option<NodeName>,
}

/// The tree that overlays change.
fn base(mut single: Vec<Entry>, targets: Vec<Entry>) -> Node {
    let place = Place { file: 0, start: 0, end: 0 };
    single.push(Entry { key: "deploy".to_owned(), key_place: place, node: Node { place, value: Value::Table(targets) } });
    Node { place, value: Value::Table(single) }
}

fn fleet_spec(
    certificates: BTreeMap<CertName, certfleet_core::spec::Specification>,
    issuers: &BTreeMap<IssuerName, Issuer>,
    local: &Local,
    base: &Node,
) -> FleetSpec {
    let issuers: BTreeMap<_, _> = issuers.iter().map(|(name, issuer)| (name.clone(), issuer.spec.clone())).collect();
    let tables = base.get("deploy");
    let with_table = local.targets.iter().filter_map(|(name, config)| {
        let mut nodes = config.nodes().to_vec();
        nodes.sort();
        nodes.dedup();
        let table = print::target_table(tables?.get(name.as_str())?, &config.common());
        Some((name.clone(), (TargetSpec { nodes }, table)))
    });
    let with_table: BTreeMap<_, _> = with_table.collect();
    let hash = hash::hash(&certificates, &issuers, &with_table);
    let targets = with_table.into_iter().map(|(name, (spec, _))| (name, spec)).collect();
    FleetSpec { hash, certificates, issuers, targets }
}

fn nodes_named(spec: &FleetSpec, overlays: &Overlays) -> BTreeSet<NodeName> {
    let in_overlays = overlays.iter().map(|overlay| &overlay.pattern.value);
    let in_certificates = spec.certificates.values().flat_map(|spec| &spec.nodes);
    let in_targets = spec.targets.values().flat_map(|target| &target.nodes);
    let all = in_overlays.chain(in_certificates).chain(in_targets);
    all.filter(|pattern| pattern.is_exact()).filter_map(|pattern: &NodePattern| pattern.as_str().parse().ok()).collect()
}

fn warn(
    spec: &FleetSpec,
    issuers: &BTreeMap<IssuerName, Issuer>,
    targets: &BTreeMap<TargetName, Place>,
    not_installed: Vec<(CertName, Place)>,
    local: &Local,
    warnings: &mut Vec<Fault>,
) {
    let used: BTreeSet<_> = spec.certificates.values().flat_map(|spec| &spec.deploy).collect();
    for (name, place) in targets.iter().filter(|(name, _)| !used.contains(name)) {
        warnings
            .push(Fault::at(*place, format!("no certificate is installed by target `{name}`")).help("name it in a certificate's `deploy`"));
    }
    let asked: BTreeSet<_> = spec.certificates.values().flat_map(|spec| &spec.issuers).collect();
    for (name, issuer) in issuers.iter().filter(|(name, _)| !asked.contains(name)) {
        warnings.push(
            Fault::at(issuer.place, format!("no certificate is ordered from issuer `{name}`")).help("name it in `issuer`, or remove it"),
        );
    }
    if let Some(place) = local.admin_place
        && local.admin.listen.parse::<std::net::SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
    {
        let message = "the admin listener can be reached from other machines, by anyone";
        warnings.push(Fault::at(place, message).help("listen on a Unix socket or on a loopback address, or let a firewall guard the port"));
    }
    for (name, place) in not_installed.into_iter().take(WARNINGS_MAX) {
        let message = format!("certificate `{name}` is ordered and installed nowhere");
        warnings.push(Fault::at(place, message).help("name targets in its `deploy`, or in `[defaults]`"));
    }
}
