//! Which crate of the workspace may use which, read from their manifests: siblings never import each other, the test kit is for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Every crate, and the crates that it may import. This is the table of ARCHITECTURE.md.
const TABLE: [(&str, &[&str]); 9] = [
    ("core", &[]),
    ("store", &["core"]),
    ("acme", &["core"]),
    ("deploy", &["core"]),
    ("edge", &["core"]),
    ("node", &["core", "store", "acme", "deploy", "edge"]),
    ("cli", &["node"]),
    ("sim", &["core", "store", "acme", "deploy", "edge", "node"]),
    ("testkit", &[]),
];

/// Tests may use this one too, and whatever their crate stands on: an end-to-end test looks at the store from outside.
const TEST_KIT: &str = "testkit";

/// The names in a section of a manifest, `[section]` and `[section.name]` alike, also below `[target.….section]`.
pub fn section(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = header == section || header.ends_with(&format!(".{section}"));
            let below =
                header.strip_prefix(&format!("{section}.")).or_else(|| header.split_once(&format!(".{section}.")).map(|(_, name)| name));
            names.extend(below.map(str::to_owned));
        } else if inside && let Some((name, _)) = line.split_once(['=', '.', ' ']).filter(|(name, _)| !name.is_empty()) {
            names.insert(name.trim_matches('"').to_owned());
        }
    }
    names
}

/// What a crate's manifest has that the table does not allow.
fn forbidden(name: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = TABLE.iter().find(|(known, _)| *known == name) else { return vec![format!("{name} is not in the table")] };
    let ours =
        |part: &str| section(manifest, part).into_iter().filter_map(|dependency| dependency.strip_prefix("certfleet-").map(str::to_owned));
    let imported = ours("dependencies").chain(ours("build-dependencies")).filter(|other| !allowed.contains(&other.as_str()));
    let mut found: Vec<String> = imported.map(|other| format!("{name} imports {other}")).collect();
    let below = stands_on(name);
    let tested = ours("dev-dependencies").filter(|other| other != TEST_KIT && !below.contains(other.as_str()));
    found.extend(tested.map(|other| format!("{name}'s tests import {other}")));
    found
}

/// Everything that a crate imports, and what that imports.
fn stands_on(name: &str) -> BTreeSet<&'static str> {
    let direct = TABLE.iter().filter(|(known, _)| *known == name).flat_map(|(_, allowed)| allowed.iter().copied());
    direct.flat_map(|other| stands_on(other).into_iter().chain([other])).collect()
}

fn manifests() -> BTreeMap<String, String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/").to_owned();
    let folders = std::fs::read_dir(crates).expect("readable").map(|entry| entry.expect("readable").path());
    folders
        .filter_map(|folder| {
            let name = folder.file_name()?.to_str()?.to_owned();
            Some((name, std::fs::read_to_string(folder.join("Cargo.toml")).ok()?))
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_table_allows() {
    let manifests = manifests();
    assert!(manifests.len() >= 8, "only {:?} were found", manifests.keys());
    let found: Vec<String> = manifests.iter().flat_map(|(name, manifest)| forbidden(name, manifest)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_forbidden_import_is_found() {
    let bad = [
        ("store", "[dependencies]\ncertfleet-acme.workspace = true"),
        ("core", "[dependencies]\ncertfleet-store = { path = \"../store\" }"),
        ("edge", "[dependencies.certfleet-node]\npath = \"../node\""),
        ("deploy", "[target.'cfg(unix)'.dependencies]\ncertfleet-store = \"1\""),
        ("acme", "[dependencies]\ncertfleet-testkit.workspace = true"),
        ("acme", "[dev-dependencies]\ncertfleet-store.workspace = true"),
        ("cli", "[build-dependencies]\ncertfleet-core.workspace = true"),
        ("cli", "[dev-dependencies]\ncertfleet-sim.workspace = true"),
        ("extra", "[dependencies]"),
    ];
    for (name, manifest) in bad {
        assert_eq!(forbidden(name, manifest).len(), 1, "{name}: {manifest}");
    }
    let good = "[package]\nname = \"certfleet-store\"\n[dependencies]\ncertfleet-core.workspace = true\n# certfleet-acme = 1\nserde = \"1\"\n[dev-dependencies]\ncertfleet-testkit.workspace = true";
    assert_eq!(forbidden("store", good), Vec::<String>::new());
}
