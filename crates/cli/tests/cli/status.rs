//! `status` and `history`: the documented JSON, the table, the exit code, and a reader that goes away.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::site::{Machine, Site};

const DOCUMENT: &str = include_str!("documents/status.json");
const PAGE: &str = include_str!("../../../../docs/commands.md");

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("JSON")
}

/// A machine whose daemon says `document`.
fn told(site: &Site, document: &Value) -> Machine {
    let lb0 = site.first("lb0");
    lb0.pretend_daemon(&Arc::new(Mutex::new(document.to_string())));
    lb0
}

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|item| keys(item, found)),
        _ => {}
    }
}

#[test]
fn the_json_has_exactly_the_documented_fields() {
    let site = Site::new();
    let ran = told(&site, &document()).run(&["status", "--json"]).ended(0);
    let printed: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    // A field that the program adds, drops or renames makes these differ.
    assert_eq!(printed, document());
    assert_eq!(ran.stderr, "");
    let mut all = BTreeSet::new();
    keys(&printed, &mut all);
    let missing: Vec<_> = all.iter().filter(|key| !PAGE.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/commands.md does not have {missing:?}");
    let states = ["pending", "issuing", "valid", "failing", "halted", "paused", "expired", "retired", "installed", "verified", "failed"];
    assert!(states.iter().all(|state| PAGE.contains(&format!("`{state}`"))));
}

#[test]
fn without_a_daemon_the_store_gives_the_same_form() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let ran = lb0.run(&["status", "--json"]).ended(0);
    assert!(ran.stderr.contains("certfleet is not running on this machine"), "{ran:#?}");
    let shape = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let printed: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(shape(&printed), shape(&document()));
    assert_eq!(shape(&printed["certificates"][0]), shape(&document()["certificates"][0]));
    assert_eq!(printed["certificates"][0]["state"], "pending");
    assert!(lb0.run(&["status"]).ended(0).stdout.contains("example.com  pending"));
}

#[test]
fn the_table_reads_well_and_is_safe_for_a_terminal() {
    let site = Site::new();
    let ran = told(&site, &document()).run(&["status"]).ended(0);
    assert!(ran.stdout.is_ascii() && !ran.stdout.contains('\x1b'), "{}", ran.stdout);
    insta::assert_snapshot!("status", ran.stdout);
}

#[test]
fn one_certificate_can_be_asked_for() {
    let site = Site::new();
    let lb0 = told(&site, &document());
    let printed: Value = serde_json::from_str(&lb0.run(&["status", "new.example.com", "--json"]).ended(0).stdout).expect("JSON");
    let names: Vec<_> = printed["certificates"].as_array().expect("a list").iter().map(|cert| &cert["name"]).collect();
    assert_eq!(names, ["new.example.com"]);
    lb0.run(&["status", "other.example.com"]).refused("there is no certificate other.example.com", "certfleet status");
}

#[test]
fn the_exit_code_says_whether_all_is_well() {
    let site = Site::new();
    let mut well = document();
    well["troubles"] = Value::Array(Vec::new());
    well["certificates"].as_array_mut().expect("a list").truncate(1);
    let said = Arc::new(Mutex::new(well.to_string()));
    let lb0 = site.first("lb0");
    lb0.pretend_daemon(&said);
    lb0.run(&["status", "--exit-code"]).ended(0);
    well["certificates"][0]["nodes"][0]["targets"][0]["state"] = "failed".into();
    *said.lock().expect("not poisoned") = well.to_string();
    let ran = lb0.run(&["status", "--exit-code"]).ended(1);
    assert!(ran.stdout.contains("failed") && ran.stderr.is_empty(), "{ran:#?}");
    lb0.run(&["status"]).ended(0);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let site = Site::new();
    let lb0 = told(&site, &document());
    for words in [["status"].as_slice(), &["status", "--watch"], &["check", "--print"], &["completions", "zsh"], &["snippet", "nginx"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = lb0.command().args(words).stdin(Stdio::null()).stdout(writer).output().expect("runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("panicked"), "{words:?}: {output:?}");
    }
}

#[test]
fn a_daemon_of_another_version_is_named() {
    let site = Site::new();
    told(&site, &serde_json::json!({ "schema": 9 })).run(&["status"]).refused("the daemon's answer cannot be read", "same version");
}

#[test]
fn history_needs_a_record() {
    let site = Site::new();
    site.first("lb0").run(&["history", "example.com"]).refused("no certificate example.com yet", "certfleet status");
}
