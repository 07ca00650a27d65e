//! `store` and `fleet`: a store is checked, backed up, lost, and brought back; nothing in a backup gives a key away.

use std::fs;
use std::path::Path;
use std::time::Duration;

use certfleet_testkit::eventually;

use crate::planted::{plant, planted};
use crate::site::{Machine, Site, mode};

const LIMIT: Duration = Duration::from_secs(20);

fn lose_store(site: &Site) {
    fs::remove_dir_all(site.path("store")).expect("was there");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs its daemon until it has on its own disk what it knows.
async fn runs_for_a_while(machine: &Machine) {
    let mut daemon = machine.daemon();
    for file in ["fleet.json", "certs/example.com.json", &format!("nodes/{}.json", machine.name)] {
        let file = machine.state.join("records").join(file);
        eventually(&format!("{} is kept", file.display()), LIMIT, || std::future::ready(file.exists().then_some(()))).await;
    }
    daemon.stop();
}

#[tokio::test]
async fn check_names_what_is_wrong() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let ran = lb0.run(&["store", "check"]).ended(0);
    assert!(ran.stdout.contains("epoch 0, format 1\n1 fleet, 1 nodes: nothing is wrong"), "{ran:#?}");
    plant(&lb0, "example.com", |_| {}).await;
    let ran = lb0.run(&["store", "check"]).ended(1);
    assert!(ran.stdout.contains("certs/example.com: it places versions/example.com/1, which is not in the store"), "{ran:#?}");
    assert!(ran.stdout.ends_with("2 problems\n") && ran.stderr.is_empty(), "its version and its key are missing: {ran:#?}");
    let ran = lb0.run(&["store", "check", "--json"]).ended(1);
    let checked: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&checked["schema"], &checked["fleet"]["name"], &checked["records"]["certs"]), (&1.into(), &"prod".into(), &1.into()));
    let problem = &checked["problems"][0];
    for field in ["key", "what", "remedy"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
    }
    let page = include_str!("../../../../docs/commands.md");
    for field in ["epoch", "format", "records", "problems", "key", "what", "remedy"] {
        assert!(page.contains(&format!("`{field}`")), "docs/commands.md does not have {field}");
    }
}

#[tokio::test]
async fn a_backup_brings_a_lost_store_back() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    plant(&lb0, "example.com", |_| {}).await;
    let file = site.path("backup.jsonl");
    let ran = lb0.run(&["store", "backup", &text(&file)]).ended(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("wrote 3 records"), "{ran:#?}");
    assert_eq!(mode(&file), 0o600);
    lb0.run(&["store", "backup", &text(&file)]).refused("backup.jsonl exists", "--force");
    lb0.run(&["store", "backup", &text(&file), "--force"]).ended(0);
    assert_eq!(lb0.run(&["store", "backup", "-"]).ended(0).stdout.lines().count(), 4, "a header and three records");
    lose_store(&site);
    let ran = lb0.run(&["store", "restore", &text(&file)]).ended(0);
    assert!(ran.stderr.contains("wrote 2 records") && ran.stderr.contains("the fleet is in epoch 1 now"), "{ran:#?}");
    assert_eq!(planted(&lb0, "example.com").await.last_number.0, 1);
    lb0.run(&["store", "restore", &text(&file)]).refused("the store holds this fleet already", "--replace");
    lb0.run(&["store", "restore", &text(&file), "--replace"]).ended(0);
    let status = lb0.json(&["status", "--json"]);
    assert_eq!((&status["fleet"]["epoch"], &status["fleet"]["id"]), (&2.into(), &lb0.json(&["node", "ls", "--json"])["fleet"]["id"]));
    let mut cut = fs::read(&file).expect("reads");
    cut.truncate(cut.len() - 2);
    fs::write(&file, &cut).expect("writes");
    lb0.run(&["store", "restore", &text(&file), "--replace"]).refused("cut or changed", "nothing was written");
}

#[tokio::test]
async fn restoring_needs_the_fleet_key() {
    let site = Site::new();
    let (lb0, key) = (site.machine("lb0"), site.path("fleet.key"));
    lb0.run(&["init", "--export-key", &text(&key)]).ended(0);
    let backup = lb0.run(&["store", "backup", "-"]).ended(0).stdout;
    lose_store(&site);
    lb0.run_with(&["store", "restore", "-"], &backup).refused("this needs the fleet key", "--fleet-key FILE");
    assert!(!site.path("store").exists(), "nothing was written");
    lb0.run_with(&["store", "restore", "-", "--fleet-key", &text(&key)], &backup).ended(0);
    lb0.run(&["store", "check"]).ended(0);
}

#[tokio::test]
async fn nodes_that_run_bring_a_lost_store_back_without_any_backup() {
    let site = Site::new();
    let (lb0, web) = (site.first("lb0"), site.machine("web-1"));
    lb0.run(&["store", "recover"]).refused("never ran as a member", "store restore FILE");
    plant(&lb0, "example.com", |_| {}).await;
    let daemon = lb0.daemon();
    web.join(&lb0.token(&["web-1", "--roles", "deploy"])).await;
    drop(daemon);
    runs_for_a_while(&web).await;
    lose_store(&site);
    let ran = web.run(&["store", "recover"]).ended(0);
    assert!(ran.stdout.contains("example.com") && ran.stdout.contains("not known here"), "no such key was ever made: {ran:#?}");
    assert!(ran.stderr.contains("added fleet\n") && ran.stderr.contains("added nodes/web-1\n"), "{ran:#?}");
    assert!(web.run(&["store", "recover"]).ended(0).stderr.contains("nothing changed"));
    let names = |machine: &Machine| machine.json(&["node", "ls", "--json"])["nodes"].as_array().map(Vec::len);
    assert_eq!((names(&web), names(&lb0)), (Some(2), Some(2)));
    assert_eq!(planted(&lb0, "example.com").await.last_number.0, 1);
    assert_eq!(lb0.json(&["status", "--json"])["fleet"]["epoch"], 0, "nobody has to forget anything");
}

#[test]
fn a_backup_gives_no_key_away() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let Some(openssl) = certfleet_testkit::installed("openssl", "openssl") else { return };
    let made = std::process::Command::new(openssl).args(["ecparam", "-name", "prime256v1", "-genkey", "-noout"]).output().expect("starts");
    let pem = String::from_utf8(made.stdout).expect("text");
    lb0.run_with(&["account", "import", "-"], &pem).ended(0);
    let exported = lb0.run(&["account", "export"]).ended(0).stdout;
    let backup = lb0.run(&["store", "backup", "-"]).ended(0).stdout;
    assert!(backup.contains("accounts/@key"));
    let secrets = exported.lines().filter(|line| !line.starts_with("-----")).collect::<Vec<_>>();
    assert!(!secrets.is_empty() && secrets.iter().all(|line| !backup.contains(line)), "the account key is in the backup");
    let identity: serde_json::Value = serde_json::from_slice(&fs::read(lb0.state.join("identity.json")).expect("reads")).expect("JSON");
    for secret in ["signing_key", "sealing_key"] {
        assert!(!backup.contains(identity[secret].as_str().expect("is there")), "{secret} is in the backup");
    }
    lose_store(&site);
    lb0.run_with(&["store", "restore", "-"], &backup).ended(0);
    assert_eq!(lb0.run(&["account", "export"]).ended(0).stdout, exported);
}

#[test]
fn the_format_of_today_is_in_use_already() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let ran = lb0.run(&["fleet", "upgrade"]).ended(0);
    assert!(ran.stdout.starts_with("NODE") && ran.stdout.contains("lb0"), "{ran:#?}");
    assert_eq!(ran.stderr, "the fleet uses format 1 already; nothing to do\n");
}
