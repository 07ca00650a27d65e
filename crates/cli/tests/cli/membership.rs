//! `init`, `invite`, `join`: done, done again, and refused.

use std::fs;
use std::time::Duration;

use certfleet_core::trust::{Grant, SignedGrant};
use certfleet_node::fleet_key;
use certfleet_node::time::Timestamp;
use certfleet_node::token::Token;
use certfleet_testkit::eventually;

use crate::site::{Machine, Site, mode};

const LIMIT: Duration = Duration::from_secs(20);

fn fleet_of(machine: &Machine) -> String {
    machine.json(&["status", "--json"])["fleet"]["id"].as_str().expect("an id").to_owned()
}

/// The token, its grant changed, signed by the key of `signer`'s fleet and naming that as the fleet's.
fn resigned(token: &str, signer: &Machine, change: impl FnOnce(&mut Grant)) -> String {
    let token = Token::decode(token).expect("a token");
    let mut grant = token.grant().expect("signed");
    change(&mut grant);
    let key = fleet_key::find(&signer.state, None).expect("it made its fleet");
    Token { grant: SignedGrant::new(&grant, &key), verifying_keys: vec![key.verifying_key()], ..token }.encode().to_string()
}

#[tokio::test]
async fn doing_it_again_changes_nothing() {
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
    let asked = web.run(&["join", &token]).ended(0).stderr;
    assert!(asked.contains("asks to join fleet prod (") && asked.contains("as soon as a node with the role issue runs"), "{asked}");
    let identity = fs::read(web.state.join("identity.json")).expect("reads");
    assert!(web.run(&["join", &token]).ended(0).stderr.contains("asks to join fleet prod as node web-1 already; nothing changed"));
    let token = lb0.token(&["web-1"]);
    assert!(web.run(&["join", &token]).ended(0).stderr.contains("asks to join fleet prod ("), "the first token may be void by now");
    let _daemon = lb0.daemon();
    let is_in = || web.run(&["join", &token]).ended(0).stderr.contains("is node web-1 of fleet prod already; nothing changed");
    eventually("web-1 is let in", LIMIT, || std::future::ready(is_in().then_some(()))).await;
    assert_eq!(fs::read(web.state.join("identity.json")).expect("reads"), identity);
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
        &["account", "rotate"],
        &["node", "ls"],
        &["node", "remove", "web-1"],
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

    let expired = resigned(&token, &lb0, |grant| grant.expires_at = Timestamp::UNIX_EPOCH);
    web.run(&["join", &expired]).refused("the token expired at 1970-01-01", "certfleet invite web-1");
    let restored = resigned(&token, &lb0, |grant| grant.epoch = 1);
    web.run(&["join", &restored]).refused("before the store was restored", "certfleet invite web-1");
    web.run(&["join", &token, "--node", "web-2"]).refused("the token invites web-1, not web-2", "--node NAME");
    web.run(&["join", &token[..40]]).refused("cut off or changed", "the one line");
    web.run(&["join", "no-such-file"]).refused("no-such-file cannot be read", "-");
    let at = token.len() / 2;
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    web.run(&["join", &format!("{}{other}{}", &token[..at], &token[at + 1..])]).refused("cut off or changed", "the one line");
    assert!(!web.state.join("identity.json").exists());
}

#[test]
fn tokens_of_another_fleet_are_refused() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let web = site.machine("web-1");
    let other = site.machine_with("x0", &site.path("other"), "");
    other.run(&["init"]).ended(0);
    // Honest, but for another store.
    web.run(&["join", &other.token(&["web-1"])]).refused("the store holds fleet prod", "mounted");
    // Somebody claims to speak for our fleet: with a key of his own, and then with our key named beside his signature.
    let token = lb0.token(&["web-1"]);
    let claimed = resigned(&token, &other, |_| {});
    web.run(&["join", &claimed]).refused("fleet does not count: it is not signed by the fleet key", "");
    let ours = Token::decode(&token).expect("a token").verifying_keys;
    let forged = Token { verifying_keys: ours, ..Token::decode(&claimed).expect("a token") };
    web.run(&["join", &forged.encode()]).refused("cut off or changed", "the one line");
    assert!(!web.state.join("identity.json").exists());
    assert!(lb0.row("web-1").is_none());
}

#[tokio::test]
async fn a_token_for_one_lets_one_in_and_another_may_replace_it() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let _daemon = lb0.daemon();
    let web = site.machine("web-1");
    let token = lb0.token(&["web-1"]);
    web.join(&token).await;
    let before = lb0.row("web-1").expect("it is in");

    let twin = Machine { state: site.path("twin.state"), ..site.machine("web-1") };
    let text = fs::read_to_string(&twin.config).expect("reads").replace("web-1.state", "twin.state");
    fs::write(&twin.config, text).expect("writes");
    twin.run(&["join", &token]).refused("the token is used up", "certfleet invite web-1");
    lb0.run(&["invite", "web-1"]).refused("the fleet has a node web-1 already", "--replace");
    let pattern = lb0.token(&["web-*"]);
    twin.run(&["join", &pattern, "--node", "web-1"]).refused("the fleet has a node web-1 already", "--replace");
    assert_eq!(lb0.row("web-1"), Some(before.clone()));
    let replacing = lb0.token(&["web-1", "--replace"]);
    twin.join(&replacing).await;
    let after = lb0.row("web-1").expect("it is in");
    assert_eq!(after["state"], "member");
    assert_ne!(after["fingerprint"], before["fingerprint"]);
}

#[tokio::test]
async fn a_pattern_lets_as_many_join_as_it_says() {
    let site = Site::new();
    let lb0 = site.first("lb0");
    let ran = lb0.run(&["invite", "web-*", "--uses", "2", "--roles", "deploy,answer", "--expires", "2d"]).ended(0);
    assert!(ran.stderr.starts_with("web-*: may join fleet prod 2 times, as answer, deploy, until "), "{ran:#?}");
    let token = ran.stdout.trim();
    let _daemon = lb0.daemon();
    for name in ["web-1", "web-2"] {
        site.machine(name).join(token).await;
    }
    site.machine("web-3").run(&["join", token]).refused("used up", "certfleet invite web-3");
    site.machine("db-1").run(&["join", token]).refused("the token invites web-*, not db-1", "--node NAME");
    let row = lb0.row("web-2").expect("it is in");
    assert_eq!((&row["granted"], &row["state"]), (&serde_json::json!(["answer", "deploy"]), &"member".into()));
    let status = lb0.run(&["status"]).ended(0).stdout;
    assert!(status.lines().any(|line| line.starts_with("web-2 ") && line.contains(" answer,deploy ")), "{status}");
}

#[test]
fn an_exported_fleet_key_is_nowhere_else() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    let key = site.path("paper.key");
    let key_text = key.display().to_string();
    fs::write(&key, "something else").expect("writes");
    lb0.run(&["init", "--export-key", &key_text]).refused("paper.key holds no fleet key", "--export-key");
    assert_eq!(fs::read_to_string(&key).expect("reads"), "something else");
    assert!(!lb0.state.join("identity.json").exists(), "nothing was begun");
    fs::remove_file(&key).expect("removes");

    let ran = lb0.run(&["init", "--export-key", &key_text]).ended(0);
    assert!(ran.stderr.contains("and nowhere else") && ran.stderr.contains("--fleet-key FILE"), "{ran:#?}");
    assert_eq!(mode(&key), 0o600);
    assert!(!fleet_key::path(&lb0.state).exists());
    let text = fs::read_to_string(&key).expect("reads");
    assert!(lb0.run(&["init", "--export-key", &key_text]).ended(0).stderr.contains("nothing changed"));
    assert!(lb0.run(&["init"]).ended(0).stderr.contains("nothing changed"));
    assert_eq!(fs::read_to_string(&key).expect("reads"), text);

    lb0.run(&["invite", "web-1"]).refused("this needs the fleet key", "--fleet-key FILE");
    lb0.run(&["node", "remove", "web-1"]).refused("this needs the fleet key", "--fleet-key FILE");
    let gone = site.path("gone.key").display().to_string();
    lb0.run(&["invite", "web-1", "--fleet-key", &gone]).refused("gone.key", "--fleet-key FILE");
    let token = lb0.token(&["web-1", "--fleet-key", &key_text]);
    site.machine("web-1").run(&["join", &token]).ended(0);
    assert_eq!(lb0.row("web-1").expect("it asks")["state"], "joining");
}

#[test]
fn the_fleet_key_stays_with_the_first_node() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    let ran = lb0.run(&["init"]).ended(0);
    let key = fleet_key::path(&lb0.state);
    assert!(ran.stderr.contains(&format!("the fleet key is {}", key.display())), "{ran:#?}");
    assert_eq!(mode(&key), 0o600);
    let other = site.machine_with("x0", &site.path("other"), "");
    other.run(&["init"]).ended(0);
    let foreign = fleet_key::path(&other.state).display().to_string();
    lb0.run(&["invite", "web-1", "--fleet-key", &foreign]).refused("this is another fleet's key", "--fleet-key FILE");
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
        assert_eq!(Token::decode(token).expect("a token").grant().expect("signed").node.as_str(), node);
    }
}

#[test]
fn without_a_fleet_commands_say_how_to_get_one() {
    let site = Site::new();
    let lb0 = site.machine("lb0");
    for words in [
        ["run"].as_slice(),
        &["status"],
        &["invite", "x"],
        &["history", "example.com"],
        &["account", "show"],
        &["wait", "example.com"],
        &["node", "ls"],
        &["node", "remove", "x"],
        &["account", "rotate"],
    ] {
        lb0.run(words).refused("this machine has not joined a fleet", "`certfleet init`");
    }
}
