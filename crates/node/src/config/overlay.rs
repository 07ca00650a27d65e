//! `[node."…"]`: what differs by node, merged key by key before the tables are read.
//!
//! Always holds: an exact name beats a pattern; two patterns that set one key for one node are an error, never a choice; each overlay was read
//! against the base when the configuration was loaded, whichever node that was on.

use std::collections::{BTreeMap, BTreeSet};

use certfleet_core::names::{NodeName, NodePattern};

use super::at::At;
use super::de::read;
use super::error::Fault;
use super::local::Local;
use super::nearest::advice;
use super::raw;
use super::tree::{Entry, Node};

/// Fields of a target that are the fleet's business.
const TARGET_KEYS_OF_FLEET: [&str; 3] = ["kind", "nodes", "run"];

/// One `[node."…"]` table.
#[derive(Debug, Clone)]
pub(crate) struct Overlay {
    pub(crate) pattern: At<NodePattern>,
    keys: Vec<Setting>,
}

/// All of them. A fleet can have a table for each of thousands of nodes: those of one node are found by its name.
#[derive(Debug, Clone)]
pub(crate) struct Overlays {
    all: Vec<Overlay>,
    /// The places of exact names in `all`.
    exact: BTreeMap<String, Vec<usize>>,
    /// The places of the others.
    patterns: Vec<usize>,
}

impl Overlays {
    pub(crate) fn new(all: Vec<Overlay>) -> Self {
        let (exact, patterns) = (0..all.len()).partition::<Vec<usize>, _>(|place| all[*place].pattern.value.is_exact());
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for place in exact {
            by_name.entry(all[place].pattern.value.as_str().to_owned()).or_default().push(place);
        }
        Self { all, exact: by_name, patterns }
    }

    /// In the order of the files.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Overlay> {
        self.all.iter()
    }

    /// Those of a node: patterns first, so that what is merged later beats them.
    fn of(&self, node: &NodeName) -> impl Iterator<Item = &Overlay> {
        let patterns = self.patterns.iter().map(|place| &self.all[*place]).filter(|overlay| overlay.pattern.value.matches(node));
        patterns.chain(self.exact.get(node.as_str()).into_iter().flatten().map(|place| &self.all[*place]))
    }
}

/// One key that an overlay sets.
#[derive(Debug, Clone)]
struct Setting {
    /// As the overlay writes it.
    path: Vec<String>,
    entry: Entry,
}

impl Setting {
    fn apply(&self, root: &mut Node) {
        let mut path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        if path.len() == 1 {
            path.insert(0, "fleet");
        }
        root.set(&path, &self.entry);
    }
}

/// The node whose overlay says that it serves its store. There is one at the most: stores of two are two stores.
pub(crate) fn server(overlays: &Overlays) -> Result<Option<NodeName>, Fault> {
    let setting = |overlay: &Overlay| overlay.keys.iter().find(|setting| setting.path == ["serve"]).map(|setting| setting.entry.key_place);
    let mut found = overlays.iter().filter_map(|overlay| Some((overlay, setting(overlay)?)));
    let Some((first, place)) = found.next() else { return Ok(None) };
    if let Some((_, second)) = found.next() {
        return Err(Fault::at(second, "`serve`: another node serves its store already")
            .also(place, "here")
            .help("let one node serve; to move the store to another, see docs/store-central.md"));
    }
    Ok(first.pattern.value.as_str().parse().ok())
}

/// Reads an overlay and tries it on the base.
pub(crate) fn read_overlay(entry: &Entry, base: &Node) -> Result<Overlay, Fault> {
    let pattern = entry.key.parse::<NodePattern>().map_err(|error| Fault::at(entry.key_place, error.to_string()))?;
    let form: raw::Overlay = read(&entry.node)?;
    if let Some(serve) = form.serve.as_ref().filter(|_| !pattern.is_exact()) {
        return Err(Fault::at(serve.place, "`serve`: one node serves the store").help("set it in the table of that node, by its name"));
    }
    check_targets(&form, &entry.node, base)?;
    let overlay = Overlay { pattern: At { value: pattern, place: entry.key_place }, keys: settings(&entry.node) };
    merged(base, &[&overlay]).map(|_| overlay)
}

fn check_targets(form: &raw::Overlay, node: &Node, base: &Node) -> Result<(), Fault> {
    let known = base.get("deploy").map(Node::entries).unwrap_or_default();
    for name in form.deploy.iter().flat_map(BTreeMap::keys) {
        if !known.iter().any(|entry| entry.key == name.value.as_str()) {
            let help = advice(name.value.as_str(), "targets", known.iter().map(|entry| entry.key.as_str()));
            return Err(Fault::at(name.place, format!("there is no target `[deploy.{}]`", name.value)).label("no such target").help(help));
        }
    }
    for target in node.get("deploy").map(Node::entries).unwrap_or_default() {
        if !target.node.is_table() {
            return Err(
                Fault::at(target.node.place, "a target's fields are wanted").help("for example `deploy.haproxy.bundle = \"/path\"`")
            );
        }
        if let Some(field) = target.node.entries().iter().find(|field| TARGET_KEYS_OF_FLEET.contains(&field.key.as_str())) {
            return Err(Fault::at(field.key_place, format!("`{}` cannot differ by node", field.key))
                .help(format!("set it in `[deploy.{}]`", target.key)));
        }
    }
    Ok(())
}

/// The keys that an overlay sets, each as deep as it is merged: `store`, `answer.http`, `answer.thumbprints.NAME`, `deploy.TARGET.FIELD`.
fn settings(node: &Node) -> Vec<Setting> {
    let mut list = Vec::new();
    for entry in node.entries() {
        let depth = match entry.key.as_str() {
            "answer" | "admin" | "metrics" => 2,
            "deploy" => 3,
            _ => 1,
        };
        collect(entry, depth, &mut Vec::new(), &mut list);
    }
    list
}

fn collect(entry: &Entry, depth: usize, path: &mut Vec<String>, list: &mut Vec<Setting>) {
    path.push(entry.key.clone());
    let depth = if entry.key == "thumbprints" && path.len() == 2 && path[0] == "answer" { 2 } else { depth };
    if depth <= 1 {
        list.push(Setting { path: path.clone(), entry: entry.clone() });
    } else {
        entry.node.entries().iter().for_each(|inner| collect(inner, depth - 1, path, list));
    }
    path.pop();
}

/// Tries the overlays on the nodes that the files name and that several overlays match: what one overlay alone does was tried before.
pub(crate) fn check_named<'a>(base: &Node, overlays: &Overlays, named: impl IntoIterator<Item = &'a NodeName>) -> Result<(), Fault> {
    let several = |node: &&NodeName| overlays.of(node).nth(1).is_some();
    named.into_iter().filter(several).try_for_each(|node| for_node(base, overlays, node).map(drop))
}

/// The base as `node` sees it.
pub(crate) fn for_node(base: &Node, overlays: &Overlays, node: &NodeName) -> Result<(Node, Local), Fault> {
    let matching: Vec<&Overlay> = overlays.of(node).collect();
    refuse_conflicts(&matching, node)?;
    merged(base, &matching)
}

fn refuse_conflicts(matching: &[&Overlay], node: &NodeName) -> Result<(), Fault> {
    let mut set_by: BTreeMap<&[String], (&Overlay, &Setting)> = BTreeMap::new();
    let (exact, patterns): (Vec<&Overlay>, Vec<&Overlay>) = matching.iter().partition(|overlay| overlay.pattern.value.is_exact());
    let settled: BTreeSet<&[String]> = exact.iter().flat_map(|overlay| &overlay.keys).map(|setting| setting.path.as_slice()).collect();
    for overlay in patterns {
        for setting in overlay.keys.iter().filter(|setting| !settled.contains(setting.path.as_slice())) {
            let Some((other, first)) = set_by.insert(&setting.path, (overlay, setting)) else { continue };
            return Err(conflict((other, first), (overlay, setting), node));
        }
    }
    Ok(())
}

fn conflict(one: (&Overlay, &Setting), two: (&Overlay, &Setting), node: &NodeName) -> Fault {
    let (first, second) = (&one.0.pattern.value, &two.0.pattern.value);
    let message = format!("`[node.\"{first}\"]` and `[node.\"{second}\"]` both set `{}` for node `{node}`", two.1.path.join("."));
    let help = format!("set it in `[node.\"{node}\"]`, which beats patterns, or make the patterns not overlap");
    Fault::at(two.1.entry.key_place, message).label("set here").also(one.1.entry.key_place, "and here").help(help)
}

fn merged(base: &Node, overlays: &[&Overlay]) -> Result<(Node, Local), Fault> {
    let mut root = base.clone();
    for overlay in overlays {
        overlay.keys.iter().for_each(|setting| setting.apply(&mut root));
    }
    let named = |fault: Fault| overlays.iter().fold(fault, |fault, overlay| fault.also(overlay.pattern.place, "with this overlay"));
    let local = Local::read(&root).map_err(named)?;
    Ok((root, local))
}
