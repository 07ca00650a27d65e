//! `init`, `invite`, `join`: done, done again, and refused.

use std::fs;

use certfleet_node::time::Timestamp;
use certfleet_node::token::Token;

use crate::site::{Machine, Site, mode};

fn fleet_of(machine: &Machine) -> String {
    let ran = machine.run(&["status", "--json"]).ended(0);
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    document["fleet"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn doing_it_again_changes_nothing() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    let ran = lb0.run(&["init"]).ended(0);
    assert!(ran.stderr.contains("made fleet prod (") && ran.stderr.contains("as node lb0") && ran.stderr.contains("next: "), "{ran:#?}");
    assert!(ran.stderr.contains(&lb0.state.display().to_string()), "{ran:#?}");
    assert!(ran.stdout.is_empty(), "it is all talk");
    let identity = fs::read(lb0.state.join("identity.json")).expect("reads");
    assert!(lb0.run(&["init"]).ended(0).stderr.contains("node lb0 of fleet prod already; nothing changed"));
    assert_eq!(fs::read(lb0.state.join("identity.json")).expect("reads"), identity);

    let web = site.machine("web-1");
    let token = lb0.token(&["web-1"]);
    assert!(web.run(&["join", &token]).ended(0).stderr.contains("joined fleet prod"));
    assert!(web.run(&["join", &token]).ended(0).stderr.contains("nothing changed"));
    assert_eq!(fleet_of(&web), fleet_of(&lb0));
    assert_eq!((mode(&web.state), mode(&web.state.join("identity.json"))), (0o700, 0o600));
}

#[test]
fn a_fleet_is_made_only_in_an_empty_store() {
    let site = Site::new();
    site.first("lb0");
    let other = site.machine("lb1");
    other.run(&["init"]).refused("the store already holds fleet prod", "certfleet join TOKEN");
    assert!(!other.state.join("identity.json").exists());
}

#[test]
fn a_name_is_fixed() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    lb0.run(&["init", "--node", "lb7"]).refused("this machine is node lb0 already, not lb7", "fixed");
}

#[test]
fn another_fleets_store_is_refused_by_every_command() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let other = site.machine_with("x0", &site.path("other"), "");
    other.run(&["init"]).ended(0);
    let token = other.token(&["x1"]);
    lb0.run(&["join", &token]).refused("this machine is node lb0 of fleet prod already", "identity.json");
    // Somebody mounts the other store where ours was.
    fs::rename(site.path("store"), site.path("gone")).expect("moves");
    fs::rename(site.path("other"), site.path("store")).expect("moves");
    for words in [
        ["init"].as_slice(),
        &["invite", "web-1"],
        &["status"],
        &["history", "example.com"],
        &["renew", "example.com"],
        &["account", "show"],
    ] {
        let ran = lb0.run(words).ended(1);
        assert!(ran.stderr.contains("the store holds fleet") && ran.stderr.contains("mounted"), "{words:?}: {ran:#?}");
    }
}

#[test]
fn an_unmounted_store_is_never_filled_by_join_or_invite() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let token = lb0.token(&["web-1"]);
    fs::rename(site.path("store"), site.path("gone")).expect("moves");
    fs::create_dir(site.path("store")).expect("an empty mount point");
    let web = site.machine("web-1");
    web.run(&["join", &token]).refused("there is no store at", "");
    lb0.run(&["invite", "web-2"]).refused("there is no store at", "");
    assert!(!web.state.join("identity.json").exists());
    assert_eq!(fs::read_dir(site.path("store")).expect("lists").count(), 0);
}

#[test]
fn tokens_are_refused_with_the_reason() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let web = site.machine("web-1");
    let token = lb0.token(&["web-1"]);

    let expired = Token { expires_at: Timestamp::UNIX_EPOCH, ..Token::decode(&token).expect("a token") };
    web.run(&["join", &expired.encode()]).refused("the token expired at 1970-01-01", "certfleet invite web-1");
    web.run(&["join", &token, "--node", "web-2"]).refused("the token invites web-1, not web-2", "--node NAME");
    web.run(&["join", &token[..40]]).refused("cut off or changed", "the one line");
    web.run(&["join", "no-such-file"]).refused("no-such-file cannot be read", "-");
    let foreign = Token { fleet: "f00".parse().expect("an id"), ..Token::decode(&token).expect("a token") };
    web.run(&["join", &foreign.encode()]).refused("the store holds fleet prod", "mounted");
    assert!(!web.state.join("identity.json").exists());

    web.run(&["join", &token]).ended(0);
    let twin = Machine { state: site.path("twin.state"), ..site.machine("web-1") };
    let text = fs::read_to_string(&twin.config).expect("reads").replace("web-1.state", "twin.state");
    fs::write(&twin.config, text).expect("writes");
    twin.run(&["join", &token]).refused("the token is used up", "certfleet invite web-1");
    lb0.run(&["invite", "web-1"]).refused("the fleet has a node web-1 already", "--replace");
    let replacing = lb0.token(&["web-1", "--replace"]);
    twin.run(&["join", &replacing]).ended(0);
}

#[test]
fn a_pattern_lets_as_many_join_as_it_says() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let ran = lb0.run(&["invite", "web-*", "--uses", "2", "--roles", "deploy,answer", "--expires", "2d"]).ended(0);
    assert!(ran.stderr.starts_with("web-*: may join fleet prod 2 times, as answer, deploy, until "), "{ran:#?}");
    let token = ran.stdout.trim();
    for name in ["web-1", "web-2"] {
        site.machine(name).run(&["join", token]).ended(0);
    }
    site.machine("web-3").run(&["join", token]).refused("used up", "certfleet invite web-3");
    site.machine("db-1").run(&["join", token]).refused("the token invites web-*, not db-1", "--node NAME");
    let status = lb0.run(&["status"]).ended(0).stdout;
    assert!(status.lines().any(|line| line.starts_with("web-2 ") && line.contains(" answer,deploy ")), "{status}");
}

#[test]
fn tokens_come_from_files_and_stdin_too() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let dir = site.path("tokens");
    fs::create_dir(&dir).expect("makes");
    let ran = lb0.run(&["invite", "web-1", "db-*", "--out", &dir.display().to_string()]).ended(0);
    assert_eq!(ran.stdout, "");
    let file = dir.join("web-1.token");
    assert_eq!((mode(&file), mode(&dir.join("db-_.token"))), (0o600, 0o600));
    assert_eq!(fs::read_dir(&dir).expect("lists").count(), 2, "no temporary file is left");
    site.machine("web-1").run(&["join", &file.display().to_string()]).ended(0);
    let piped = lb0.run(&["invite", "web-2"]).ended(0).stdout;
    site.machine("web-2").run_with(&["join", "-"], &piped).ended(0);
}

#[test]
fn several_tokens_are_one_line_each() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let ran = lb0.run(&["invite", "web-1", "web-2"]).ended(0);
    let lines: Vec<(&str, &str)> = ran.stdout.lines().map(|line| line.split_once('\t').expect("a tab")).collect();
    let nodes: Vec<&str> = lines.iter().map(|(node, _)| *node).collect();
    assert_eq!(nodes, ["web-1", "web-2"]);
    for (node, token) in lines {
        assert_eq!(Token::decode(token).expect("a token").node.as_str(), node);
    }
}

#[test]
fn without_a_fleet_commands_say_how_to_get_one() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    for words in
        [["run"].as_slice(), &["status"], &["invite", "x"], &["history", "example.com"], &["account", "show"], &["wait", "example.com"]]
    {
        lb0.run(words).refused("this machine has not joined a fleet", "`certfleet init`");
    }
}
