//! `wait`: what it waits for, what it says meanwhile, and what it says in the end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use certfleet_testkit::eventually;
use serde_json::Value;

use crate::site::Site;

const LIMIT: Duration = Duration::from_secs(20);

fn document() -> Value {
    serde_json::from_str(include_str!("documents/status.json")).expect("JSON")
}

#[test]
fn a_time_out_names_what_is_missing() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    lb0.pretend_daemon(&Arc::new(Mutex::new(document().to_string())));
    lb0.run(&["wait", "example.com", "--verified", "--timeout", "1s"]).refused(
        "files on lb0 is installed (not running); nginx on web-1 is pending, and the node is not live",
        "certfleet status example.com",
    );
    lb0.run(&["wait", "example.com", "--newer-than", "3", "--timeout", "1s"])
        .refused("generation 3 is the latest; attempt 4 is validating on lb0; rateLimited: too many\\u{1b}[2J orders", "goes on by itself");
    lb0.run(&["wait", "new.example.com", "--timeout", "1s"]).refused("no generation yet", "");
    lb0.run(&["wait", "other.example.com"]).refused("there is no certificate other.example.com", "");
}

#[test]
fn what_is_so_already_is_not_waited_for() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    lb0.pretend_daemon(&Arc::new(Mutex::new(document().to_string())));
    for words in
        [["wait", "example.com"].as_slice(), &["wait", "example.com", "--generation", "3"], &["wait", "example.com", "--newer-than", "2"]]
    {
        let ran = lb0.run(words).ended(0);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    }
}

#[tokio::test]
async fn it_ends_when_the_last_target_is_verified() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let said = Arc::new(Mutex::new(document().to_string()));
    lb0.pretend_daemon(&said);
    let log = site.path("wait.log");
    let mut command = lb0.command();
    command.args(["wait", "example.com", "--verified", "--timeout", "60s"]);
    let mut waiting = certfleet_testkit::Process::start("wait", &mut command, &log).expect("starts");
    waiting.printed("nginx on web-1 is pending", LIMIT).await;
    let mut done = document();
    for node in done["certificates"][0]["nodes"].as_array_mut().expect("a list") {
        node["targets"].as_array_mut().expect("a list").iter_mut().for_each(|target| target["state"] = "verified".into());
    }
    *said.lock().expect("not poisoned") = done.to_string();
    eventually("wait ends", LIMIT, || std::future::ready((!waiting.is_running()).then_some(()))).await;
    assert!(!waiting.output().contains("certfleet:"), "{}", waiting.output());
    assert_eq!(waiting.output().lines().count(), 1, "a line for each change: {}", waiting.output());
}

#[test]
fn without_a_daemon_it_looks_into_the_store() {
    let site = Site::new();
    let ran = site.first("lb0").run(&["wait", "example.com", "--timeout", "1s"]).ended(1);
    assert!(ran.stderr.contains("not running on this machine") && ran.stderr.contains("no generation yet"), "{ran:#?}");
}
